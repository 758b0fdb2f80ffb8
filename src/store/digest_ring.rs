//! The digests of the state after each of the last entries that this node has applied, for comparison with other nodes.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::state::Digest;

/// How many digests the ring keeps: those of the last half second at 9,000 entries a second.
const KEPT: usize = 4096;

/// The digest of the state after the entry at an index. Two nodes have the same one, or one of them is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateDigest {
    /// The index of the last entry applied.
    pub index: u64,
    /// The digest after it.
    pub digest: Digest,
    /// The version of the integrity keys under which it is made. Digests of different versions say nothing.
    pub key_version: u32,
}

/// The digests after the last entries. The state machine adds them, and all other code only looks.
#[derive(Debug, Default)]
pub struct DigestRing {
    recent: Mutex<Recent>,
}

/// Digests of neighbouring indexes up to that of `last`, under one version of the integrity keys.
#[derive(Debug, Default)]
struct Recent {
    digests: VecDeque<Digest>,
    last: u64,
    key_version: u32,
}

impl DigestRing {
    /// The digest after the entry at `index`, if the ring still has it.
    pub fn at(&self, index: u64) -> Option<StateDigest> {
        self.recent.lock().at(index)
    }

    /// The newest digest. `None` before the first entry.
    pub fn newest(&self) -> Option<StateDigest> {
        let recent = self.recent.lock();
        recent.at(recent.last)
    }

    /// Adds the digest after the next entry. An index that does not follow the last one comes from a snapshot: the state
    /// is another one then, and the older digests say nothing about it.
    pub(super) fn add(&self, added: StateDigest) {
        let mut recent = self.recent.lock();
        if added.index != recent.last + 1 || added.key_version != recent.key_version {
            recent.digests.clear();
        }
        if recent.digests.len() == KEPT {
            recent.digests.pop_front();
        }
        recent.digests.push_back(added.digest);
        (recent.last, recent.key_version) = (added.index, added.key_version);
    }
}

impl Recent {
    fn at(&self, index: u64) -> Option<StateDigest> {
        let back = usize::try_from(self.last.checked_sub(index)?).ok()?;
        let digest = *self.digests.get(self.digests.len().checked_sub(back + 1)?)?;
        Some(StateDigest { index, digest, key_version: self.key_version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(index: u64) -> StateDigest {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&index.to_be_bytes());
        StateDigest { index, digest: Digest::from_bytes(bytes), key_version: 1 }
    }

    #[test]
    fn the_ring_has_the_digests_after_the_last_entries() {
        let ring = DigestRing::default();
        assert_eq!((ring.newest(), ring.at(0), ring.at(1)), (None, None, None));
        let last = 10_000;
        (1..=last).for_each(|index| ring.add(digest(index)));
        assert_eq!(ring.newest(), Some(digest(last)));
        let oldest = last - KEPT as u64 + 1;
        assert_eq!((ring.at(oldest), ring.at(oldest - 1)), (Some(digest(oldest)), None));
        assert_eq!(ring.at(last + 1), None);
    }

    #[test]
    fn digests_from_before_a_snapshot_are_dropped() {
        let ring = DigestRing::default();
        (1..=10).for_each(|index| ring.add(digest(index)));
        ring.add(digest(50));
        assert_eq!((ring.at(10), ring.at(50), ring.at(49)), (None, Some(digest(50)), None));
        ring.add(digest(51));
        assert_eq!((ring.at(50), ring.at(51)), (Some(digest(50)), Some(digest(51))));
        // A snapshot at the same index may have another state.
        ring.add(StateDigest { digest: Digest::default(), ..digest(51) });
        assert_eq!((ring.at(50), ring.newest().unwrap().digest), (None, Digest::default()));
        ring.add(StateDigest { key_version: 2, ..digest(52) });
        assert_eq!(ring.at(51), None, "its digest is made under another key");
    }
}
