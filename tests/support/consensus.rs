//! Nodes of consensus without the layers above it. They take commands as a test made them.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use keyraft::config::Config;
use keyraft::crypto::{BootstrapKey, Cipher, RootKey};
use keyraft::kms;
use keyraft::policy::{ActionKind, Actor, Author, Identity, KeyAction, KeyName};
use keyraft::raft::{Cluster, Failure, FirstStart, LogSource, PeerListener, ShownSeal, Waits};
use keyraft::state::{
    Command, CreationId, EncodedCommand, HIGHEST_LEVEL, KeyRecord, KeySeen, Operation, Outcome, RequestId,
};
use keyraft::store::StoreId;
use keyraft::tls::{PeerKey, PeerTls};
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::certificates::Certificates;
use super::settings::{self, ADMIN, identity};

/// How long a command may take. After that the cluster counts as stuck.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// The nodes. A killed one is `None`.
pub struct Consensus {
    nodes: Vec<Option<Cluster>>,
    _folder: TempDir,
}

impl Consensus {
    /// Starts the nodes of a new cluster, with the policies of every test.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let certificates = Certificates::create(folder.path());
        let configs = settings::configs(&certificates, settings::node_count());
        let root = Arc::new(RootKey::random());
        let started = (0u8..).zip(&configs).map(|(number, config)| take_part(number, config, Arc::clone(&root)));
        let nodes = join_all(started).await;
        for node in &nodes {
            kms::wait_until_initialised(node).await;
        }
        Self { nodes: nodes.into_iter().map(Some).collect(), _folder: folder }
    }

    /// Sends a command through a node and returns its outcome.
    pub async fn write(&self, node: usize, command: &EncodedCommand) -> Outcome {
        let outcome = self.node(node).write(command, Instant::now() + PATIENCE).await;
        outcome.expect("the command has an outcome").known().expect("this version knows the outcome")
    }

    /// The creation under a name. Fails unless every node has the same one.
    pub async fn creation(&self, name: &str) -> Option<CreationId> {
        let name = KeyName::parse(name).expect("a name");
        let seen = join_all(self.running().map(async |node| {
            node.linearize(Instant::now() + PATIENCE).await.expect("a leader answers");
            node.view().newest(name).map(|(creation, _)| creation)
        }));
        let seen = seen.await;
        assert!(seen.iter().all(|creation| *creation == seen[0]), "the nodes differ on {name}: {seen:?}");
        seen[0]
    }

    /// Kills the leader. Returns the number of another node.
    pub async fn kill_leader(&mut self) -> usize {
        let leader = loop {
            if let Some(leader) = self.all().find(|node| self.nodes[*node].as_ref().is_some_and(Cluster::leads)) {
                break leader;
            }
            tokio::time::sleep(PAUSE).await;
        };
        self.nodes[leader].take().expect("it leads").kill().await;
        (leader + 1) % self.nodes.len()
    }

    /// Fails unless the running nodes have the same state once they have applied the same entries.
    pub async fn assert_equal_digests(&self) {
        loop {
            let seen: Vec<_> = self.running().map(Cluster::status).collect();
            if seen.iter().all(|status| status.applied == seen[0].applied) {
                return assert!(seen.iter().all(|status| status.digest == seen[0].digest), "{seen:#?}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The numbers of all nodes.
    pub fn all(&self) -> Range<usize> {
        0..self.nodes.len()
    }

    /// A running node.
    pub fn node(&self, number: usize) -> &Cluster {
        self.nodes[number].as_ref().expect("the node runs")
    }

    fn running(&self) -> impl Iterator<Item = &Cluster> {
        self.nodes.iter().flatten()
    }
}

/// A new command of the file's admin.
fn command(seen_index: u64, action: Option<ActionKind>, operation: Operation) -> EncodedCommand {
    command_of(Actor::Client { identity: identity(ADMIN), file_admin: true }, seen_index, action, operation)
}

fn command_of(actor: Actor, seen_index: u64, action: Option<ActionKind>, operation: Operation) -> EncodedCommand {
    let command = Command { time_ns: 0, actor, action, file_names_admin: true, operation };
    command.encode(HIGHEST_LEVEL, RequestId(rand::random()), seen_index)
}

/// A command that creates a key of this name. These tests do not open the sealed key.
pub fn create(seen_index: u64, name: &str) -> (EncodedCommand, CreationId) {
    let creation_id = CreationId(rand::random());
    let operation = Operation::CreateKey { name: name.to_owned(), record: record(creation_id, 109).encode().into() };
    (command(seen_index, Some(ActionKind::Key(KeyAction::Create)), operation), creation_id)
}

/// A command by which a client creates a key of this name.
pub fn create_as(client: Identity, name: &str) -> (EncodedCommand, CreationId) {
    let creation_id = CreationId(rand::random());
    let operation = Operation::CreateKey { name: name.to_owned(), record: record(creation_id, 109).encode().into() };
    let actor = Actor::Client { identity: client, file_admin: false };
    (command_of(actor, 0, Some(ActionKind::Key(KeyAction::Create)), operation), creation_id)
}

/// The record of a key whose sealed part has this many bytes.
pub fn record(creation_id: CreationId, sealed: usize) -> KeyRecord {
    KeyRecord {
        creation_id,
        version: 1,
        cipher: Cipher::Aes256,
        disabled: false,
        ring_version: 1,
        author: Author::default(),
        last_used: None,
        delete_at: None,
        sealed: vec![7; sealed],
    }
}

/// A command that deletes this creation of a name.
pub fn delete(seen_index: u64, name: &str, creation_id: CreationId) -> EncodedCommand {
    let operation = Operation::DeleteKey { key: KeySeen { name: name.to_owned(), creation_id }, window_ns: 0 };
    command(seen_index, Some(ActionKind::Key(KeyAction::Delete)), operation)
}

async fn take_part(number: u8, config: &Config, root: Arc<RootKey>) -> Cluster {
    let (cluster, consistency) = (&config.cluster, config.consistency);
    let tls = PeerKey::generate().and_then(|key| PeerTls::of_own_key(&key)).expect("a key can be made");
    let (store, failure) = (StoreId([number; 16]), Failure::default());
    let no_logs: LogSource = Arc::new(|_| Box::pin(futures::stream::empty()));
    let seal = ShownSeal::default();
    seal.set_open(Some(BootstrapKey::of_root_key(&root)));
    let first = first_start(config, root);
    let opened = PeerListener::open(
        cluster,
        Arc::new(tls),
        Handle::current(),
        store,
        seal,
        first,
        failure,
        no_logs,
        Waits::default(),
    );
    let listener = opened.await.expect("the listener opens");
    let known = listener.found().await.expect("the cluster begins");
    let prepared = listener.open_store(known).await.expect("the store opens").prepare().await;
    prepared.expect("the keystore is whole").take_part(consistency).await.expect("the node takes part")
}

fn first_start(config: &Config, root: Arc<RootKey>) -> FirstStart {
    let (policies, admin, opening) = (config.policies.clone(), config.admin, Arc::clone(&root));
    FirstStart {
        first_command: Box::new(move |level| Ok(kms::first_command(level, &root, &policies, admin))),
        open: Box::new(move |cluster| kms::open_cluster(cluster, &opening).map_err(|error| error.to_string())),
    }
}
