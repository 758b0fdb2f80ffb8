//! Why another node does not work with this one, concluded from how a call to it failed.

use std::error::Error;
use std::io;

use bytes::Bytes;
use tonic::{Code, Status};

use crate::raft::preface::content::printable;
use crate::raft::preface::exchange::PrefaceError;
use crate::raft::preface::refusal::RefusalCode;
use crate::raft::protocol::types::NodeId;
use crate::tls::handshake_failure;

/// How many characters of another node's words this one keeps.
const MAX_WORDS: usize = 512;

/// In the details of a status, this says that the node refuses the call because it is sealed.
const SEALED: &[u8] = b"sealed";

/// Why another node does not work with this one. The text continues a sentence that begins with the node's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerTrouble {
    /// It refused the call, in these words.
    #[error("refuses this node: {0}")]
    Refuses(String),
    /// This node refuses it, in these words.
    #[error("is refused by this node: {0}")]
    RefusedHere(String),
    /// It answers, but is not ready to work with this node. The words are its own, or this node's.
    #[error("is not ready: {0}")]
    NotReady(String),
    /// It is sealed, for this reason, and takes no part in consensus. The words are its own.
    #[error("is sealed: {0}")]
    Sealed(String),
    /// It belongs to a cluster that has begun, and this node does not.
    #[error("belongs to a cluster that has begun")]
    ClusterBegun,
    /// The name in its address does not resolve.
    #[error("cannot be reached: the name in its address does not resolve ({0})")]
    NameNotResolved(String),
    /// Nothing listens at its address.
    #[error("cannot be reached: connection refused")]
    ConnectionRefused,
    /// It did not answer in time.
    #[error("does not answer in time")]
    TimedOut,
    /// The TLS handshake failed.
    #[error("cannot be reached: the TLS handshake failed: {0}")]
    Tls(String),
    /// The node at its address has another key than the membership records.
    #[error(
        "cannot be used: the node at its address has another key than the membership records; check that address, and \
         that the node there runs on its own data folder (cluster.data)"
    )]
    OtherKey,
    /// The node at its address has another store than the membership records.
    #[error(
        "cannot be used: the node at its address has another data folder (cluster.data) than the membership records: the \
         data folder of node {node}"
    )]
    OtherStore {
        /// The id of the node to which that store belongs.
        node: NodeId,
    },
    /// The connection broke, or the system could not make it.
    #[error("cannot be reached: {0}")]
    Broken(String),
    /// It no longer has entries that it acknowledged to this node, the leader.
    #[error("no longer has entries that it acknowledged, up to index {acknowledged}: its data folder is an older copy")]
    LostEntries {
        /// The last index that it acknowledged.
        acknowledged: u64,
    },
}

impl PeerTrouble {
    /// A peer that says in these words why it is sealed.
    pub(in crate::raft) fn sealed(words: &str) -> Self {
        Self::Sealed(printable(words, MAX_WORDS))
    }

    /// Whether it ends only when a person does something. A peer that is stopped or starts comes back by itself.
    pub(in crate::raft) fn needs_a_person(&self) -> bool {
        match self {
            Self::NotReady(_) | Self::ConnectionRefused | Self::TimedOut | Self::Broken(_) => false,
            Self::Refuses(_)
            | Self::RefusedHere(_)
            | Self::Sealed(_)
            | Self::ClusterBegun
            | Self::NameNotResolved(_)
            | Self::Tls(_)
            | Self::OtherKey
            | Self::OtherStore { .. }
            | Self::LostEntries { .. } => true,
        }
    }

    /// An I/O error in which [`PeerTrouble::of`] finds this value again, below the layers of the client.
    pub(in crate::raft) fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::ConnectionRefused => io::ErrorKind::ConnectionRefused,
            Self::TimedOut => io::ErrorKind::TimedOut,
            Self::OtherKey | Self::OtherStore { .. } => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }

    /// Concludes from a failed exchange of prefaces.
    pub(in crate::raft) fn of_preface(error: PrefaceError) -> Self {
        match error {
            PrefaceError::Refused(refusal) | PrefaceError::Untimely(refusal) => Self::RefusedHere(refusal.to_string()),
            PrefaceError::RefusedByPeer(refusal) if refusal.is(RefusalCode::Sealed) => Self::Sealed(refusal.reason),
            PrefaceError::RefusedByPeer(refusal) if refusal.is(RefusalCode::NotReady) => Self::NotReady(refusal.reason),
            PrefaceError::RefusedByPeer(refusal) if refusal.is(RefusalCode::ClusterBegun) => Self::ClusterBegun,
            PrefaceError::RefusedByPeer(refusal) => Self::Refuses(refusal.to_string()),
            PrefaceError::CannotProve(_) | PrefaceError::Starts(_) | PrefaceError::Closed => {
                Self::Broken(error.to_string())
            }
            PrefaceError::Slow => Self::TimedOut,
            // The alert of a node that refuses this one's certificate arrives now, after the handshake.
            PrefaceError::Connection(error) => Self::of_io(&error),
        }
    }

    /// Concludes from the status of a failed call.
    pub(in crate::raft) fn of(status: &Status) -> Self {
        if let Some(cause) = status.source() {
            return Self::of_cause(cause);
        }
        let words = || printable(status.message(), MAX_WORDS);
        match status.code() {
            Code::Unavailable if status.details() == SEALED => Self::Sealed(words()),
            Code::Unavailable => Self::NotReady(words()),
            Code::DeadlineExceeded | Code::Cancelled => Self::TimedOut,
            _ => Self::Refuses(words()),
        }
    }

    /// Concludes from the error of a connection that broke or could not be made.
    pub(in crate::raft) fn of_io(error: &io::Error) -> Self {
        if let Some(known) = error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            return known.clone();
        }
        if let Some(why) = handshake_failure(error) {
            return Self::Tls(why);
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::ConnectionRefused,
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => match error.get_ref() {
                Some(inner) => Self::of_cause(inner),
                None => Self::Broken(error.to_string()),
            },
        }
    }

    /// The layers of the client wrap the error. The outermost one that this node knows decides, and otherwise the text
    /// of the innermost.
    fn of_cause(cause: &(dyn Error + 'static)) -> Self {
        let mut next = Some(cause);
        let mut deepest = String::new();
        while let Some(error) = next {
            if let Some(known) = error.downcast_ref::<Self>() {
                return known.clone();
            }
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return Self::of_io(error);
            }
            deepest = error.to_string();
            next = error.source();
        }
        Self::Broken(deepest)
    }
}

/// The status with which a sealed node refuses a call. At the other end, [`PeerTrouble::of`] makes it
/// [`PeerTrouble::Sealed`].
pub(in crate::raft) fn sealed_status(why: &str) -> Status {
    Status::with_details(Code::Unavailable, why, Bytes::from_static(SEALED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_found_under_the_layers_of_the_client() {
        let layered = |error: io::Error| PeerTrouble::of(&Status::from_error(Box::new(io::Error::other(error))));
        assert_eq!(layered(PeerTrouble::OtherKey.into_io()), PeerTrouble::OtherKey);
        assert_eq!(layered(io::ErrorKind::ConnectionRefused.into()), PeerTrouble::ConnectionRefused);
        assert_eq!(layered(io::ErrorKind::TimedOut.into()), PeerTrouble::TimedOut);
        assert_eq!(layered(io::Error::other("odd")), PeerTrouble::Broken("odd".to_owned()));
    }

    #[test]
    fn a_refusal_keeps_the_words_of_the_node_that_refuses() {
        let refused = PeerTrouble::of(&Status::permission_denied("the caller belongs to another cluster"));
        assert_eq!(refused.to_string(), "refuses this node: the caller belongs to another cluster");
        let starting = PeerTrouble::of(&Status::unavailable("it does not take part in the cluster yet"));
        assert_eq!(starting.to_string(), "is not ready: it does not take part in the cluster yet");
    }

    #[test]
    fn the_words_of_another_node_are_cut_to_what_is_safe_in_a_log() {
        let forged = "no\u{1b}[31m\n".repeat(1000);
        for status in [Status::unavailable(&forged), Status::permission_denied(&forged), sealed_status(&forged)] {
            let shown = PeerTrouble::of(&status).to_string();
            assert!(shown.contains(": no[31mno[31m") && shown.len() < 2 * MAX_WORDS, "{shown}");
        }
    }

    #[test]
    fn the_refusal_of_a_sealed_node_says_why_it_is_sealed() {
        let sealed = PeerTrouble::of(&sealed_status("root.key is empty"));
        assert_eq!(sealed.to_string(), "is sealed: root.key is empty");
    }
}
