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

/// The format of a payload in the log. It is the first byte, in front of the length: a reader that took another format
/// for this one could read a wrong length, find the end of the log too early, and cut off what follows.
const FORMAT: u8 = 1;
/// Where a later version chains the entries. Tags are not sent, because each node chains its own log.
const NO_TAG: [u8; 16] = [0; 16];
/// What a stored payload takes besides the entry's bytes: format, length and tag.
pub(super) const PAYLOAD_FRAME_BYTES: usize = 1 + 4 + NO_TAG.len();

/// The content of an entry, which the log does not interpret.
///
/// It is stored as format `u8`, length `u32`, room for a tag `[16]`, and the bytes. Integers are big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payload(pub Bytes);

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
        let length = u32::try_from(self.0.len()).map_err(io::Error::other)?;
        let mut frame = [0; PAYLOAD_FRAME_BYTES];
        frame[0] = FORMAT;
        frame[1..5].copy_from_slice(&length.to_be_bytes());
        frame[5..].copy_from_slice(&NO_TAG);
        w.write_all(&frame)?;
        w.write_all(&self.0)?;
        Ok(PAYLOAD_FRAME_BYTES + self.0.len())
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
        let length = u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]) as usize;
        if length > MAX_PAYLOAD_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a log entry is longer than any that Keyraft writes",
            ));
        }
        let mut bytes = vec![0; length];
        r.read_exact(&mut bytes)?;
        Ok(Self(bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(payload: &'static [u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let written = Payload(Bytes::from_static(payload)).encode(&mut bytes).unwrap();
        assert_eq!(written, bytes.len());
        bytes
    }

    #[test]
    fn payloads_round_trip_with_room_for_a_tag() {
        let mut bytes = encoded(b"entry");
        assert_eq!(bytes, [&[1, 0, 0, 0, 5][..], &[0; 16], b"entry"].concat());
        assert_eq!(Payload::decode(&bytes[..]).unwrap(), Payload(Bytes::from_static(b"entry")));
        // Only a later version checks a tag.
        bytes[5..21].fill(7);
        assert_eq!(Payload::decode(&bytes[..]).unwrap(), Payload(Bytes::from_static(b"entry")));
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
