//! With what this node can prove itself to others, at each stage of its life.

use std::sync::Arc;

use super::admission::{Admission, AdmittedNode};
use super::content::{ConnectionSide, Preface};
use super::hello::Purpose;
use super::node_starts::NodeStarts;
use super::proof::Proving;
use super::shown_seal::ShownSeal;
use crate::crypto::{ClusterKey, ClusterPublicKey};
use crate::policy::Identity;
use crate::state::{ClusterId, IncarnationId};

/// With what this node can prove itself. Each start begins closed.
pub(in crate::raft) enum Credential {
    /// It has no root key yet, or has not opened the keys of this cluster.
    Closed(Option<ClusterIdentity>),
    /// It is blank, and has the bootstrap key of the cluster that is being made.
    Founder,
    /// It has noted the founding document, and does not know yet that all founders have.
    Noted(MemberCredential),
    /// Its cluster has begun.
    Member(MemberCredential),
}

/// What a node knows of its cluster even while it is sealed, and what shows that the cluster admitted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::raft) struct ClusterIdentity {
    pub id: ClusterId,
    pub incarnation: IncarnationId,
    pub public_key: ClusterPublicKey,
    /// The admission of this node. `None` when `cluster.id` lacks it.
    pub admission: Option<Admission>,
}

/// What a node with an open key ring proves itself with.
#[derive(Clone)]
pub(in crate::raft) struct MemberCredential {
    pub cluster: ClusterIdentity,
    pub key: Arc<ClusterKey>,
    pub starts: Arc<NodeStarts>,
}

/// Why a node cannot prove itself for a purpose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::raft) enum CannotProve {
    #[error("it is sealed: {0}")]
    Sealed(String),
    #[error("it is starting")]
    Starting,
    #[error("it does not belong to a cluster yet")]
    Blank,
    #[error("its cluster has begun")]
    Begun,
    #[error("it is open")]
    Open,
}

impl CannotProve {
    /// Whether it goes over by itself in a start in which nothing is wrong. `is_known_store` says whether the other node has
    /// the TLS key and the store of one member: such a founder has yet to see that the cluster has begun. One that lost its
    /// folder has another store.
    pub(super) fn ends_by_itself(&self, is_known_store: bool) -> bool {
        match self {
            Self::Starting | Self::Blank => true,
            Self::Begun => is_known_store,
            Self::Sealed(_) | Self::Open => false,
        }
    }
}

impl Credential {
    /// How this node proves itself at this end of a connection, and what it demands of the other node.
    ///
    /// # Errors
    /// Why it cannot.
    pub(super) fn proving(
        &self,
        purpose: Purpose,
        side: ConnectionSide,
        seal: &ShownSeal,
    ) -> Result<Proving, CannotProve> {
        let closed = || seal.sealed().map_or(CannotProve::Starting, CannotProve::Sealed);
        match (self, purpose, side) {
            (Self::Closed(Some(cluster)), Purpose::Sealed, ConnectionSide::Connector) => {
                Ok(Proving::AcceptorAlone(None, cluster.public_key))
            }
            (Self::Closed(_), _, _) => Err(closed()),
            (Self::Founder | Self::Noted(_), Purpose::Founder, _) => {
                seal.bootstrap().map(Proving::Bootstrap).ok_or_else(closed)
            }
            (Self::Founder, _, _) => Err(CannotProve::Blank),
            (Self::Noted(member) | Self::Member(member), Purpose::Member, _) => {
                Ok(Proving::Cluster(Arc::clone(&member.key)))
            }
            (Self::Noted(member) | Self::Member(member), Purpose::Sealed, ConnectionSide::Acceptor) => {
                Ok(Proving::AcceptorAlone(Some(Arc::clone(&member.key)), member.cluster.public_key))
            }
            (Self::Noted(_) | Self::Member(_), Purpose::Sealed, ConnectionSide::Connector) => Err(CannotProve::Open),
            (Self::Member(_), Purpose::Founder, _) => Err(CannotProve::Begun),
        }
    }

    /// What this node knows of its cluster.
    pub(super) fn known(&self) -> Option<&ClusterIdentity> {
        match self {
            Self::Founder => None,
            Self::Closed(cluster) => cluster.as_ref(),
            Self::Noted(member) | Self::Member(member) => Some(&member.cluster),
        }
    }

    /// The starts of this node and its peers, which its connections as a member name.
    pub(super) fn starts(&self, purpose: Purpose) -> Option<&Arc<NodeStarts>> {
        match self {
            Self::Noted(member) | Self::Member(member) if purpose == Purpose::Member => Some(&member.starts),
            _ => None,
        }
    }
}

impl ClusterIdentity {
    /// Whether the cluster admitted the node that sent this preface over a connection with this TLS key.
    pub(super) fn admitted(&self, preface: &Preface, key: Identity) -> bool {
        let node = AdmittedNode {
            cluster: self.id,
            incarnation: self.incarnation,
            id: preface.node_id,
            key,
            store_id: preface.store_id,
        };
        preface.admission.as_ref().is_some_and(|admission| node.is_admitted(admission, self.public_key))
    }
}
