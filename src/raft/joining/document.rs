//! The founding document: with what a cluster begins. Every founder notes the same bytes.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use crate::config::PeerConfig;
use crate::crypto::ClusterKeys;
use crate::policy::{Identity, Rules};
use crate::raft::peers::trouble::PeerTrouble;
use crate::raft::preface::admission::{Admission, AdmittedNode, Role};
use crate::raft::preface::content::Preface;
use crate::raft::protocol::membership::{members_from_wire, membership_to_wire};
use crate::raft::protocol::types::{Member, Membership, NodeId};
use crate::raft::protocol::wire;
use crate::state::{self, Change, ClusterState, Current, EncodedCommand, Memory, Outcome};
use crate::store::{ClusterFacts, Founding, FoundingStage, MAX_PAYLOAD_BYTES, Owner};

/// Room for what an entry adds to its command.
const FRAME_ROOM: usize = 1024;

/// The cluster would refuse its first command, which this node made from its configuration file. So the node ends before it
/// hands the command to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FirstCommandRefused {
    /// `apply` refuses it.
    #[error(
        "the cluster cannot begin: it refused its first command, which this node made from its configuration file, \
         with outcome {outcome}. Correct the policies and identities in the configuration file of every node, and start \
         the nodes again"
    )]
    Outcome {
        /// The number of the outcome.
        outcome: u16,
    },
    /// It does not fit into an entry of the log.
    #[error(
        "the cluster cannot begin: the policies and identities in the configuration file of this node make its first command \
         {bytes} bytes long, more than an entry of the log can hold. Remove some from the configuration file of every node, \
         start the nodes again, and add them later with `keyraft policy apply`"
    )]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
}

/// How to begin again when a founder has lost what it noted. A node that is stopped may belong to a cluster that has begun,
/// and its folder may then be the only one with keys that it acknowledged.
pub(super) const BEGIN_AGAIN: &str = "start every node of cluster.peers first: one that is stopped may hold keys of a cluster that \
     has begun. If a node then waits because the cluster has begun, erase nothing. If all of them run and none says so, stop \
     all of them, erase the data folders of all of them, and start them again: a cluster that has not begun holds no key";

/// Why a founding document from another node cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::raft) enum DocumentError {
    #[error("the founding document cannot be read: run the same version of Keyraft on every node")]
    Unreadable,
    #[error("it has another list in cluster.peers: every node needs the same names and addresses in the same order")]
    OtherPeers,
    #[error(
        "its data folder or the key of its certificate is another one than when this first start of the cluster began: put \
         the folder or the certificate back. If it is lost, {BEGIN_AGAIN}"
    )]
    OtherNode,
    #[error("it takes the founding document only from the first node of cluster.peers")]
    OtherSender,
    #[error("the founding document lacks a signature of the cluster")]
    NotAdmitted,
    #[error("it has another root key: every node needs the same one (seal): {0}")]
    OtherRootKey(String),
}

/// A founding document that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::raft) struct FoundingDocument {
    /// The document as nodes send and note it.
    pub bytes: Bytes,
    /// The cluster's first command.
    pub first_command: EncodedCommand,
    /// The first membership.
    pub members: BTreeMap<NodeId, Member>,
    /// The facts about the cluster that the first command sets.
    pub cluster: ClusterState,
    admissions: BTreeMap<NodeId, Bytes>,
}

/// Decides the first command on an empty state, and returns the cluster that it makes.
///
/// # Errors
/// The cluster would refuse it.
pub(in crate::raft) fn dry_run(first_command: &EncodedCommand) -> Result<ClusterState, FirstCommandRefused> {
    let bytes = first_command.bytes().len();
    if bytes > MAX_PAYLOAD_BYTES - FRAME_ROOM {
        return Err(FirstCommandRefused::TooLarge { bytes });
    }
    let (rules, memory) = (Rules::default(), Memory::default());
    let empty = Current {
        cluster: None,
        rules: &rules,
        record: &|_, _| None,
        memory: &memory,
        members: &Vec::new,
        records_under: &|_| 0,
    };
    let (outcome, changes) = state::apply(first_command, empty);
    let cluster = changes.into_iter().find_map(|change| match change {
        Change::SetCluster(stored) => Some(stored.value),
        _ => None,
    });
    match (outcome.known(), cluster) {
        (Ok(Outcome::Done), Some(cluster)) => Ok(cluster),
        _ => Err(FirstCommandRefused::Outcome { outcome: outcome.number() }),
    }
}

impl FoundingDocument {
    /// The document of a cluster that begins with this command and these members. `cluster` is what [`dry_run`] returned.
    pub(in crate::raft) fn make(
        first_command: EncodedCommand,
        cluster: ClusterState,
        members: BTreeMap<NodeId, Member>,
        keys: &ClusterKeys,
    ) -> Self {
        let admit = |(id, member): (&NodeId, &Member)| {
            let node = AdmittedNode::of(&cluster, *id, member.key, member.store_id);
            (*id, Bytes::copy_from_slice(&node.admit(Role::Voter, &keys.cluster_key).signature))
        };
        let admissions: BTreeMap<NodeId, Bytes> = members.iter().map(admit).collect();
        let wire = wire::FoundingDocument {
            first_command: first_command.bytes().clone(),
            membership: Some(membership_to_wire(None, &membership(&members))),
            admissions: admissions
                .iter()
                .map(|(id, admission)| wire::FounderAdmission { node_id: *id, admission: admission.clone() })
                .collect(),
        };
        Self { bytes: wire.encode_to_vec().into(), first_command, members, cluster, admissions }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// The bytes are something else, or `apply` would refuse the command in it.
    pub(in crate::raft) fn decode(bytes: Bytes) -> Result<Self, DocumentError> {
        let wire = wire::FoundingDocument::decode(bytes.clone()).map_err(|_| DocumentError::Unreadable)?;
        let first_command = EncodedCommand::of_bytes(wire.first_command).ok_or(DocumentError::Unreadable)?;
        let cluster = dry_run(&first_command).map_err(|_| DocumentError::Unreadable)?;
        let members = wire.membership.and_then(|membership| members_from_wire(membership.members));
        let admissions = wire.admissions.into_iter().map(|admitted| (admitted.node_id, admitted.admission));
        Ok(Self {
            bytes,
            first_command,
            members: members.ok_or(DocumentError::Unreadable)?,
            cluster,
            admissions: admissions.collect(),
        })
    }

    /// Checks that this node is a founder in this document, and that the document comes from the first node of the list.
    /// `from` is the key of the node that sent it.
    ///
    /// # Errors
    /// Why this node must not note the document.
    pub(in crate::raft) fn check(
        &self,
        own: Owner,
        own_key: Identity,
        from: Identity,
        peers: &[PeerConfig],
    ) -> Result<(), DocumentError> {
        let named = |member: &Member| {
            let Member { name, peer_address, api_address, .. } = member.clone();
            PeerConfig { name, peer_address, api_address }
        };
        if !self.members.keys().copied().eq(1..=peers.len() as u64)
            || !self.members.values().map(named).eq(peers.iter().cloned())
        {
            return Err(DocumentError::OtherPeers);
        }
        if self.members.values().next().is_none_or(|first| first.key != from) {
            return Err(DocumentError::OtherSender);
        }
        let is_own = |member: &Member| member.store_id == own.store_id && member.key == own_key;
        if !self.members.get(&own.node_id).is_some_and(is_own) {
            return Err(DocumentError::OtherNode);
        }
        let is_admitted = |(id, member): (&NodeId, &Member)| {
            let node = AdmittedNode::of(&self.cluster, *id, member.key, member.store_id);
            let admission = self.admissions.get(id).and_then(|signature| Admission::of_voter(signature));
            admission.is_some_and(|admission| node.is_admitted(&admission, self.cluster.secrets.public_key))
        };
        if self.members.iter().all(is_admitted) { Ok(()) } else { Err(DocumentError::NotAdmitted) }
    }

    /// Checks that a node with this TLS key, which said this about itself, is this founder.
    ///
    /// # Errors
    /// It is another node.
    pub(super) fn is_of(founder: &Member, key: Identity, preface: &Preface) -> Result<(), PeerTrouble> {
        if founder.key != key {
            return Err(PeerTrouble::OtherKey);
        }
        let is_same = founder.store_id == preface.store_id;
        if is_same { Ok(()) } else { Err(PeerTrouble::OtherStore { node: preface.node_id }) }
    }

    /// What `cluster.id` of this founder says at this stage.
    pub(in crate::raft) fn facts(&self, owner: Owner, stage: FoundingStage) -> ClusterFacts {
        ClusterFacts {
            owner,
            cluster: self.cluster.clone(),
            membership: membership_to_wire(None, &membership(&self.members)).encode_to_vec().into(),
            admission: self.admissions.get(&owner.node_id).cloned().unwrap_or_default(),
            founding: Some(Founding { document: self.bytes.clone(), stage }),
        }
    }
}

/// The first membership, in which every member votes.
pub(super) fn membership(members: &BTreeMap<NodeId, Member>) -> Membership {
    Membership::new(vec![members.keys().copied().collect()], members.clone())
        .expect("the voters of a first membership are its members")
}
