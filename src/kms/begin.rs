//! What a node does before it serves: the cluster's first command, the key ring, and the keys of the configuration
//! file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error as ThisError;

use super::ring;
use super::{Error, Kms};
use crate::clock;
use crate::crypto::{RootKey, random};
use crate::policy::{Actor, Assignment, Author, Identity, KeyName, Permit, Policy, PolicyName, Role};
use crate::raft::{Cluster, Waits};
use crate::state::{ClusterState, Command, EncodedCommand, Init, Operation, Outcome, RecordedOutcome, RequestId};

/// How long one attempt to write may take before the node makes the next one.
const ATTEMPT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(20);

/// The policies of a configuration file, each with its identities.
pub type FilePolicies = BTreeMap<PolicyName, (Policy, Vec<Identity>)>;

/// What a node needs to write the cluster's first command.
pub struct Bootstrap<'a> {
    /// This node's part in the cluster.
    pub cluster: &'a Cluster,
    /// The root key that wraps the new key ring.
    pub root: &'a RootKey,
    /// The policies with which the cluster begins.
    pub policies: &'a FilePolicies,
    /// The admin that this node's configuration file names.
    pub file_admin: Option<Identity>,
}

/// The cluster refused the first command that this node made. It would refuse every other one, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ThisError)]
#[error(
    "the cluster cannot begin: it refused its first command, which this node made from its configuration file, with \
     outcome {outcome}. Correct the policies and identities in the configuration file of every node, and start the nodes \
     again"
)]
pub struct FirstCommandRefused {
    /// The number of the outcome.
    pub outcome: u16,
}

impl Bootstrap<'_> {
    /// Returns once the cluster is initialised, with the facts about it. Until then, the node proposes the first command
    /// while it leads.
    ///
    /// # Errors
    /// The cluster refused the first command of this node.
    pub async fn wait_until_initialised(&self) -> Result<Arc<ClusterState>, FirstCommandRefused> {
        let mut progress = self.cluster.progress();
        loop {
            if let Some(cluster) = self.cluster.view().cluster() {
                return Ok(cluster);
            }
            if self.cluster.leads() {
                let level = self.cluster.beginning_level().await;
                let command = self.first_command(level, self.root, self.policies);
                // Several nodes may propose one in turn. Only the first takes effect, and any of them will do.
                if let Ok(outcome) = self.cluster.write(&command, Instant::now() + ATTEMPT).await {
                    check_first_outcome(&outcome)?;
                }
            }
            drop(tokio::time::timeout(RETRY, progress.changed()).await);
        }
    }

    fn file_admin(&self) -> Option<Identity> {
        self.file_admin
    }

    fn first_command(&self, level: u32, root: &RootKey, policies: &FilePolicies) -> EncodedCommand {
        let now = clock::unix_ns();
        let author = Author { created_at: Some(now), created_by: self.file_admin() };
        let bound = |name: &PolicyName| Assignment { role: Role::Policy(name.clone()), author };
        let assignments = policies.iter().flat_map(|(name, (_, ids))| ids.iter().map(move |id| (*id, bound(name))));
        let init = Init {
            cluster: ring::new_cluster(level, root, now),
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
        command.encode(level, RequestId(random::bytes()), self.cluster.seen_index())
    }
}

/// Checks that a cluster can begin after this outcome of a first command.
fn check_first_outcome(outcome: &RecordedOutcome) -> Result<(), FirstCommandRefused> {
    match outcome.known() {
        Ok(Outcome::Done | Outcome::AlreadyInitialised | Outcome::Expired | Outcome::LevelNotActive) => Ok(()),
        _ => Err(FirstCommandRefused { outcome: outcome.number() }),
    }
}

/// Waits until this node has applied everything that the cluster had committed when the call began.
pub async fn wait_until_caught_up(cluster: &Cluster) {
    while cluster.linearize(Instant::now() + ATTEMPT).await.is_err() {}
}

impl Kms {
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
}
