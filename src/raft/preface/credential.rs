//! With what this node can prove itself to others, at each stage of its life.

use std::sync::Arc;

use super::admission::{Admission, AdmittedNode};
use super::content::{ConnectionSide, Preface};
use super::hello::Purpose;
use super::node_starts::NodeStarts;
use super::proof::Proving;
use crate::crypto::{BootstrapKey, ClusterKey, ClusterPublicKey};
use crate::policy::Identity;
use crate::state::{ClusterId, IncarnationId};

/// With what this node can prove itself. Each start begins sealed.
#[cfg_attr(not(test), expect(dead_code, reason = "nodes prove nothing until the cluster has its keys"))]
pub(in crate::raft) enum Credential {
    /// It proves nothing and believes everybody.
    Unproven(Option<ClusterId>),
    /// It has no root key, or the root key does not open the ring of this cluster.
    Sealed {
        /// `None` while it knows no cluster.
        cluster: Option<KnownCluster>,
        /// Why, for its members.
        why: String,
    },
    /// It is blank, and has the bootstrap key of the cluster that is being made.
    Founder(BootstrapKey),
    /// It has noted the founding document, and does not know yet that all founders have.
    Noted(BootstrapKey, MemberCredential),
    /// Its cluster has begun.
    Member(MemberCredential),
}

/// What a node knows of its cluster even while it is sealed, and what shows that the cluster admitted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::raft) struct KnownCluster {
    pub id: ClusterId,
    pub incarnation: IncarnationId,
    pub public_key: ClusterPublicKey,
    /// The admission of this node.
    pub admission: Admission,
}

/// What a node with an open key ring proves itself with.
#[derive(Clone)]
pub(in crate::raft) struct MemberCredential {
    pub cluster: KnownCluster,
    pub key: Arc<ClusterKey>,
    pub starts: Arc<NodeStarts>,
}

/// Why a node cannot prove itself for a purpose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::raft) enum CannotProve {
    #[error("it is sealed: {0}")]
    Sealed(String),
    #[error("it does not belong to a cluster yet")]
    Blank,
    #[error("its cluster has begun")]
    Begun,
    #[error("it is open")]
    Open,
}

impl Credential {
    /// How this node proves itself at this end of a connection, and what it demands of the other node.
    ///
    /// # Errors
    /// Why it cannot.
    pub(super) fn proving(&self, purpose: Purpose, side: ConnectionSide) -> Result<Proving, CannotProve> {
        match (self, purpose, side) {
            (Self::Unproven(_), Purpose::Member, _) => Ok(Proving::Unproven),
            (Self::Sealed { cluster: Some(cluster), .. }, Purpose::Sealed, ConnectionSide::Connector) => {
                Ok(Proving::AcceptorAlone(None, cluster.public_key))
            }
            (Self::Sealed { why, .. }, _, _) => Err(CannotProve::Sealed(why.clone())),
            (Self::Founder(key) | Self::Noted(key, _), Purpose::Founder, _) => Ok(Proving::Bootstrap(key.clone())),
            (Self::Unproven(_) | Self::Founder(_), _, _) => Err(CannotProve::Blank),
            (Self::Noted(_, member) | Self::Member(member), Purpose::Member, _) => {
                Ok(Proving::Cluster(Arc::clone(&member.key)))
            }
            (Self::Noted(_, member) | Self::Member(member), Purpose::Sealed, ConnectionSide::Acceptor) => {
                Ok(Proving::AcceptorAlone(Some(Arc::clone(&member.key)), member.cluster.public_key))
            }
            (Self::Noted(_, _) | Self::Member(_), Purpose::Sealed, ConnectionSide::Connector) => Err(CannotProve::Open),
            (Self::Member(_), Purpose::Founder, _) => Err(CannotProve::Begun),
        }
    }

    /// What this node knows of its cluster.
    pub(super) fn known(&self) -> Option<&KnownCluster> {
        match self {
            Self::Unproven(_) | Self::Founder(_) => None,
            Self::Sealed { cluster, .. } => cluster.as_ref(),
            Self::Noted(_, member) | Self::Member(member) => Some(&member.cluster),
        }
    }

    /// The starts of this node and its peers, which its connections as a member name.
    pub(super) fn starts(&self, purpose: Purpose) -> Option<&Arc<NodeStarts>> {
        match self {
            Self::Noted(_, member) | Self::Member(member) if purpose == Purpose::Member => Some(&member.starts),
            _ => None,
        }
    }

    /// The id of the cluster.
    pub(super) fn cluster(&self) -> Option<ClusterId> {
        match self {
            Self::Unproven(cluster) => *cluster,
            _ => self.known().map(|known| known.id),
        }
    }
}

impl KnownCluster {
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
