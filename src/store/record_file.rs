//! The file `node.record` on the disk: two slots (`store::slot`) of 64 KiB, each tagged for this store.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use prost::Message;

use super::file_error::at;
use super::files::{open_file, read_file, replace_file};
use super::forged::Forgery;
use super::log_open_error::LogOpenError;
use super::record_facts::RecordFacts;
use super::slot::{Slot, SlotFrame, WholeSlot, with_tag};
use super::{StoreId, wire};
use crate::crypto::{IntegrityKeys, TagPurpose};
use crate::state::LOWEST_LEVEL;

/// The name of the file in the data folder.
pub(super) const RECORD_FILE: &str = "node.record";

const FRAME: SlotFrame = SlotFrame { file: RECORD_FILE, magic: b"KEYRAFT NODE RECORD", format: 1 };
/// A slot never grows, so that no write needs room on the disk. The facts of most nodes have less than 4 KiB.
const SLOT_BYTES: usize = 64 * 1024;

/// The file, open for writing.
pub(super) struct RecordFile {
    file: File,
    store: StoreId,
    keys: IntegrityKeys,
    slots: [SlotState; 2],
    /// After a failed write the system may have dropped the bytes. A later write would then seem to succeed.
    failed: bool,
}

/// What a slot holds.
#[derive(Debug, Clone, Copy, Default)]
struct SlotState {
    sequence: u64,
    /// How many changes of the facts it has, as the caller counts them.
    changes: u64,
}

impl RecordFile {
    /// Makes the file with these facts in one slot. It is durable when this returns.
    pub fn create(dir: &Path, store: StoreId, keys: IntegrityKeys, facts: &RecordFacts) -> io::Result<Self> {
        let path = dir.join(RECORD_FILE);
        let mut content = encode(facts, 1, store, &keys)?;
        content.resize(2 * SLOT_BYTES, 0);
        replace_file(&path, &content).map_err(at(&path))?;
        let slots = [SlotState { sequence: 1, changes: 0 }, SlotState::default()];
        Ok(Self { file: open_file(&path, OpenOptions::new().write(true))?, store, keys, slots, failed: false })
    }

    /// Opens the file and reads its newest facts. `None` without a file.
    ///
    /// # Errors
    /// The file system refused, another version of Keyraft must read the file, or it is not as this node wrote it.
    pub fn open(dir: &Path, store: StoreId, keys: IntegrityKeys) -> Result<Option<(Self, RecordFacts)>, LogOpenError> {
        let path = dir.join(RECORD_FILE);
        let content = match read_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(at(&path))?,
        };
        let (first, second) = content.split_at(content.len().min(SLOT_BYTES));
        let parsed = [FRAME.parse(first), FRAME.parse(second)];
        if parsed.iter().any(|slot| matches!(slot, Slot::Damaged)) {
            tracing::warn!(
                "node.record has a damaged part, as a crash can leave it: the node goes on with the other part"
            );
        }
        let sequences = parsed.each_ref().map(|slot| slot.sequence().unwrap_or(0));
        let newest = usize::from(sequences[1] > sequences[0]);
        let Slot::Whole(slot) = &parsed[newest] else { return Err(damaged().into()) };
        let facts = read(slot, store, &keys)?;
        // No change is noted for either slot, so the next durable write goes to both.
        let slots = sequences.map(|sequence| SlotState { sequence, changes: 0 });
        let file = open_file(&path, OpenOptions::new().write(true)).map_err(at(&path))?;
        Ok(Some((Self { file, store, keys, slots, failed: false }, facts)))
    }

    /// How many changes the slot has that lacks most of them.
    pub fn changes_in_both(&self) -> u64 {
        self.slots[0].changes.min(self.slots[1].changes)
    }

    /// Writes these facts, which have so many changes, to the slot that does not hold the newest ones.
    ///
    /// # Errors
    /// The disk failed now or earlier. The node must stop.
    pub fn write(&mut self, facts: &RecordFacts, changes: u64) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier write to node.record failed"));
        }
        let (older, newest) = if self.slots[0].sequence < self.slots[1].sequence { (0, 1) } else { (1, 0) };
        let sequence = self.slots[newest].sequence + 1;
        let content = encode(facts, sequence, self.store, &self.keys)?;
        let written =
            self.file.write_all_at(&content, (older * SLOT_BYTES) as u64).and_then(|()| self.file.sync_data());
        self.failed = written.is_err();
        self.slots[older] = SlotState { sequence, changes };
        written
    }
}

/// A slot with these facts.
fn encode(facts: &RecordFacts, sequence: u64, store: StoreId, keys: &IntegrityKeys) -> io::Result<Vec<u8>> {
    let version = keys.active();
    let before_tag = FRAME.before_tag(LOWEST_LEVEL, sequence, &facts.encode(version));
    let tag = keys.tag(TagPurpose::NodeRecord, version, &[&store.0, &before_tag]);
    let slot = with_tag(&before_tag, &tag.expect("the active version is one of the keys"));
    if slot.len() > SLOT_BYTES {
        return Err(io::Error::other(format!("node.record has room for {SLOT_BYTES} bytes, but needs {}", slot.len())));
    }
    Ok(slot)
}

fn read(slot: &WholeSlot<'_>, store: StoreId, keys: &IntegrityKeys) -> Result<RecordFacts, LogOpenError> {
    FRAME.check_readable(slot)?;
    let body = wire::TaggedRecord::decode(slot.body).map_err(|_| damaged())?;
    if !keys.verifies(TagPurpose::NodeRecord, body.key_version, &[&store.0, slot.tagged], slot.tag) {
        return Err(super::Forged::from(Forgery::RecordTag).into());
    }
    Ok(RecordFacts::from_wire(body).ok_or_else(damaged)?)
}

fn damaged() -> super::Forged {
    Forgery::Record.into()
}

/// The content of a file whose newest slot somebody has changed, with a checksum that holds.
#[cfg(test)]
pub(super) fn reseal_newest(content: &[u8], change: impl FnOnce(&mut wire::TaggedRecord)) -> Vec<u8> {
    let slots = content.split_at(SLOT_BYTES);
    let (Slot::Whole(first), Slot::Whole(second)) = (FRAME.parse(slots.0), FRAME.parse(slots.1)) else {
        panic!("both slots are whole")
    };
    let (slot, offset) = if first.sequence > second.sequence { (first, 0) } else { (second, SLOT_BYTES) };
    let mut body = wire::TaggedRecord::decode(slot.body).expect("a node wrote it");
    change(&mut body);
    let changed = with_tag(&FRAME.before_tag(slot.level, slot.sequence, &body.encode_to_vec()), slot.tag);
    let mut content = content.to_owned();
    content[offset..offset + changed.len()].copy_from_slice(&changed);
    content
}
