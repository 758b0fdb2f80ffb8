//! What a preface says.

use bytes::Bytes;
use prost::Message;

use crate::raft::protocol::types::NodeId;
use crate::raft::protocol::wire;
use crate::state::{ClusterId, ReadableLevels};
use crate::store::StoreId;

/// How many characters of a name or a version that another node sends this one keeps.
const MAX_NAME: usize = 64;

/// Which end of a connection a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::raft) enum ConnectionSide {
    Connector,
    Acceptor,
}

/// What a node says about itself at the beginning of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::raft) struct Preface {
    pub side: ConnectionSide,
    pub node_id: NodeId,
    /// Its name (`cluster.name`).
    pub name: String,
    pub store_id: StoreId,
    /// `None` while it does not know its cluster.
    pub cluster: Option<ClusterId>,
    pub version: NodeVersion,
    /// The active level, as far as it has applied the log. `None` before the cluster's first command.
    pub active_level: Option<u32>,
}

/// The version of Keyraft that a node runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeVersion {
    /// The release.
    pub release: String,
    /// The feature levels that it can read.
    pub levels: ReadableLevels,
}

/// Why the content of a preface cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::raft) enum ContentError {
    #[error("a preface that cannot be decoded")]
    Undecodable,
    #[error("a preface from the wrong end of the connection")]
    WrongSide,
    #[error("a preface without a name")]
    NoName,
    #[error("a preface without the id of a store")]
    NoStoreId,
    #[error("a preface with a damaged cluster id")]
    ClusterId,
    #[error("a preface without the feature levels that the node can read")]
    NoLevels,
}

impl ConnectionSide {
    /// The other end.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Connector => Self::Acceptor,
            Self::Acceptor => Self::Connector,
        }
    }

    fn to_wire(self) -> wire::ConnectionSide {
        match self {
            Self::Connector => wire::ConnectionSide::Connector,
            Self::Acceptor => wire::ConnectionSide::Acceptor,
        }
    }
}

impl NodeVersion {
    /// The version of this node.
    pub fn own() -> Self {
        Self { release: env!("CARGO_PKG_VERSION").to_owned(), levels: ReadableLevels::OWN }
    }
}

impl Preface {
    /// The content of its frame.
    pub(super) fn encode(&self) -> Vec<u8> {
        let cluster = self.cluster.as_ref().map_or_else(Bytes::new, |id| Bytes::copy_from_slice(&id.0));
        wire::Preface {
            side: self.side.to_wire().into(),
            node_id: self.node_id,
            node_name: self.name.clone(),
            store_id: Bytes::copy_from_slice(&self.store_id.0),
            cluster_id: cluster,
            version: self.version.release.clone(),
            lowest_level: self.version.levels.lowest,
            highest_level: self.version.levels.highest,
            active_level: self.active_level,
        }
        .encode_to_vec()
    }

    /// Decodes the content of a frame that came from this end of the connection.
    pub(super) fn decode(content: &[u8], from: ConnectionSide) -> Result<Self, ContentError> {
        let wire = wire::Preface::decode(content).map_err(|_| ContentError::Undecodable)?;
        if wire.side() != from.to_wire() {
            return Err(ContentError::WrongSide);
        }
        let levels = ReadableLevels { lowest: wire.lowest_level, highest: wire.highest_level };
        if levels.lowest == 0 || levels.lowest > levels.highest {
            return Err(ContentError::NoLevels);
        }
        let name = Some(printable(&wire.node_name, MAX_NAME)).filter(|name| !name.is_empty());
        Ok(Self {
            side: from,
            node_id: wire.node_id,
            name: name.ok_or(ContentError::NoName)?,
            store_id: StoreId(wire.store_id.as_ref().try_into().map_err(|_| ContentError::NoStoreId)?),
            cluster: cluster_id(&wire.cluster_id)?,
            version: NodeVersion { release: printable(&wire.version, MAX_NAME), levels },
            active_level: wire.active_level,
        })
    }
}

fn cluster_id(bytes: &[u8]) -> Result<Option<ClusterId>, ContentError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    bytes.try_into().map(|id| Some(ClusterId(id))).map_err(|_| ContentError::ClusterId)
}

/// A text that another node sent, cut to what is safe in a log.
pub(in crate::raft) fn printable(text: &str, max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(max).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The preface of a node of cluster 1 that runs release 1.0.0.
    pub(in crate::raft::preface) fn preface(name: &str, side: ConnectionSide) -> Preface {
        Preface {
            side,
            node_id: 7,
            name: name.to_owned(),
            store_id: StoreId([2; 16]),
            cluster: Some(ClusterId([1; 16])),
            version: NodeVersion { release: "1.0.0".to_owned(), levels: ReadableLevels { lowest: 1, highest: 3 } },
            active_level: Some(2),
        }
    }

    fn decode(change: impl FnOnce(&mut wire::Preface)) -> Result<Preface, ContentError> {
        let encoded = preface("a", ConnectionSide::Connector).encode();
        let mut wire = wire::Preface::decode(&encoded[..]).unwrap();
        change(&mut wire);
        Preface::decode(&wire.encode_to_vec(), ConnectionSide::Connector)
    }

    #[test]
    fn a_preface_is_decoded_as_it_was_encoded() {
        let whole = preface("a", ConnectionSide::Connector);
        let blank = Preface { cluster: None, active_level: None, ..whole.clone() };
        for sent in [whole, blank] {
            assert_eq!(Preface::decode(&sent.encode(), ConnectionSide::Connector), Ok(sent));
        }
    }

    #[test]
    fn a_field_that_is_absent_never_counts_as_an_ability() {
        assert_eq!(decode(|wire| wire.highest_level = 0), Err(ContentError::NoLevels));
        assert_eq!(decode(|wire| wire.lowest_level = 0), Err(ContentError::NoLevels));
        assert_eq!(decode(|wire| wire.lowest_level = 4), Err(ContentError::NoLevels));
        assert_eq!(decode(|wire| wire.store_id.clear()), Err(ContentError::NoStoreId));
        assert_eq!(decode(|wire| wire.node_name.clear()), Err(ContentError::NoName));
        assert_eq!(decode(|wire| wire.cluster_id.truncate(3)), Err(ContentError::ClusterId));
        assert_eq!(Preface::decode(b"", ConnectionSide::Connector), Err(ContentError::WrongSide));
    }

    #[test]
    fn a_preface_that_is_sent_back_to_its_sender_is_refused() {
        let sent = preface("a", ConnectionSide::Acceptor).encode();
        assert_eq!(Preface::decode(&sent, ConnectionSide::Connector), Err(ContentError::WrongSide));
    }

    #[test]
    fn names_and_versions_are_cut_to_what_is_safe_in_a_log() {
        let forged = "\u{1b}[31m\n".repeat(100);
        let read = decode(|wire| (wire.node_name, wire.version) = (forged.clone(), forged)).unwrap();
        for text in [read.name, read.version.release] {
            assert!(text.starts_with("[31m[31m") && text.len() == MAX_NAME, "{text}");
        }
    }
}
