//! Log entries as bytes, which the log stores and the nodes send each other.
//!
//! Layout, format 1: format `u8`, kind `u8`, feature level `u32` (big-endian), and the rest by kind. An entry without a
//! command has its content there. A command begins with its level, so that its bytes follow the kind as the node that
//! received the write encoded them. No other node encodes them again.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::EntryPayload;
use openraft::entry::RaftEntry;

use super::membership::{decode_membership, encode_membership};
use super::types::{Entry, Proposal, RaftLogId};
use crate::state::{EncodedCommand, HIGHEST_LEVEL};
use crate::store::MAX_PAYLOAD_BYTES;

const FORMAT: u8 = 1;
/// Format and kind.
const FRAME_BYTES: usize = 2;
const LEVEL_BYTES: usize = 4;
const BLANK: u8 = 0;
const COMMAND: u8 = 1;
const MEMBERSHIP: u8 = 2;
/// The level of entries without a command. It stays 1 until a later level gives them another form.
const LEVEL_WITHOUT_COMMAND: u32 = 1;

/// Why the payload of an entry cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It has a level above this binary's. The node must stop before it appends the entry.
    #[error(
        "a log entry has feature level {0}, but this version knows only levels up to {known}: run a newer version",
        known = HIGHEST_LEVEL
    )]
    LevelAbove(u32),
    /// The bytes are not an entry.
    #[error("a log entry is damaged")]
    Damaged,
}

/// Encodes the payload of an entry.
pub(in crate::raft) fn encode_payload(entry: &Entry) -> Bytes {
    match &entry.payload {
        EntryPayload::Blank => framed(BLANK, LEVEL_WITHOUT_COMMAND, &[]),
        EntryPayload::Normal(proposal) => proposal.framed.clone(),
        EntryPayload::Membership(membership) => {
            framed(MEMBERSHIP, LEVEL_WITHOUT_COMMAND, &encode_membership(None, membership))
        }
    }
}

/// The level of an entry, which its payload carries.
pub(in crate::raft) fn level_of(entry: &Entry) -> u32 {
    match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.command.level(),
        EntryPayload::Blank | EntryPayload::Membership(_) => LEVEL_WITHOUT_COMMAND,
    }
}

/// Decodes the payload of the entry at `id`.
///
/// # Errors
/// The payload has a later level, or is damaged.
pub(in crate::raft) fn decode_entry(id: RaftLogId, framed: Bytes) -> Result<Entry, EntryError> {
    let mut payload = framed.clone();
    if payload.len() < FRAME_BYTES + LEVEL_BYTES || payload.len() > MAX_PAYLOAD_BYTES {
        return Err(EntryError::Damaged);
    }
    let (format, kind, level) = (payload.get_u8(), payload.get_u8(), payload.get_u32());
    // The level stands at the same place in every format, so that this version can say which one it would have to know.
    if level > HIGHEST_LEVEL {
        return Err(EntryError::LevelAbove(level));
    }
    if format != FORMAT {
        return Err(EntryError::Damaged);
    }
    match kind {
        // Another level would not be kept in the log.
        BLANK | MEMBERSHIP if level != LEVEL_WITHOUT_COMMAND => Err(EntryError::Damaged),
        BLANK if payload.is_empty() => Ok(Entry::new_blank(id)),
        COMMAND => {
            let command = EncodedCommand::of_bytes(framed.slice(FRAME_BYTES..)).ok_or(EntryError::Damaged)?;
            Ok(Entry::new_normal(id, Proposal { framed, command }))
        }
        MEMBERSHIP => {
            let (_, membership) = decode_membership(&payload).ok_or(EntryError::Damaged)?;
            // The log gets what this node encodes. A field that it does not know must not get lost there.
            // A cluster without voters could never decide on anything again.
            if encode_membership(None, &membership) != payload || membership.voter_ids().next().is_none() {
                return Err(EntryError::Damaged);
            }
            Ok(Entry::new_membership(id, membership))
        }
        _ => Err(EntryError::Damaged),
    }
}

impl Proposal {
    /// A proposal of a command.
    pub(in crate::raft) fn new(command: &EncodedCommand) -> Self {
        let bytes = command.bytes();
        let mut framed = BytesMut::with_capacity(FRAME_BYTES + bytes.len());
        framed.put_slice(&[FORMAT, COMMAND]);
        framed.put_slice(bytes);
        Self { framed: framed.freeze(), command: command.clone() }
    }
}

/// An entry without a command.
fn framed(kind: u8, level: u32, content: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(FRAME_BYTES + LEVEL_BYTES + content.len());
    framed.put_slice(&[FORMAT, kind]);
    framed.put_u32(level);
    framed.put_slice(content);
    framed.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::protocol::types::LeaderId;
    use crate::state::RequestId;

    fn id() -> RaftLogId {
        RaftLogId::new(LeaderId { term: 3, node_id: 2 }, 9)
    }

    #[test]
    fn payloads_round_trip() {
        let proposal = Proposal::new(&EncodedCommand::new(1, RequestId([7; 16]), 3, b"command"));
        for entry in [Entry::new_blank(id()), Entry::new_normal(id(), proposal)] {
            let again = decode_entry(id(), encode_payload(&entry)).unwrap();
            assert_eq!(again.payload, entry.payload);
        }
    }

    #[test]
    fn an_entry_of_a_later_level_is_refused_before_it_is_appended() {
        let payload = framed(COMMAND, HIGHEST_LEVEL + 1, b"what the header of a later version may be");
        assert_eq!(decode_entry(id(), payload).unwrap_err(), EntryError::LevelAbove(HIGHEST_LEVEL + 1));
    }

    #[test]
    fn damaged_payloads_are_refused() {
        for payload in [
            &b""[..],
            &[1, 0, 0],
            &[9, 0, 0, 0, 0, 1],
            &[1, 7, 0, 0, 0, 1],
            &[1, 0, 0, 0, 0, 1, 0],
            &[1, 0, 0, 0, 0, 0],
            &[1, 2, 0, 0, 0, 1, 255],
            &[1, 2, 0, 0, 0, 1],
            &[1, 2, 0, 0, 0, 1, 10, 0],
            &[1, 1, 0, 0, 0, 1, 7],
        ] {
            let decoded = decode_entry(id(), Bytes::copy_from_slice(payload));
            assert_eq!(decoded.unwrap_err(), EntryError::Damaged, "{payload:?}");
        }
    }
}
