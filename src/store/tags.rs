//! The tags of what a node has applied. Nobody without the key ring can change a keystore or a snapshot unnoticed.

use std::fmt;

use super::damage::Damage;
use super::{Owner, StoreKeys};
use crate::crypto::{DigestKey, IntegrityKeys, TagPurpose};

/// Makes and checks the tags of one store, and has the keys of digests. Clones share the keys.
#[derive(Clone)]
pub(super) struct StoreTags {
    pub owner: Owner,
    keys: IntegrityKeys,
}

impl StoreTags {
    pub(super) fn new(owner: Owner, keys: &StoreKeys) -> Self {
        Self { owner, keys: keys.integrity.clone() }
    }

    /// The version of the integrity keys under which this node makes tags and digests.
    pub(super) fn active(&self) -> u32 {
        self.keys.active()
    }

    /// The key of digests at this version.
    pub(super) fn digest_key(&self, version: u32) -> Result<DigestKey, Damage> {
        self.keys.digest(version).cloned().ok_or(Damage::UnknownKey { version })
    }

    /// The key of digests at the active version.
    pub(super) fn active_digest_key(&self) -> DigestKey {
        self.digest_key(self.active()).expect("the keys have their active version")
    }

    /// The tag of these parts in this store.
    pub(super) fn tag(&self, purpose: TagPurpose, version: u32, parts: &[&[u8]]) -> Result<[u8; 32], Damage> {
        let tag = self.keys.tag(purpose, version, &self.in_store(parts));
        tag.ok_or(Damage::UnknownKey { version })
    }

    /// Fails unless this is the tag of these parts in this store.
    pub(super) fn check(&self, purpose: TagPurpose, version: u32, parts: &[&[u8]], tag: &[u8]) -> Result<(), Damage> {
        if self.keys.digest(version).is_none() {
            return Err(Damage::UnknownKey { version });
        }
        let holds = tag.try_into().is_ok_and(|tag| self.keys.verifies(purpose, version, &self.in_store(parts), tag));
        if holds { Ok(()) } else { Err(Damage::Tag) }
    }

    fn in_store<'a>(&'a self, parts: &[&'a [u8]]) -> Vec<&'a [u8]> {
        [&[&self.owner.store_id.0[..]], parts].concat()
    }
}

impl fmt::Debug for StoreTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreTags").field("owner", &self.owner).finish_non_exhaustive()
    }
}
