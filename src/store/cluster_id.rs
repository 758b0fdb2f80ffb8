//! The file `cluster.id`: what a node must know of its cluster before it takes part, above all the wraps of the key ring.
//!
//! The file has two slots of the same size. A write goes to the slot that does not hold the newest facts, and counts once
//! it is durable. So a crash during a write leaves the facts from before. A slot that was never written is all zeros.
//! Each other slot has these parts, with big-endian integers, and then bytes without a meaning:
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 18 | the magic `KEYRAFT CLUSTER ID` |
//! | 18 | 1 | the format of the body, 1 |
//! | 19 | 4 | the level at which the body is written |
//! | 23 | 8 | the sequence number: each write has the next one, and the slot with the highest counts |
//! | 31 | 4 | the length of the body, n |
//! | 35 | n | the body, the message `ClusterFile` of `proto/store.proto` |
//! | 35 + n | 32 | room for a tag; zeros for now |
//! | 67 + n | 32 | SHA-256 of everything before in this slot |
//!
//! Later formats keep this frame, so that no version takes a newer format for damage.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::{BufMut, Bytes};
use prost::Message;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::files::replace_file;
use super::level::{UnreadableLevel, WrittenLevel};
use super::{Owner, wire};
use crate::state::{ClusterId, RingLink, RingVersion};

/// The name of the file in the data folder.
pub const CLUSTER_FILE: &str = "cluster.id";

const MAGIC: &[u8; 18] = b"KEYRAFT CLUSTER ID";
const FORMAT: u8 = 1;
/// The bytes of a slot before its body.
const HEAD_BYTES: usize = MAGIC.len() + 1 + 4 + 8 + 4;
const TAG: [u8; 32] = [0; 32];
const CHECKSUM_BYTES: usize = 32;
/// The smallest size of a slot. It holds a cluster of some fifty nodes.
const SLOT_BYTES: usize = 16 * 1024;

/// What a node must know of its cluster before it takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFacts {
    /// The level at which the facts are written.
    pub level: u32,
    /// The cluster's id.
    pub cluster: ClusterId,
    /// The store and the node that noted the facts.
    pub owner: Owner,
    /// The ring version that seals new records.
    pub active_ring_version: u32,
    /// Every ring version, with its wraps.
    pub ring: Vec<RingVersion>,
    /// The last known membership, as `raft` encodes it.
    pub membership: Bytes,
}

/// Why the facts cannot be used, although the file is whole or could not even be read. An operator must act.
#[derive(Debug, Error)]
pub enum ClusterFileError {
    /// The file system refused.
    #[error("{CLUSTER_FILE} cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Another version of Keyraft must read it.
    #[error(transparent)]
    Level(#[from] UnreadableLevel),
    /// It belongs to another data folder or another cluster than the log and the keystore beside it.
    #[error(
        "{CLUSTER_FILE} belongs to {}, but the log and the keystore beside it belong to {}: somebody copied files from one \
         data folder to another. Put back the files of this folder. If {CLUSTER_FILE} alone is from elsewhere, move it out \
         of the folder, and the node makes it again from its keystore",
        whose(*file),
        whose(*folder)
    )]
    Foreign {
        /// Whom the file belongs to.
        file: (Owner, Option<ClusterId>),
        /// Whom the log and the keystore belong to. They do not know a cluster before its first command.
        folder: (Owner, Option<ClusterId>),
    },
}

/// The file, with the facts that it holds.
pub struct ClusterFile {
    path: PathBuf,
    /// The size of each slot. 0 while the next write must make the file anew.
    slot_bytes: usize,
    newest: Option<Newest>,
    damaged_slots: usize,
}

/// The newest facts, and where they are.
struct Newest {
    slot: usize,
    sequence: u64,
    facts: ClusterFacts,
}

/// What stands in a slot.
#[derive(Debug)]
enum Slot<'a> {
    Empty,
    Damaged,
    Whole { format: u8, level: u32, sequence: u64, body: &'a [u8] },
}

impl ClusterFile {
    /// Reads the file in this data folder. It has no facts without a file, or when both slots are damaged.
    ///
    /// # Errors
    /// The file system refused, or a newer version wrote the file.
    pub fn open(dir: &Path) -> Result<Self, ClusterFileError> {
        let path = dir.join(CLUSTER_FILE);
        let content = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let slot_bytes = content.len() / 2;
        // A file that was cut is made anew by the next write: its slots would overlap.
        let is_whole = slot_bytes >= SLOT_BYTES && slot_bytes.is_power_of_two() && content.len() == 2 * slot_bytes;
        // The first slot may reach as far as the file, so that it also counts in a file that was cut.
        let slots = [&content[..], &content[slot_bytes..]];
        let mut file = Self { path, slot_bytes: if is_whole { slot_bytes } else { 0 }, newest: None, damaged_slots: 0 };
        let mut newest: Option<(usize, u64, u8, u32, &[u8])> = None;
        for (number, slot) in slots.into_iter().enumerate() {
            match parse(slot) {
                Slot::Empty => {}
                Slot::Damaged => file.damaged_slots += 1,
                Slot::Whole { format, level, sequence, body } if newest.is_none_or(|newest| newest.1 < sequence) => {
                    newest = Some((number, sequence, format, level, body));
                }
                Slot::Whole { .. } => {}
            }
        }
        if let Some((slot, sequence, format, level, body)) = newest {
            match decode(format, level, body)? {
                Some(facts) => file.newest = Some(Newest { slot, sequence, facts }),
                None => file.damaged_slots += 1,
            }
        }
        Ok(file)
    }

    /// The facts, if the file holds some.
    pub fn facts(&self) -> Option<&ClusterFacts> {
        self.newest.as_ref().map(|newest| &newest.facts)
    }

    /// How many slots are damaged. A crash during a write leaves one such slot.
    pub fn damaged_slots(&self) -> usize {
        self.damaged_slots
    }

    /// Makes these facts durable. If that fails or the node crashes meanwhile, the file still holds the last ones.
    ///
    /// # Errors
    /// The file system refused.
    pub fn write(&mut self, facts: ClusterFacts) -> io::Result<()> {
        let sequence = self.newest.as_ref().map_or(1, |newest| newest.sequence + 1);
        let content = encode(&facts, sequence);
        let slot = match &self.newest {
            Some(newest) if content.len() <= self.slot_bytes => {
                let slot = 1 - newest.slot;
                let file = OpenOptions::new().write(true).open(&self.path)?;
                write_slot(&file, (slot * self.slot_bytes) as u64, &content)?;
                slot
            }
            _ => {
                self.slot_bytes = content.len().next_power_of_two().max(SLOT_BYTES);
                let mut whole = content;
                whole.resize(2 * self.slot_bytes, 0);
                replace_file(&self.path, &whole)?;
                0
            }
        };
        self.newest = Some(Newest { slot, sequence, facts });
        Ok(())
    }
}

fn whose((owner, cluster): (Owner, Option<ClusterId>)) -> String {
    let store = hex::encode(owner.store_id.0);
    let of = cluster.map_or_else(String::new, |cluster| format!(" of the cluster {cluster}"));
    format!("node {}{of} (store {store})", owner.node_id)
}

fn write_slot(file: &File, offset: u64, content: &[u8]) -> io::Result<()> {
    file.write_all_at(content, offset)?;
    file.sync_data()
}

/// A slot with these facts.
fn encode(facts: &ClusterFacts, sequence: u64) -> Vec<u8> {
    let body = wire::ClusterFile {
        cluster_id: Bytes::copy_from_slice(&facts.cluster.0),
        owner: Some(facts.owner.into()),
        active_ring_version: facts.active_ring_version,
        ring: facts.ring.iter().map(version_to_wire).collect(),
        membership: facts.membership.clone(),
    }
    .encode_to_vec();
    let mut slot = Vec::with_capacity(HEAD_BYTES + body.len() + TAG.len() + CHECKSUM_BYTES);
    slot.put_slice(MAGIC);
    slot.put_u8(FORMAT);
    slot.put_u32(facts.level);
    slot.put_u64(sequence);
    slot.put_u32(u32::try_from(body.len()).expect("a membership and a few wraps are small"));
    slot.put_slice(&body);
    slot.put_slice(&TAG);
    let checksum = Sha256::digest(&slot);
    slot.put_slice(&checksum);
    slot
}

fn parse(slot: &[u8]) -> Slot<'_> {
    if slot.iter().all(|byte| *byte == 0) {
        return Slot::Empty;
    }
    whole(slot).unwrap_or(Slot::Damaged)
}

/// Reads the frame of a slot. `None` when it is damaged.
fn whole(slot: &[u8]) -> Option<Slot<'_>> {
    let rest = slot.strip_prefix(MAGIC)?;
    let (format, rest) = rest.split_first()?;
    let (level, rest) = rest.split_first_chunk()?;
    let (sequence, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let body = rest.get(..length)?;
    let hashed = HEAD_BYTES + length + TAG.len();
    let checksum = slot.get(hashed..)?.get(..CHECKSUM_BYTES)?;
    (checksum == Sha256::digest(&slot[..hashed]).as_slice()).then_some(Slot::Whole {
        format: *format,
        level: u32::from_be_bytes(*level),
        sequence: u64::from_be_bytes(*sequence),
        body,
    })
}

/// Reads the body of a whole slot. `None` when it lacks something that every version writes.
fn decode(format: u8, level: u32, body: &[u8]) -> Result<Option<ClusterFacts>, ClusterFileError> {
    if format != FORMAT {
        let (what, known) = (CLUSTER_FILE, FORMAT.into());
        return Err(UnreadableLevel::Format { what, format: format.into(), known }.into());
    }
    if level == 0 {
        return Ok(None);
    }
    WrittenLevel::active(level).check(CLUSTER_FILE)?;
    Ok(wire::ClusterFile::decode(body).ok().and_then(|body| facts_of(level, body)))
}

fn facts_of(level: u32, body: wire::ClusterFile) -> Option<ClusterFacts> {
    Some(ClusterFacts {
        level,
        cluster: ClusterId(body.cluster_id.as_ref().try_into().ok()?),
        owner: Owner::from_wire(&body.owner?)?,
        active_ring_version: body.active_ring_version,
        ring: body.ring.into_iter().map(version_from_wire).collect(),
        membership: body.membership,
    })
}

fn version_to_wire(version: &RingVersion) -> wire::WrappedRingVersion {
    let link = version.link.as_ref();
    wire::WrappedRingVersion {
        version: version.version,
        wraps: version.wraps.clone(),
        previous: link.map_or(0, |link| link.previous),
        sealed_by_previous: link.map_or_else(Bytes::new, |link| link.sealed.clone()),
    }
}

fn version_from_wire(wire: wire::WrappedRingVersion) -> RingVersion {
    let link = RingLink { previous: wire.previous, sealed: wire.sealed_by_previous };
    RingVersion { version: wire.version, wraps: wire.wraps, link: (link.previous != 0).then_some(link) }
}

#[cfg(test)]
mod tests;
