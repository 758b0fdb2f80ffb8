//! What a node does before it serves: the cluster's first command, the key ring, and the keys of the configuration
//! file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ring;
use super::{Error, Kms};
use crate::clock;
use crate::crypto::{RootKey, random};
use crate::policy::{Actor, Assignment, Author, Identity, KeyName, Permit, Policy, PolicyName, Role};
use crate::raft::{Cluster, Waits};
use crate::state::{ClusterState, Command, EncodedCommand, Init, Operation, RequestId};

/// How long one attempt to write may take before the node makes the next one.
const ATTEMPT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(20);

/// The policies of a configuration file, each with its identities.
pub type FilePolicies = BTreeMap<PolicyName, (Policy, Vec<Identity>)>;

/// Makes the first command of a new cluster that begins at this level: new keys that the root key wraps, and the policies
/// of the configuration file. `file_admin` is the admin that the file names.
pub fn first_command(
    level: u32,
    root: &RootKey,
    policies: &FilePolicies,
    file_admin: Option<Identity>,
) -> EncodedCommand {
    let now = clock::unix_ns();
    let author = Author { created_at: Some(now), created_by: file_admin };
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
        file_names_admin: file_admin.is_some(),
        operation: Operation::Init(Box::new(init)),
    };
    command.encode(level, RequestId(random::bytes()), 0)
}

/// Returns once this node has applied the cluster's first command, with the facts about the cluster.
pub async fn wait_until_initialised(cluster: &Cluster) -> Arc<ClusterState> {
    let mut progress = cluster.progress();
    loop {
        if let Some(cluster) = cluster.view().cluster() {
            return cluster;
        }
        drop(tokio::time::timeout(RETRY, progress.changed()).await);
    }
}

/// Waits until this node has applied everything that the cluster had committed when the call began.
pub async fn wait_until_caught_up(cluster: &Cluster) {
    while cluster.linearize(Instant::now() + ATTEMPT).await.is_err() {}
}

impl Kms {
    /// Creates the missing keys of the configuration file. Returns once each one exists, waits for its deletion, or finds no
    /// room on the disks: the node must serve the other keys then.
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
                    Err(Error::NoRoom) => {
                        tracing::error!(
                            key = name.as_str(),
                            "the disks of most nodes lack room, so the node serves without a key of the configuration file: give \
                             them room, and restart the node or use `keyraft key create`"
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
