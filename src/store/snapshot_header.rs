//! The header of a snapshot: what the snapshot holds, without its entries.
//!
//! With big-endian integers:
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 16 | the magic `KEYRAFT SNAPSHOT` |
//! | 16 | 4 | the format of the body and of what follows the header, 1 |
//! | 20 | 4 | the level at which the snapshot is written |
//! | 24 | 4 | the lowest level that a reader must know |
//! | 28 | 4 | the length of the body, n |
//! | 32 | n | the body, the message `SnapshotHeader` of `proto/store.proto` |
//! | 32 + n | 32 | SHA-256 of everything before |
//!
//! Later formats keep this frame, so that no version takes a newer format for damage. The node that keeps
//! a snapshot trusts its header by the tag at the end of the file, before it has read the entries.

use std::io::{self, Read};

use bytes::{BufMut, Bytes};
use prost::Message;
use sha2::{Digest as _, Sha256};

use super::damage::{Damage, disagreement};
use super::image::{Applied, Image};
use super::level::{UnreadableLevel, WrittenLevel};
use super::read_error::ReadError;
use super::{RecordsPerRingVersion, wire};
use crate::state::{ClusterId, LOWEST_LEVEL};

const MAGIC: &[u8; 16] = b"KEYRAFT SNAPSHOT";
const FORMAT: u32 = 1;
/// Bytes before the body.
const HEAD_BYTES: usize = MAGIC.len() + 4 + WrittenLevel::BYTES + 4;
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// The length of SHA-256.
pub(super) const CHECKSUM_BYTES: usize = 32;

/// The state that a snapshot holds, without its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// The level at which it is written.
    pub level: WrittenLevel,
    /// The cluster's id, or `None` if the cluster was not initialised yet.
    pub cluster_id: Option<ClusterId>,
    /// The position, and the count and digest of the state there.
    pub applied: Applied,
    /// The membership at the position, as `raft` encodes it.
    pub membership: Bytes,
    /// The ring versions that the records in it need.
    pub ring_versions: RecordsPerRingVersion,
    /// When the node made it, in Unix nanoseconds.
    pub created_at_ns: i64,
}

impl SnapshotHeader {
    /// The header as bytes, with its checksum.
    ///
    /// # Errors
    /// It is larger than a reader takes.
    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        let body = self.to_wire().encode_to_vec();
        if body.len() > MAX_BODY_BYTES {
            return Err(io::Error::other(format!("the header of a snapshot has {} bytes, too many", body.len())));
        }
        let mut header = Vec::with_capacity(HEAD_BYTES + body.len() + CHECKSUM_BYTES);
        header.put_slice(MAGIC);
        header.put_u32(FORMAT);
        self.level.encode(&mut header);
        header.put_u32(u32::try_from(body.len()).expect("the limit is far below this"));
        header.put_slice(&body);
        let checksum = Sha256::digest(&header);
        header.put_slice(&checksum);
        Ok(header)
    }

    /// Reads a header and checks it. Returns its checksum, too.
    ///
    /// # Errors
    /// It is damaged, another version of Keyraft must read it, or the file system failed.
    pub(super) fn read(input: &mut impl Read) -> Result<(Self, [u8; CHECKSUM_BYTES]), ReadError> {
        let mut header = vec![0; HEAD_BYTES];
        input.read_exact(&mut header)?;
        let (format, level, length) = parse_head(&header)?;
        header.resize(HEAD_BYTES + length, 0);
        input.read_exact(&mut header[HEAD_BYTES..])?;
        let mut checksum = [0; CHECKSUM_BYTES];
        input.read_exact(&mut checksum)?;
        if checksum != Sha256::digest(&header).as_slice() {
            return Err(unreadable("the checksum of its header does not match").into());
        }
        if format != FORMAT {
            return Err(UnreadableLevel::Format { what: "this snapshot", format, known: FORMAT }.into());
        }
        let level = WrittenLevel::decode(level).ok_or_else(|| unreadable("it does not say which level it needs"))?;
        level.check("this snapshot")?;
        let body = wire::SnapshotHeader::decode(&header[HEAD_BYTES..])?;
        Ok((Self::from_wire(level, body)?, checksum))
    }

    /// Fails if the entries of the snapshot are not those that the header describes.
    pub(super) fn check(&self, image: &Image) -> Result<(), Damage> {
        let cluster = image.view.cluster().map(|cluster| cluster.id);
        let shown = |id: Option<ClusterId>| id.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
        disagreement("cluster id", shown(self.cluster_id), shown(cluster))?;
        disagreement("level", self.level.level, image.view.level().unwrap_or(LOWEST_LEVEL))?;
        disagreement("count of records per ring version", &self.ring_versions, &image.ring_versions)
    }

    fn to_wire(&self) -> wire::SnapshotHeader {
        wire::SnapshotHeader {
            cluster_id: self.cluster_id.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(&id.0)),
            applied: Some(self.applied.to_wire()),
            membership: self.membership.clone(),
            ring_versions: self.ring_versions.to_wire(),
            created_at_ns: self.created_at_ns,
        }
    }

    fn from_wire(level: WrittenLevel, wire: wire::SnapshotHeader) -> Result<Self, Damage> {
        let applied = Applied::from_wire(wire.applied.unwrap_or_default())?;
        if applied.last.is_none() {
            return Err(unreadable("it lacks its applied position"));
        }
        let cluster_id = match &*wire.cluster_id {
            [] => None,
            id => Some(ClusterId(id.try_into().map_err(|_| unreadable("its cluster id cannot be read"))?)),
        };
        Ok(Self {
            level,
            cluster_id,
            applied,
            membership: wire.membership,
            ring_versions: RecordsPerRingVersion::from_wire(&wire.ring_versions),
            created_at_ns: wire.created_at_ns,
        })
    }
}

/// Format, level and length of the body.
fn parse_head(head: &[u8]) -> Result<(u32, [u8; WrittenLevel::BYTES], usize), Damage> {
    let parse = || {
        let (format, rest) = head.strip_prefix(MAGIC)?.split_first_chunk()?;
        let (level, length) = rest.split_first_chunk()?;
        let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
        Some((u32::from_be_bytes(*format), *level, length)).filter(|_| length <= MAX_BODY_BYTES)
    };
    parse().ok_or_else(|| unreadable("it does not begin as a snapshot does"))
}

fn unreadable(why: &str) -> Damage {
    Damage::Unreadable(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Digest, HIGHEST_LEVEL};
    use crate::store::LogId;

    fn header() -> SnapshotHeader {
        let mut ring_versions = RecordsPerRingVersion::default();
        ring_versions.add_version(3);
        SnapshotHeader {
            level: WrittenLevel::active(1),
            cluster_id: Some(ClusterId([7; 16])),
            applied: Applied {
                last: Some(LogId { term: 2, node: 3, index: 9 }),
                entries: 4,
                digest: Digest::default(),
                key_version: 1,
                memory_first: 5,
                memory_forgotten_index: 6,
            },
            membership: Bytes::from_static(b"members"),
            ring_versions,
            created_at_ns: -8,
        }
    }

    /// A header with this body, and a checksum that holds.
    fn encoded(level: WrittenLevel, body: &wire::SnapshotHeader) -> Vec<u8> {
        let body = body.encode_to_vec();
        let mut bytes = [&MAGIC[..], &FORMAT.to_be_bytes()].concat();
        level.encode(&mut bytes);
        bytes.put_u32(u32::try_from(body.len()).unwrap());
        bytes.put_slice(&body);
        with_checksum(bytes)
    }

    fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
        let checksum = Sha256::digest(&bytes);
        bytes.put_slice(&checksum);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<SnapshotHeader, ReadError> {
        SnapshotHeader::read(&mut &bytes[..]).map(|(header, _)| header)
    }

    fn assert_damaged(bytes: &[u8]) {
        let read = read(bytes);
        assert!(matches!(read, Err(ReadError::Damaged(_))), "{read:?}");
    }

    #[test]
    fn headers_round_trip() {
        for header in [header(), SnapshotHeader { cluster_id: None, ..header() }] {
            assert_eq!(read(&header.encode().unwrap()).unwrap(), header);
        }
    }

    #[test]
    fn a_changed_or_short_header_is_damaged() {
        let bytes = header().encode().unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_damaged(&changed);
            assert_damaged(&bytes[..at]);
        }
    }

    #[test]
    fn a_header_that_needs_a_newer_version_is_not_damaged() {
        let newer = HIGHEST_LEVEL + 1;
        // The body may be anything.
        let body = wire::SnapshotHeader::default();
        for level in [WrittenLevel::active(newer), WrittenLevel { level: newer + 1, lowest_reader: newer }] {
            let Err(ReadError::Level(error)) = read(&encoded(level, &body)) else { panic!("it is read") };
            assert_eq!(error, UnreadableLevel::Newer { what: "this snapshot", needed: newer });
        }
        let mut format = header().encode().unwrap();
        format.truncate(format.len() - CHECKSUM_BYTES);
        format[MAGIC.len() + 3] = 2;
        let read = read(&with_checksum(format));
        assert!(matches!(read, Err(ReadError::Level(UnreadableLevel::Format { format: 2, .. }))), "{read:?}");
    }

    #[test]
    fn a_version_that_knows_the_lowest_reader_level_reads_it() {
        let level = WrittenLevel { level: HIGHEST_LEVEL + 1, lowest_reader: HIGHEST_LEVEL };
        let header = SnapshotHeader { level, ..header() };
        assert_eq!(read(&header.encode().unwrap()).unwrap(), header);
    }

    #[test]
    fn what_a_reader_must_know_may_not_be_absent() {
        let (level, whole) = (WrittenLevel::active(1), header().to_wire());
        read(&encoded(level, &whole)).unwrap();
        for level in [WrittenLevel { level: 1, lowest_reader: 0 }, WrittenLevel::active(0)] {
            assert_damaged(&encoded(level, &whole));
        }
        let applied = whole.applied.clone().unwrap();
        for applied in [
            None,
            Some(wire::Applied { last: None, ..applied.clone() }),
            Some(wire::Applied { digest: Bytes::new(), ..applied }),
        ] {
            assert_damaged(&encoded(level, &wire::SnapshotHeader { applied, ..whole.clone() }));
        }
        let cluster_id = Bytes::from_static(b"short");
        assert_damaged(&encoded(level, &wire::SnapshotHeader { cluster_id, ..whole }));
    }
}
