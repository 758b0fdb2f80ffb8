//! What `apply` reads from the state, and the changes that it decides on.

use bytes::Bytes;

use super::{ClusterState, KeyRecord, Memory, Outcome, Stored};
use crate::policy::{Assignment, Identity, PolicyEntry, PolicyName, Rules};

/// The part of the state that deciding one command needs.
#[derive(Clone, Copy)]
pub struct Current<'a> {
    /// The cluster, once initialised.
    pub cluster: Option<&'a ClusterState>,
    /// The rules in force.
    pub rules: &'a Rules,
    /// The record of a version of a key, or of its newest one, whether the key waits for deletion or not.
    pub record: &'a dyn Fn(&str, Option<u32>) -> Option<KeyRecord>,
    /// The outcomes of the last commands.
    pub memory: &'a Memory,
    /// The ids of all members, learners too.
    pub members: &'a dyn Fn() -> Vec<u64>,
    /// How many records of keys are sealed under a version of the ring.
    pub records_under: &'a dyn Fn(u32) -> u64,
}

/// One change to the state. Changes are made in the order in which `apply` returns them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets the facts about the cluster.
    SetCluster(Stored<ClusterState>),
    /// Puts a policy.
    PutPolicy(PolicyName, Stored<PolicyEntry>),
    /// Removes a policy.
    RemovePolicy(PolicyName),
    /// Puts an assignment.
    PutAssignment(Identity, Stored<Assignment>),
    /// Removes an assignment.
    RemoveAssignment(Identity),
    /// Puts the record of a key's version.
    PutKey {
        /// The key.
        name: String,
        /// The version.
        version: u32,
        /// The record, encoded.
        record: Bytes,
        /// Whether it takes something away: it disables the version, or deletes the key with a window.
        revokes: bool,
    },
    /// Removes every version of a key.
    RemoveKey {
        /// The key.
        name: String,
    },
}

impl Change {
    /// Whether somebody may lose access by it: a deletion, a disabled version, and every change of policy or identity,
    /// grants too.
    pub fn revokes(&self) -> bool {
        match self {
            Self::RemoveKey { .. }
            | Self::PutPolicy(..)
            | Self::RemovePolicy(_)
            | Self::PutAssignment(..)
            | Self::RemoveAssignment(_) => true,
            Self::SetCluster(_) => false,
            Self::PutKey { revokes, .. } => *revokes,
        }
    }
}

/// The decision on a command: its changes, or the outcome that refuses it.
pub(super) type Decision = Result<Vec<Change>, Outcome>;
