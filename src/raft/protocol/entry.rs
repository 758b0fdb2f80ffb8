//! Log entries as bytes, which the log stores and the nodes send each other.
//!
//! Layout, format 1: format `u8`, kind `u8`, feature level `u32` (big-endian), body. The body of a command is the
//! command as the node that received the write encoded it. No other node encodes it again.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::EntryPayload;
use openraft::entry::RaftEntry;

use super::membership::{decode_membership, encode_membership};
use super::types::{Entry, Proposal, RaftLogId};
use crate::state::{FEATURE_LEVEL, FIRST_LEVEL};

const FORMAT: u8 = 1;
/// Format, kind and level.
const FRAME_BYTES: usize = 6;
const BLANK: u8 = 0;
const COMMAND: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// Why the payload of an entry cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It has a level above this binary's. The node must stop before it appends the entry.
    #[error(
        "a log entry has feature level {0}, but this version knows only levels up to {known}: run a newer version",
        known = FEATURE_LEVEL
    )]
    LevelAbove(u32),
    /// The bytes are not an entry.
    #[error("a log entry is damaged")]
    Damaged,
}

/// Encodes the payload of an entry.
pub(in crate::raft) fn encode_payload(entry: &Entry) -> Bytes {
    match &entry.payload {
        EntryPayload::Blank => framed(BLANK, FIRST_LEVEL, &[]),
        EntryPayload::Normal(proposal) => proposal.framed.clone(),
        EntryPayload::Membership(membership) => framed(MEMBERSHIP, FIRST_LEVEL, &encode_membership(None, membership)),
    }
}

/// Decodes the payload of the entry at `id`.
///
/// # Errors
/// The payload has a later level, or is damaged.
pub(in crate::raft) fn decode_entry(id: RaftLogId, framed: Bytes) -> Result<Entry, EntryError> {
    let mut payload = framed.clone();
    if payload.len() < FRAME_BYTES || payload.get_u8() != FORMAT {
        return Err(EntryError::Damaged);
    }
    let kind = payload.get_u8();
    let level = payload.get_u32();
    if level > FEATURE_LEVEL {
        return Err(EntryError::LevelAbove(level));
    }
    match kind {
        BLANK => Ok(Entry::new_blank(id)),
        COMMAND => Ok(Entry::new_normal(id, Proposal { framed })),
        MEMBERSHIP => {
            let (_, membership) = decode_membership(&payload).ok_or(EntryError::Damaged)?;
            Ok(Entry::new_membership(id, membership))
        }
        _ => Err(EntryError::Damaged),
    }
}

impl Proposal {
    /// A proposal of an encoded command, at the feature level `level`.
    pub(in crate::raft) fn new(level: u32, command: &[u8]) -> Self {
        Self { framed: framed(COMMAND, level, command) }
    }

    /// The command as the node that received the write encoded it.
    pub(in crate::raft) fn command(&self) -> Bytes {
        self.framed.slice(FRAME_BYTES..)
    }
}

fn framed(kind: u8, level: u32, body: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(FRAME_BYTES + body.len());
    framed.put_u8(FORMAT);
    framed.put_u8(kind);
    framed.put_u32(level);
    framed.put_slice(body);
    framed.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::protocol::types::LeaderId;

    fn id() -> RaftLogId {
        RaftLogId::new(LeaderId { term: 3, node_id: 2 }, 9)
    }

    #[test]
    fn payloads_round_trip() {
        let proposal = Proposal::new(1, b"command");
        for entry in [Entry::new_blank(id()), Entry::new_normal(id(), proposal)] {
            let again = decode_entry(id(), encode_payload(&entry)).unwrap();
            assert_eq!(again.payload, entry.payload);
        }
    }

    #[test]
    fn an_entry_of_a_later_level_is_refused_before_it_is_appended() {
        let payload = framed(COMMAND, FEATURE_LEVEL + 1, b"from the future");
        assert_eq!(decode_entry(id(), payload).unwrap_err(), EntryError::LevelAbove(FEATURE_LEVEL + 1));
    }

    #[test]
    fn damaged_payloads_are_refused() {
        for payload in [&b""[..], &[1, 0, 0], &[9, 0, 0, 0, 0, 1], &[1, 7, 0, 0, 0, 1], &[1, 2, 0, 0, 0, 1, 255]] {
            let decoded = decode_entry(id(), Bytes::copy_from_slice(payload));
            assert_eq!(decoded.unwrap_err(), EntryError::Damaged, "{payload:?}");
        }
    }
}
