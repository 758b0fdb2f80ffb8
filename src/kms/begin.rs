//! What a node does before it serves: the cluster's first command, the key ring, and the keys of the configuration
//! file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ring::{self, SealError};
use super::{Error, Kms};
use crate::clock;
use crate::crypto::{RootKey, random};
use crate::policy::{Actor, Assignment, Author, Identity, KeyName, Permit, Policy, PolicyName, Role};
use crate::raft::Waits;
use crate::state::{Command, EncodedCommand, HIGHEST_LEVEL, Init, Operation, RequestId};

/// How long one attempt to write may take before the node makes the next one.
const ATTEMPT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(20);

/// The policies of a configuration file, each with its identities.
pub type FilePolicies = BTreeMap<PolicyName, (Policy, Vec<Identity>)>;

impl Kms {
    /// Returns once the cluster is initialised. Until then, the node proposes the first command while it leads.
    pub async fn wait_until_initialised(&self, root: &RootKey, policies: &FilePolicies) {
        let mut progress = self.cluster.progress();
        while self.cluster.view().cluster().is_none() {
            if self.cluster.leads() {
                let command = self.first_command(root, policies);
                // Several nodes may propose one in turn. Only the first takes effect, and any of them will do.
                let _ = self.cluster.write(&command, Instant::now() + ATTEMPT).await;
            }
            drop(tokio::time::timeout(RETRY, progress.changed()).await);
        }
    }

    /// Opens the cluster's key ring. From then on this node can use keys.
    ///
    /// # Errors
    /// The root key does not open it.
    pub fn unseal(&self, root: &RootKey) -> Result<(), SealError> {
        if let Some(cluster) = self.cluster.view().cluster() {
            self.ring.store(Some(Arc::new(ring::open(&cluster, root)?)));
        }
        self.root.store(Some(Arc::new(root.clone())));
        Ok(())
    }

    /// Opens the key ring again after it has changed.
    pub(super) fn reopen_ring(&self) -> Result<(), Error> {
        let root = self.root.load_full().ok_or(Error::Stopping)?;
        self.unseal(&root).map_err(|error| {
            tracing::error!(%error, "the root key does not open the changed key ring");
            Error::Stopping
        })
    }

    /// Creates the missing keys of the configuration file. Returns once each one exists or waits for its deletion.
    pub async fn create_file_keys(&self, names: &[String], waits: &Waits) {
        for name in names.iter().filter_map(|name| KeyName::parse(name).ok()) {
            let permit = Permit::for_node(name);
            loop {
                match self.create_key(&permit, Instant::now() + ATTEMPT).await {
                    Ok(()) | Err(Error::KeyExists) => break,
                    Err(Error::KeyWaiting { .. }) => {
                        tracing::warn!(
                            key = name.as_str(),
                            "a key of the configuration file was deleted and its deletion window is not over, so the node \
                             does not create it; to use it again: keyraft key restore NAME"
                        );
                        break;
                    }
                    Err(error) => {
                        let what = format!("the leader to create the key '{name}' of the configuration file: {error}");
                        waits.set_step(Some(what));
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
        }
    }

    /// Waits until this node has applied everything that the cluster had committed when the call began.
    pub async fn wait_until_caught_up(&self) {
        while self.cluster.linearize(Instant::now() + ATTEMPT).await.is_err() {}
    }

    fn first_command(&self, root: &RootKey, policies: &FilePolicies) -> EncodedCommand {
        let now = clock::unix_ns();
        let author = Author { created_at: Some(now), created_by: self.file_admin() };
        let bound = |name: &PolicyName| Assignment { role: Role::Policy(name.clone()), author };
        let assignments = policies.iter().flat_map(|(name, (_, ids))| ids.iter().map(move |id| (*id, bound(name))));
        let init = Init {
            cluster: ring::new_cluster(root, now),
            policies: policies.iter().map(|(name, (policy, _))| (name.clone(), policy.clone(), author)).collect(),
            assignments: assignments.collect(),
        };
        let command = Command {
            time_ns: now,
            actor: Actor::Node,
            action: None,
            file_names_admin: self.file_admin().is_some(),
            operation: Operation::Init(Box::new(init)),
        };
        command.encode(HIGHEST_LEVEL, RequestId(random::bytes()), self.cluster.seen_index())
    }
}
