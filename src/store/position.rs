//! How far a keystore on disk goes, with a tag: the pair `@`, and the file `DURABLE`.

use bytes::Bytes;
use prost::Message;
use sha2::{Digest as _, Sha256};

use super::damage::{Damage, disagreement};
use super::image::Applied;
use super::tags::StoreTags;
use super::wire;
use crate::crypto::TagPurpose;

/// How far a keystore goes. The digest in it covers the replicated pairs, and the hash covers the membership beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeystorePosition {
    pub applied: Applied,
    pub membership_hash: [u8; 32],
}

impl KeystorePosition {
    /// The position with this membership, as `raft` encodes it.
    pub(super) fn of(applied: Applied, membership: &[u8]) -> Self {
        Self { applied, membership_hash: Sha256::digest(membership).into() }
    }

    /// The bytes, with their tag.
    pub(super) fn encode(&self, tags: &StoreTags) -> Vec<u8> {
        let position = wire::KeystorePosition {
            applied: Some(self.applied.to_wire()),
            membership_hash: Bytes::copy_from_slice(&self.membership_hash),
        };
        let position = position.encode_to_vec();
        let tag = tags.tag(TagPurpose::Checkpoint, self.applied.key_version, &[&position]);
        let tag = tag.expect("the position was read, or made, with a key of this version");
        wire::TaggedPosition { position: position.into(), tag: Bytes::copy_from_slice(&tag) }.encode_to_vec()
    }

    /// Reads the bytes and checks their tag.
    pub(super) fn decode(bytes: &[u8], tags: &StoreTags) -> Result<Self, Damage> {
        let tagged = wire::TaggedPosition::decode(bytes)?;
        let position = wire::KeystorePosition::decode(tagged.position.clone())?;
        let applied = Applied::from_wire(position.applied.unwrap_or_default())?;
        tags.check(TagPurpose::Checkpoint, applied.key_version, &[&tagged.position], &tagged.tag)?;
        let membership_hash = position.membership_hash.as_ref().try_into();
        let membership_hash =
            membership_hash.map_err(|_| Damage::Entry("the hash of the membership cannot be read".to_owned()))?;
        Ok(Self { applied, membership_hash })
    }

    /// Fails if another membership stands beside the position.
    pub(super) fn check_membership(&self, membership: &[u8]) -> Result<(), Damage> {
        let found = Sha256::digest(membership);
        disagreement("membership hash", hex::encode(self.membership_hash), hex::encode(found))
    }

    /// Fails if this is behind `durable`: then the disk lost what it had made durable.
    pub(super) fn reaches(&self, durable: &Self) -> Result<(), Damage> {
        let (noted, found) = (durable.applied.index(), self.applied.index());
        if found >= noted { Ok(()) } else { disagreement("applied index", noted, found) }
    }
}
