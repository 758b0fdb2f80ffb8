//! What a preface says.

use bytes::Bytes;
use prost::Message;

use super::admission::Admission;
use crate::raft::protocol::types::NodeId;
use crate::raft::protocol::wire;
use crate::state::{ClusterId, IncarnationId, ReadableLevels};
use crate::store::{NotedStart, StartId, StoreId};

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
    /// `None` while it does not know its cluster.
    pub incarnation: Option<IncarnationId>,
    /// Its own start. Members name it.
    pub start: Option<StartId>,
    /// The newest start of the other node that it noted.
    pub noted_start: Option<NotedStart>,
    pub version: NodeVersion,
    /// The active level, as far as it has applied the log. `None` before the cluster's first command.
    pub active_level: Option<u32>,
    /// By it the cluster admitted the node.
    pub admission: Option<Admission>,
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
    #[error("a preface with a damaged cluster id or incarnation")]
    ClusterId,
    #[error("a preface with a damaged start")]
    Start,
    #[error("a preface with a damaged admission")]
    Admission,
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
        wire::Preface {
            side: self.side.to_wire().into(),
            node_id: self.node_id,
            node_name: self.name.clone(),
            store_id: Bytes::copy_from_slice(&self.store_id.0),
            cluster_id: self.cluster.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(&id.0)),
            incarnation: self.incarnation.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(&id.0)),
            start: self.start.map(start_to_wire),
            noted_start: self
                .noted_start
                .map(|noted| wire::NotedStart { start: Some(start_to_wire(noted.start)), at_s: noted.at }),
            version: self.version.release.clone(),
            lowest_level: self.version.levels.lowest,
            highest_level: self.version.levels.highest,
            active_level: self.active_level,
            admission: self.admission.as_ref().map(Admission::to_wire),
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
        Ok(Self {
            side: from,
            node_id: wire.node_id,
            name: Some(word(&wire.node_name)).filter(|name| !name.is_empty()).ok_or(ContentError::NoName)?,
            store_id: StoreId(wire.store_id.as_ref().try_into().map_err(|_| ContentError::NoStoreId)?),
            cluster: id_of(&wire.cluster_id)?.map(ClusterId),
            incarnation: id_of(&wire.incarnation)?.map(IncarnationId),
            start: wire.start.map(|start| start_of(&start)).transpose()?,
            noted_start: wire.noted_start.map(noted_of).transpose()?,
            version: NodeVersion { release: word(&wire.version), levels },
            active_level: wire.active_level,
            admission: wire.admission.map(|it| Admission::of_wire(&it).ok_or(ContentError::Admission)).transpose()?,
        })
    }
}

/// The id of a cluster or an incarnation. `None` when it is absent.
fn id_of(bytes: &[u8]) -> Result<Option<[u8; 16]>, ContentError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    bytes.try_into().map(Some).map_err(|_| ContentError::ClusterId)
}

fn start_to_wire(start: StartId) -> wire::Start {
    wire::Start { number: start.number, random: Bytes::copy_from_slice(&start.random) }
}

fn start_of(wire: &wire::Start) -> Result<StartId, ContentError> {
    let random = wire.random.as_ref().try_into().map_err(|_| ContentError::Start)?;
    Ok(StartId { number: wire.number, random })
}

fn noted_of(wire: wire::NotedStart) -> Result<NotedStart, ContentError> {
    let start = start_of(&wire.start.ok_or(ContentError::Start)?)?;
    Ok(NotedStart { start, at: wire.at_s })
}

/// A name or a version that another node sent, without everything that neither can have. This node shows it before the other
/// one has proved anything, so it must not hold a sentence.
fn word(text: &str) -> String {
    let may_have = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    text.chars().filter(may_have).take(MAX_NAME).collect()
}

/// A text that another node sent, cut to what is safe in a log.
pub(in crate::raft) fn printable(text: &str, max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(max).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::raft::preface::admission::Role;

    /// The preface of a node of cluster 1 that runs release 1.0.0.
    pub(in crate::raft::preface) fn preface(name: &str, side: ConnectionSide) -> Preface {
        Preface {
            side,
            node_id: 7,
            name: name.to_owned(),
            store_id: StoreId([2; 16]),
            cluster: Some(ClusterId([1; 16])),
            incarnation: None,
            start: None,
            noted_start: None,
            version: NodeVersion { release: "1.0.0".to_owned(), levels: ReadableLevels { lowest: 1, highest: 3 } },
            active_level: Some(2),
            admission: None,
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
        let start = |number| StartId { number, random: [number.to_be_bytes(); 2].concat().try_into().unwrap() };
        let member = Preface {
            incarnation: Some(IncarnationId([3; 16])),
            start: Some(start(7)),
            noted_start: Some(NotedStart { start: start(9), at: 5 }),
            admission: Some(Admission { role: Role::Voter, signature: [6; 64] }),
            ..whole.clone()
        };
        for sent in [whole, blank, member] {
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
        assert_eq!(decode(|wire| wire.node_name = " \n".to_owned()), Err(ContentError::NoName));
        assert_eq!(decode(|wire| wire.cluster_id.truncate(3)), Err(ContentError::ClusterId));
        assert_eq!(decode(|wire| wire.incarnation = vec![1; 3].into()), Err(ContentError::ClusterId));
        assert_eq!(decode(|wire| wire.start = Some(wire::Start::default())), Err(ContentError::Start));
        assert_eq!(decode(|wire| wire.noted_start = Some(wire::NotedStart::default())), Err(ContentError::Start));
        assert_eq!(decode(|wire| wire.admission = Some(wire::Admission::default())), Err(ContentError::Admission));
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
            assert!(text.starts_with("31m31m") && text.len() == MAX_NAME, "{text}");
        }
        let sentence = "erase all folders, then run 'rm -rf /'";
        let read = decode(|wire| (wire.node_name, wire.version) = (sentence.to_owned(), sentence.to_owned())).unwrap();
        for text in [read.name, read.version.release] {
            assert_eq!(text, "eraseallfoldersthenrunrm-rf");
        }
    }
}
