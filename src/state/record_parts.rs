//! The record of a key in two parts: what it has in common with many others, and its own.

use super::record::{
    CREATED_AT_BYTES, CREATION_ID_AT, CreationId, FLAG_CREATED_AT, FLAG_CREATED_BY, FLAGS_AT, FORMAT, KeyRecord,
    OPTIONAL_AT, RING_VERSION_AT, VERSION_AT,
};
use crate::policy::Identity;

/// What many encoded records have in common: format, flags, cipher, version of the key ring, and who created them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommonPart(Box<[u8]>);

impl CommonPart {
    /// Takes the encoded record of this version of a key apart. [`CommonPart::join`] puts the two parts together again.
    /// Returns `None` if the bytes are not laid out as such a record. The own part may still be damaged.
    pub fn split(record: &[u8], version: u32) -> Option<(Self, Vec<u8>)> {
        let (head, rest) = record.split_at_checked(CREATION_ID_AT)?;
        let (creation_id, rest) = rest.split_at_checked(VERSION_AT - CREATION_ID_AT)?;
        let (version_bytes, rest) = rest.split_at_checked(RING_VERSION_AT - VERSION_AT)?;
        let (ring_version, rest) = rest.split_at_checked(OPTIONAL_AT - RING_VERSION_AT)?;
        if head.first() != Some(&FORMAT) || version_bytes != version.to_be_bytes() {
            return None;
        }
        let (created_at, rest) = rest.split_at_checked(created_at_bytes(head))?;
        let (created_by, rest) = rest.split_at_checked(created_by_bytes(head))?;
        Some((Self([head, ring_version, created_by].concat().into()), [creation_id, created_at, rest].concat()))
    }

    /// The encoded record of this version that has this own part.
    pub fn join(&self, version: u32, own: &[u8]) -> Vec<u8> {
        let (head, rest) = self.0.split_at(CREATION_ID_AT);
        let (ring_version, created_by) = rest.split_at(OPTIONAL_AT - RING_VERSION_AT);
        let (creation_id, rest) = own.split_at(VERSION_AT - CREATION_ID_AT);
        let (created_at, rest) = rest.split_at(created_at_bytes(head));
        [head, creation_id, &version.to_be_bytes(), ring_version, created_at, created_by, rest].concat()
    }

    /// The creation id of the record that has this own part.
    pub fn creation_id(own: &[u8]) -> Option<CreationId> {
        own.first_chunk().copied().map(CreationId)
    }

    /// Whether the record says that its key is deleted and waits for its removal.
    pub fn is_waiting(&self) -> bool {
        KeyRecord::is_waiting(&self.0)
    }

    /// Whether the record says that its version is disabled.
    pub fn is_disabled(&self) -> bool {
        KeyRecord::is_disabled(&self.0)
    }
}

fn created_at_bytes(head: &[u8]) -> usize {
    if head[FLAGS_AT] & FLAG_CREATED_AT == 0 { 0 } else { CREATED_AT_BYTES }
}

fn created_by_bytes(head: &[u8]) -> usize {
    if head[FLAGS_AT] & FLAG_CREATED_BY == 0 { 0 } else { Identity::LEN }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::crypto::Cipher;
    use crate::policy::Author;

    fn record(random: &mut StdRng) -> KeyRecord {
        KeyRecord {
            creation_id: CreationId(random.random()),
            version: random.random_range(1..3),
            cipher: if random.random() { Cipher::Aes256 } else { Cipher::ChaCha20 },
            disabled: random.random(),
            ring_version: random.random(),
            author: Author {
                created_at: random.random::<bool>().then(|| random.random()),
                created_by: random.random::<bool>().then(|| Identity::from_bytes(random.random())),
            },
            last_used: random.random::<bool>().then(|| random.random()),
            delete_at: random.random::<bool>().then(|| random.random()),
            sealed: (0..random.random_range(0..120)).map(|_| random.random()).collect(),
        }
    }

    #[test]
    fn both_parts_make_the_same_record_and_know_what_it_says() {
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..2000 {
            let record = record(&mut random);
            let bytes = record.encode();
            let (common, own) = CommonPart::split(&bytes, record.version).unwrap();
            assert_eq!(common.join(record.version, &own), bytes);
            assert_eq!(CommonPart::creation_id(&own), Some(record.creation_id));
            assert_eq!((common.is_disabled(), common.is_waiting()), (record.disabled, record.delete_at.is_some()));
            assert_eq!(CommonPart::split(&bytes, record.version + 1), None);
            let other = KeyRecord { creation_id: CreationId([1; 16]), sealed: vec![2; 110], ..record };
            assert_eq!(CommonPart::split(&other.encode(), other.version).unwrap().0, common);
        }
    }

    #[test]
    fn bytes_that_are_no_record_make_the_same_bytes_if_they_have_parts() {
        let mut random = StdRng::seed_from_u64(2);
        let mut split = 0;
        for _ in 0..20_000 {
            let mut bytes = record(&mut random).encode();
            bytes.truncate(random.random_range(0..=bytes.len()));
            for _ in 0..random.random_range(0..3) {
                if let Some(byte) = bytes.get_mut(random.random_range(0..8)) {
                    *byte = random.random();
                }
            }
            for version in [1, 2] {
                if let Some((common, own)) = CommonPart::split(&bytes, version) {
                    assert_eq!(common.join(version, &own), bytes);
                    split += 1;
                }
            }
        }
        assert!(split > 1000, "{split}");
    }
}
