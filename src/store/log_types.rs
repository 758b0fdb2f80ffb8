//! The types of the log: positions, votes and payloads, and how the write-ahead log stores them.

use std::io::{self, Read, Write};

use bytes::Bytes;
use raft_log::codeq::{Decode, Encode};

/// The largest payload of one entry, in bytes. A longer one in a log is damage.
pub const MAX_PAYLOAD_BYTES: usize = 16 * 1024 * 1024;

/// A position in the log: the leader that wrote the entry, and its index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The leader's term.
    pub term: u64,
    /// The leader's node id.
    pub node: u64,
    /// The index, from 0.
    pub index: u64,
}

/// A vote in an election, and whether a quorum granted it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vote {
    /// The term of the election.
    pub term: u64,
    /// The node voted for.
    pub node: u64,
    /// Whether that node became leader in this term.
    pub committed: bool,
}

/// The tag of an entry (`store::chain`). Tags are not sent, because each node chains its own log.
pub(super) type Tag = [u8; 16];

/// The format of a payload in the log. It is the first byte, in front of the length: a reader that took another format
/// for this one could read a wrong length, find the end of the log too early, and cut off what follows.
const FORMAT: u8 = 1;
/// What a stored payload takes besides the entry's bytes: format, length and tag.
pub(super) const PAYLOAD_FRAME_BYTES: usize = 1 + 4 + size_of::<Tag>();

/// The content of an entry, which the log does not interpret, and its tag.
///
/// It is stored as format `u8`, length `u32`, tag `[16]`, and the bytes. Integers are big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payload {
    pub bytes: Bytes,
    pub tag: Tag,
    /// Whether it was read from the disk, so that its tag must be checked. What this process has appended stays in memory for
    /// a while, and is not checked when it comes from there.
    pub from_disk: bool,
}

impl LogId {
    /// Term, node and index, big-endian.
    pub(super) fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.term.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.node.to_be_bytes());
        bytes[16..].copy_from_slice(&self.index.to_be_bytes());
        bytes
    }
}

impl Payload {
    /// The payload of an entry that this process appends.
    pub fn appended(bytes: Bytes, tag: Tag) -> Self {
        Self { bytes, tag, from_disk: false }
    }
}

impl Encode for LogId {
    fn encode<W: Write>(&self, mut w: W) -> io::Result<usize> {
        Ok(self.term.encode(&mut w)? + self.node.encode(&mut w)? + self.index.encode(&mut w)?)
    }
}

impl Decode for LogId {
    fn decode<R: Read>(mut r: R) -> io::Result<Self> {
        Ok(Self { term: u64::decode(&mut r)?, node: u64::decode(&mut r)?, index: u64::decode(&mut r)? })
    }
}

impl Encode for Vote {
    fn encode<W: Write>(&self, mut w: W) -> io::Result<usize> {
        Ok(self.term.encode(&mut w)? + self.node.encode(&mut w)? + self.committed.encode(&mut w)?)
    }
}

impl Decode for Vote {
    fn decode<R: Read>(mut r: R) -> io::Result<Self> {
        Ok(Self { term: u64::decode(&mut r)?, node: u64::decode(&mut r)?, committed: bool::decode(&mut r)? })
    }
}

impl Encode for Payload {
    fn encode<W: Write>(&self, mut w: W) -> io::Result<usize> {
        let length = u32::try_from(self.bytes.len()).map_err(io::Error::other)?;
        let mut frame = [0; PAYLOAD_FRAME_BYTES];
        frame[0] = FORMAT;
        frame[1..5].copy_from_slice(&length.to_be_bytes());
        frame[5..].copy_from_slice(&self.tag);
        w.write_all(&frame)?;
        w.write_all(&self.bytes)?;
        Ok(PAYLOAD_FRAME_BYTES + self.bytes.len())
    }
}

impl Decode for Payload {
    fn decode<R: Read>(mut r: R) -> io::Result<Self> {
        let mut frame = [0; PAYLOAD_FRAME_BYTES];
        // The format is checked before anything else is read, which may be shorter in another format.
        r.read_exact(&mut frame[..1])?;
        if frame[0] != FORMAT {
            let format = frame[0];
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "a log entry has format {format}, and this version of Keyraft reads format {FORMAT}: run a newer \
                     version. If no newer version has run here, the entry is damaged"
                ),
            ));
        }
        r.read_exact(&mut frame[1..])?;
        let (head, tag) = frame.split_last_chunk().expect("a frame ends with a tag");
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > MAX_PAYLOAD_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a log entry is longer than any that Keyraft writes",
            ));
        }
        let mut bytes = vec![0; length];
        r.read_exact(&mut bytes)?;
        Ok(Self { bytes: bytes.into(), tag: *tag, from_disk: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(payload: &'static [u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let written = Payload::appended(Bytes::from_static(payload), [7; 16]).encode(&mut bytes).unwrap();
        assert_eq!(written, bytes.len());
        bytes
    }

    #[test]
    fn payloads_round_trip_with_their_tag() {
        let bytes = encoded(b"entry");
        assert_eq!(bytes, [&[1, 0, 0, 0, 5][..], &[7; 16], b"entry"].concat());
        let read = Payload { bytes: Bytes::from_static(b"entry"), tag: [7; 16], from_disk: true };
        assert_eq!(Payload::decode(&bytes[..]).unwrap(), read);
    }

    #[test]
    fn a_payload_that_ends_early_is_not_one_of_another_format() {
        let bytes = encoded(b"entry");
        for length in 0..bytes.len() {
            let error = Payload::decode(&bytes[..length]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{length}");
        }
    }

    /// The log cuts off an entry that ends too early, but never one whose format is unknown.
    #[test]
    fn another_format_is_not_taken_for_an_entry_that_ends_early() {
        for bytes in [&[2][..], &[2, 255], &[0; 21]] {
            let error = Payload::decode(bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains(&format!("has format {}", bytes[0])), "{error}");
        }
    }
}
