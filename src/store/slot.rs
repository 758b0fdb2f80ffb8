//! The frame of the two slots of a file that is rewritten in place. By it a reader finds the newest whole slot.
//!
//! A write goes to the slot that does not hold the newest content, and counts once it is durable. So a crash during a
//! write leaves the content from before. A slot that was never written is all zeros. Each other slot has these parts,
//! with big-endian integers, and then bytes without a meaning:
//!
//! | bytes | what |
//! | --- | --- |
//! | m | the magic of the file |
//! | 1 | the format of the body |
//! | 4 | the level at which the body is written |
//! | 8 | the sequence number: each write has the next one, and the slot with the highest counts |
//! | 4 | the length of the body, n |
//! | n | the body |
//! | 32 | a tag over everything before |
//! | 32 | SHA-256 of everything before |
//!
//! Later formats keep this frame, so that no version takes a newer format for damage.

use bytes::BufMut;
use sha2::{Digest as _, Sha256};

use super::level::{UnreadableLevel, WrittenLevel};

/// The tag of a slot.
pub(super) type SlotTag = [u8; TAG_BYTES];

const TAG_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 32;

/// What stands in a slot.
#[derive(Debug)]
pub(super) enum Slot<'a> {
    /// It was never written.
    Empty,
    /// Its bytes are not those that a node wrote, or only some of them.
    Damaged,
    /// Its checksum holds. Its tag is still to be checked.
    Whole(WholeSlot<'a>),
}

/// The parts of a slot whose checksum holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct WholeSlot<'a> {
    pub format: u8,
    pub level: u32,
    pub sequence: u64,
    pub body: &'a [u8],
    /// Everything before the tag.
    pub tagged: &'a [u8],
    pub tag: &'a SlotTag,
}

/// The frame of the slots of one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlotFrame {
    /// The name of the file, for messages.
    pub file: &'static str,
    /// The first bytes of each written slot.
    pub magic: &'static [u8],
    /// The format of the bodies that this version writes.
    pub format: u8,
}

impl Slot<'_> {
    /// The sequence number, if the slot is whole.
    pub fn sequence(&self) -> Option<u64> {
        match self {
            Slot::Whole(slot) => Some(slot.sequence),
            Slot::Empty | Slot::Damaged => None,
        }
    }
}

impl SlotFrame {
    /// Everything before the tag of a slot.
    pub fn before_tag(self, level: u32, sequence: u64, body: &[u8]) -> Vec<u8> {
        let head_bytes = self.magic.len() + 1 + 4 + 8 + 4;
        let mut slot = Vec::with_capacity(head_bytes + body.len() + TAG_BYTES + CHECKSUM_BYTES);
        slot.put_slice(self.magic);
        slot.put_u8(self.format);
        slot.put_u32(level);
        slot.put_u64(sequence);
        slot.put_u32(u32::try_from(body.len()).expect("a body has a few kilobytes"));
        slot.put_slice(body);
        slot
    }

    /// Checks that this version can read the body of a whole slot.
    ///
    /// # Errors
    /// The body has another format, or a level that this version does not read.
    pub fn check_readable(self, slot: &WholeSlot<'_>) -> Result<(), UnreadableLevel> {
        if slot.format != self.format {
            let (what, format, known) = (self.file, slot.format.into(), self.format.into());
            return Err(UnreadableLevel::Format { what, format, known });
        }
        WrittenLevel::active(slot.level).check(self.file)
    }

    /// Reads the bytes of a slot.
    pub fn parse(self, slot: &[u8]) -> Slot<'_> {
        if slot.iter().all(|byte| *byte == 0) {
            return Slot::Empty;
        }
        self.whole(slot).map_or(Slot::Damaged, Slot::Whole)
    }

    fn whole(self, slot: &[u8]) -> Option<WholeSlot<'_>> {
        let rest = slot.strip_prefix(self.magic)?;
        let (&format, rest) = rest.split_first()?;
        let (level, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (body, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let (tag, rest) = rest.split_first_chunk()?;
        let (checksum, rest) = rest.split_first_chunk::<CHECKSUM_BYTES>()?;
        let hashed = &slot[..slot.len() - rest.len() - CHECKSUM_BYTES];
        (checksum == Sha256::digest(hashed).as_slice()).then(|| WholeSlot {
            format,
            level: u32::from_be_bytes(*level),
            sequence: u64::from_be_bytes(*sequence),
            body,
            tagged: &hashed[..hashed.len() - TAG_BYTES],
            tag,
        })
    }
}

/// A whole slot: what comes before the tag, the tag, and the checksum.
pub(super) fn with_tag(before_tag: &[u8], tag: &SlotTag) -> Vec<u8> {
    let mut slot = [before_tag, tag].concat();
    let checksum = Sha256::digest(&slot);
    slot.put_slice(&checksum);
    slot
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: SlotFrame = SlotFrame { file: "file", magic: b"MAGIC", format: 1 };

    #[test]
    fn slots_round_trip_and_bytes_behind_them_mean_nothing() {
        let mut bytes = with_tag(&FRAME.before_tag(3, 7, b"body"), &[5; TAG_BYTES]);
        bytes.extend([9; 100]);
        let Slot::Whole(slot) = FRAME.parse(&bytes) else { panic!("it is whole") };
        assert_eq!((slot.format, slot.level, slot.sequence, slot.body), (1, 3, 7, &b"body"[..]));
        assert_eq!((slot.tagged, slot.tag), (&bytes[..26], &[5; TAG_BYTES]));
    }

    #[test]
    fn a_slot_of_another_format_or_level_is_not_readable() {
        let check = |format, level| {
            let bytes = with_tag(&SlotFrame { format, ..FRAME }.before_tag(level, 7, b"body"), &[5; TAG_BYTES]);
            let Slot::Whole(slot) = FRAME.parse(&bytes) else { panic!("it is whole") };
            FRAME.check_readable(&slot)
        };
        assert!(check(1, 1).is_ok());
        assert!(matches!(check(2, 1), Err(UnreadableLevel::Format { what: "file", format: 2, known: 1 })));
        assert!(check(1, 999).is_err());
    }

    #[test]
    fn a_changed_or_short_slot_is_damaged_and_zeros_are_an_empty_one() {
        let bytes = with_tag(&FRAME.before_tag(3, 7, b"body"), &[5; TAG_BYTES]);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(matches!(FRAME.parse(&changed), Slot::Damaged), "{at}");
            assert!(at == 0 || matches!(FRAME.parse(&bytes[..at]), Slot::Damaged), "{at}");
        }
        assert!(matches!(FRAME.parse(&[0; 200]), Slot::Empty));
    }
}
