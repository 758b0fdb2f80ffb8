//! The chain of a node's log: the tag of each entry covers the tag before it, so that nobody without the keys can change,
//! move, swap or leave out an entry.
//!
//! The chain begins at an anchor, which the node record holds. Tags are 16 bytes. This keeps all of them in memory: an
//! entry that is read from the disk must have the tag that it had when it was appended, or when the log was opened.

use std::collections::VecDeque;

use super::StoreId;
use super::forged::{Forged, Forgery};
use super::log_types::{LogId, Tag};
use crate::crypto::ChainKey;

/// What the input of an anchor's tag begins with, in the place of a tag before it.
const ANCHOR_LABEL: &Tag = b"keyraft anchor 1";

/// Where a chain begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Anchor {
    /// The position before the first entry: everything up to it is purged. `None` before the first purge.
    pub position: Option<LogId>,
    /// The tag before that of the first entry.
    pub tag: Tag,
    /// The version of the integrity keys that tags the entries.
    pub key_version: u32,
}

/// The key of a chain, and what makes the chain of this node differ from all others.
#[derive(Debug, Clone)]
pub(super) struct ChainMaker {
    pub key: ChainKey,
    pub key_version: u32,
    pub store: StoreId,
    pub incarnation: [u8; 16],
}

/// The tags of all entries after the anchor.
#[derive(Debug)]
pub(super) struct Chain {
    maker: ChainMaker,
    anchor: Anchor,
    /// The index of the entry with the first tag.
    first: u64,
    tags: VecDeque<Tag>,
    /// The last entry, or the anchor's position without one.
    last: Option<LogId>,
}

impl ChainMaker {
    /// An anchor that no entry leads to: for a new log, and after a snapshot that goes further than the log.
    pub fn anchor(&self, position: Option<LogId>) -> Anchor {
        let place = position.map_or([0; 25], |id| {
            let mut place = [1; 25];
            place[1..].copy_from_slice(&id.to_bytes());
            place
        });
        let version = self.key_version.to_be_bytes();
        let tag = self.key.tag(ANCHOR_LABEL, &[&self.store.0, &self.incarnation, &version, &place]);
        Anchor { position, tag, key_version: self.key_version }
    }

    fn tag(&self, previous: &Tag, id: LogId, payload: &[u8]) -> Tag {
        self.key.tag(previous, &[&id.to_bytes(), payload])
    }
}

impl Chain {
    /// The chain without an entry after this anchor, which must have the key version of `maker`.
    pub fn new(maker: ChainMaker, anchor: Anchor) -> Self {
        let first = anchor.position.map_or(0, |id| id.index + 1);
        Self { maker, anchor, first, tags: VecDeque::new(), last: anchor.position }
    }

    /// The last entry, or the anchor's position without one.
    pub fn last(&self) -> Option<LogId> {
        self.last
    }

    /// The position up to which everything is purged.
    pub fn purged(&self) -> Option<LogId> {
        self.anchor.position
    }

    /// Where the chain begins.
    pub fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// The index of the first entry that may follow the anchor.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Appends an entry. The log checks that it follows the last one.
    pub fn append(&mut self, id: LogId, payload: &[u8]) -> Tag {
        let tag = self.maker.tag(&self.last_tag(), id, payload);
        self.push(id, tag);
        tag
    }

    /// Appends an entry that was read from the disk.
    pub fn load(&mut self, id: LogId, payload: &[u8], tag: Tag) -> Result<(), Forged> {
        let expected = self.first + self.tags.len() as u64;
        if id.index != expected {
            let missing = Forgery::Begin { found: id.index, expected };
            return Err(if self.tags.is_empty() { missing } else { Forgery::Entry { index: expected } }.into());
        }
        // What a leader of an earlier term wrote never follows. Its tag may hold, if it once stood here.
        if Some(id) <= self.last || self.maker.tag(&self.last_tag(), id, payload) != tag {
            return Err(Forgery::Entry { index: id.index }.into());
        }
        self.push(id, tag);
        Ok(())
    }

    /// Checks an entry that was read from the disk again.
    pub fn check(&self, id: LogId, payload: &[u8]) -> Result<(), Forged> {
        let forged = Forgery::Entry { index: id.index };
        let at = id.index.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let found = at.and_then(|at| Some((self.tag_before(at)?, self.tags.get(at)?)));
        let (previous, tag) = found.ok_or(forged)?;
        if self.maker.tag(previous, id, payload) == *tag { Ok(()) } else { Err(forged.into()) }
    }

    /// Forgets the entries after `last`, which is the anchor's position or an entry of the chain.
    pub fn truncate_after(&mut self, last: Option<LogId>) {
        let kept = last.map_or(0, |id| id.index + 1).saturating_sub(self.first);
        self.tags.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        self.last = last;
    }

    /// The anchor from which the chain goes on once everything up to `upto` is purged. If the chain has an entry at that
    /// index, it must be `upto`.
    pub fn anchor_at(&self, upto: LogId) -> Anchor {
        if self.last.is_none_or(|last| last.index < upto.index) {
            // After this, no entry depends on the ones from before.
            return self.maker.anchor(Some(upto));
        }
        let next = (upto.index + 1).saturating_sub(self.first);
        let tag = usize::try_from(next).ok().and_then(|next| self.tag_before(next)).unwrap_or(&self.anchor.tag);
        Anchor { position: Some(upto), tag: *tag, ..self.anchor }
    }

    /// Forgets the entries up to an anchor that [`Chain::anchor_at`] made.
    pub fn move_to(&mut self, anchor: Anchor) {
        let next = anchor.position.map_or(0, |id| id.index + 1);
        let purged = usize::try_from(next.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.tags.drain(..purged.min(self.tags.len()));
        // The log may never again be as long as before this purge.
        self.tags.shrink_to(2 * self.tags.len());
        self.first = self.first.max(next);
        self.last = self.last.max(anchor.position);
        self.anchor = anchor;
    }

    fn push(&mut self, id: LogId, tag: Tag) {
        if self.tags.is_empty() {
            self.first = id.index;
        }
        self.tags.push_back(tag);
        self.last = Some(id);
    }

    fn last_tag(&self) -> Tag {
        *self.tags.back().unwrap_or(&self.anchor.tag)
    }

    fn tag_before(&self, at: usize) -> Option<&Tag> {
        at.checked_sub(1).map_or(Some(&self.anchor.tag), |before| self.tags.get(before))
    }
}

#[cfg(test)]
mod tests;
