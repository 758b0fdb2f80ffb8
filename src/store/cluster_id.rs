//! The file `cluster.id`: whose data folder this is, and what a node must know of its cluster before it takes part, above
//! all the wraps of the key ring.
//!
//! The file has two slots of the same size, with the frame of `store::slot`. The body is the message `ClusterFile` of
//! `proto/store.proto`. The tag is made with the active integrity key that the body names, and is zeros while the node
//! knows no cluster.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;
use thiserror::Error;

use super::files::{open_file, read_file, replace_file};
use super::level::UnreadableLevel;
use super::slot::{Slot, SlotFrame, SlotTag, WholeSlot, with_tag};
use super::{Owner, wire};
use crate::crypto::{IntegrityKeys, TagPurpose};
use crate::state::{ClusterId, ClusterState, LOWEST_LEVEL};

/// The name of the file in the data folder.
pub const CLUSTER_FILE: &str = "cluster.id";

const FRAME: SlotFrame = SlotFrame { file: CLUSTER_FILE, magic: b"KEYRAFT CLUSTER ID", format: 1 };
/// The smallest size of a slot. It holds a cluster of some fifty nodes.
const SLOT_BYTES: usize = 16 * 1024;

/// What a node must know of its cluster before it takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFacts {
    /// The store and the node that noted the facts.
    pub owner: Owner,
    /// The facts that the cluster replicates, without its replicated time.
    pub cluster: ClusterState,
    /// The last known membership, as `raft` encodes it.
    pub membership: Bytes,
    /// The cluster's signature that admits this node. Empty if the node must make it again.
    pub admission: Bytes,
    /// The first start of the cluster, until the node has applied the cluster's first command.
    pub founding: Option<Founding>,
}

/// How far a node has come in the first start of its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founding {
    /// The founding document, as `raft` encodes it.
    pub document: Bytes,
    /// How far the node has come.
    pub stage: FoundingStage,
}

/// The durable stages of a node that founds a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FoundingStage {
    /// It has noted the founding document.
    Noted,
    /// It has made its log and its keystore. From now on they can no longer be missing.
    Stored,
    /// It knows that every founder has noted the document.
    Begun,
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

/// The file, with what it holds.
pub struct ClusterFile {
    path: PathBuf,
    /// The size of each slot. 0 while the next write must make the file anew.
    slot_bytes: usize,
    newest: Option<Noted>,
    /// The content before that one.
    older: Option<Noted>,
    damaged_slots: usize,
}

/// What a slot holds, and where it is.
#[derive(Debug)]
struct Noted {
    slot: usize,
    sequence: u64,
    content: Content,
    /// Everything before the tag.
    tagged: Vec<u8>,
    tag: SlotTag,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Blank(Owner),
    Known(Box<ClusterFacts>),
}

impl ClusterFile {
    /// Reads the file in this data folder. It has no content without a file, or when both slots are damaged. The facts are
    /// not verified: [`ClusterFile::verify`] does that once the keys in them are open.
    ///
    /// # Errors
    /// The file system refused, or a newer version wrote the file.
    pub fn open(dir: &Path) -> Result<Self, ClusterFileError> {
        let path = dir.join(CLUSTER_FILE);
        let bytes = match read_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let slot_bytes = bytes.len() / 2;
        // A file that was cut is made anew by the next write: its slots would overlap.
        let is_whole = slot_bytes >= SLOT_BYTES && slot_bytes.is_power_of_two() && bytes.len() == 2 * slot_bytes;
        // The first slot may reach as far as the file, so that it also counts in a file that was cut.
        let slots = [&bytes[..], &bytes[slot_bytes..]].map(|slot| FRAME.parse(slot));
        let mut file = Self {
            path,
            slot_bytes: if is_whole { slot_bytes } else { 0 },
            newest: None,
            older: None,
            damaged_slots: slots.iter().filter(|slot| matches!(slot, Slot::Damaged)).count(),
        };
        let mut by_age: Vec<_> =
            slots.iter().enumerate().filter_map(|(at, slot)| Some((slot.sequence()?, at))).collect();
        by_age.sort_unstable_by(|a, b| b.cmp(a));
        for (position, (_, at)) in by_age.into_iter().enumerate() {
            let noted = read(at, &slots[at]);
            // An older version never wrote the older slot at a level that this one cannot read.
            match if position == 0 { noted? } else { noted.ok().flatten() } {
                Some(noted) if file.newest.is_none() => file.newest = Some(noted),
                Some(noted) => file.older = Some(noted),
                None => file.damaged_slots += 1,
            }
        }
        if file.facts().is_none() && file.older.is_some() {
            // A blank slot has no tag, so anybody can write it. A node that knows a cluster never does.
            file.drop_newest();
        }
        Ok(file)
    }

    /// Makes the file of a blank data folder: it says whose folder this is, and nothing else.
    ///
    /// # Errors
    /// The file system refused.
    pub fn create(dir: &Path, owner: Owner) -> io::Result<Self> {
        let path = dir.join(CLUSTER_FILE);
        let mut file = Self { path, slot_bytes: 0, newest: None, older: None, damaged_slots: 0 };
        file.put(Content::Blank(owner), None)?;
        Ok(file)
    }

    /// Whose data folder this is, as the file says.
    pub fn owner(&self) -> Option<Owner> {
        self.newest.as_ref().map(|noted| match &noted.content {
            Content::Blank(owner) => *owner,
            Content::Known(facts) => facts.owner,
        })
    }

    /// The facts, if the file holds some.
    pub fn facts(&self) -> Option<&ClusterFacts> {
        match &self.newest.as_ref()?.content {
            Content::Blank(_) => None,
            Content::Known(facts) => Some(facts),
        }
    }

    /// How many slots are damaged. A crash during a write leaves one such slot.
    pub fn damaged_slots(&self) -> usize {
        self.damaged_slots
    }

    /// Checks the tag of the facts with the keys that the facts hold. If it does not hold, somebody changed the slot: from
    /// now on it counts as damaged, and the file holds what stands in the other slot.
    pub fn verify(&mut self, keys: &IntegrityKeys) -> bool {
        let Some(Noted { content: Content::Known(facts), tagged, tag, .. }) = &self.newest else { return false };
        let version = facts.cluster.secrets.active_integrity_key;
        let holds = keys.verifies(TagPurpose::ClusterFile, version, &[tagged], tag);
        if !holds {
            self.drop_newest();
        }
        holds
    }

    /// From now on the newest slot counts as damaged, and the file holds what stands in the other slot.
    pub fn drop_newest(&mut self) {
        self.damaged_slots += usize::from(self.newest.is_some());
        self.newest = self.older.take();
    }

    /// Makes these facts durable, with a tag of their active integrity key. If that fails or the node crashes meanwhile, the
    /// file still holds the last ones.
    ///
    /// # Errors
    /// The file system refused, or the active integrity key is not among `keys`.
    pub fn write(&mut self, facts: ClusterFacts, keys: &IntegrityKeys) -> io::Result<()> {
        self.put(Content::Known(Box::new(facts)), Some(keys))
    }

    fn put(&mut self, content: Content, keys: Option<&IntegrityKeys>) -> io::Result<()> {
        // Without a next number the file is made anew. Only somebody else can have written such a slot, a blank one.
        let next = self.newest.as_ref().and_then(|newest| newest.sequence.checked_add(1));
        let sequence = next.unwrap_or(1);
        let tagged = encode(&content, sequence);
        let tag = tag(&content, &tagged, keys)?;
        let bytes = with_tag(&tagged, &tag);
        let slot = match &self.newest {
            Some(newest) if next.is_some() && bytes.len() <= self.slot_bytes => {
                let slot = 1 - newest.slot;
                let file = open_file(&self.path, OpenOptions::new().write(true))?;
                write_slot(&file, (slot * self.slot_bytes) as u64, &bytes)?;
                slot
            }
            _ => {
                self.slot_bytes = bytes.len().next_power_of_two().max(SLOT_BYTES);
                let mut whole = bytes;
                whole.resize(2 * self.slot_bytes, 0);
                replace_file(&self.path, &whole)?;
                0
            }
        };
        self.older =
            self.newest.replace(Noted { slot, sequence, content, tagged, tag }).filter(|older| older.slot != slot);
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

/// A blank file has a tag of zeros, because its node has no keys.
fn tag(content: &Content, tagged: &[u8], keys: Option<&IntegrityKeys>) -> io::Result<SlotTag> {
    let (Content::Known(facts), Some(keys)) = (content, keys) else { return Ok(SlotTag::default()) };
    let version = facts.cluster.secrets.active_integrity_key;
    let tag = keys.tag(TagPurpose::ClusterFile, version, &[tagged]);
    tag.ok_or_else(|| io::Error::other(format!("version {version} of the integrity keys is not open")))
}

/// Everything before the tag of a slot.
fn encode(content: &Content, sequence: u64) -> Vec<u8> {
    let (level, body) = match content {
        Content::Blank(owner) => {
            (LOWEST_LEVEL, wire::ClusterFile { owner: Some((*owner).into()), ..Default::default() })
        }
        Content::Known(facts) => (facts.cluster.level, facts_to_wire(facts)),
    };
    FRAME.before_tag(level, sequence, &body.encode_to_vec())
}

fn facts_to_wire(facts: &ClusterFacts) -> wire::ClusterFile {
    let stage = facts.founding.as_ref().map_or(wire::FoundingStage::Unspecified, |founding| match founding.stage {
        FoundingStage::Noted => wire::FoundingStage::Noted,
        FoundingStage::Begun => wire::FoundingStage::Begun,
        FoundingStage::Stored => wire::FoundingStage::Stored,
    });
    wire::ClusterFile {
        owner: Some(facts.owner.into()),
        cluster: facts.cluster.clone().into_stored().bytes,
        membership: facts.membership.clone(),
        admission: facts.admission.clone(),
        founding_document: facts.founding.as_ref().map_or_else(Bytes::new, |founding| founding.document.clone()),
        founding_stage: stage.into(),
    }
}

/// Reads the content of a whole slot. `None` when it lacks something that every version writes.
fn read(at: usize, slot: &Slot<'_>) -> Result<Option<Noted>, ClusterFileError> {
    let Slot::Whole(slot) = slot else { return Ok(None) };
    let Some(content) = decode(slot)? else { return Ok(None) };
    Ok(Some(Noted { slot: at, sequence: slot.sequence, content, tagged: slot.tagged.to_vec(), tag: *slot.tag }))
}

fn decode(slot: &WholeSlot<'_>) -> Result<Option<Content>, ClusterFileError> {
    if slot.format == FRAME.format && slot.level == 0 {
        return Ok(None);
    }
    FRAME.check_readable(slot)?;
    Ok(wire::ClusterFile::decode(slot.body).ok().and_then(content_of))
}

fn content_of(body: wire::ClusterFile) -> Option<Content> {
    let owner = Owner::from_wire(body.owner.as_ref()?)?;
    if body.cluster.is_empty() {
        return Some(Content::Blank(owner));
    }
    let stage = match body.founding_stage() {
        wire::FoundingStage::Unspecified => None,
        wire::FoundingStage::Noted => Some(FoundingStage::Noted),
        wire::FoundingStage::Begun => Some(FoundingStage::Begun),
        wire::FoundingStage::Stored => Some(FoundingStage::Stored),
    };
    let document = body.founding_document;
    Some(Content::Known(Box::new(ClusterFacts {
        owner,
        cluster: ClusterState::decode(&body.cluster).ok()?,
        membership: body.membership,
        admission: body.admission,
        founding: stage.map(|stage| Founding { document, stage }),
    })))
}

#[cfg(test)]
mod tests;
