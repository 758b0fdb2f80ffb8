//! Key material at rest: sealed under the ring, and bound to its cluster, name, creation and version.

use thiserror::Error;
use zeroize::Zeroizing;

use super::aead::{self, NONCE, TAG};
use super::binding::{Binding, associated_data};
use super::hmac::Hmac;
use super::{Cipher, KeyMaterial, LockedSecret, Ring, Secret, random};

/// Why a record does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordOpenError {
    /// The ring does not have this version, so the record comes from a later state of the ring.
    #[error("the ring has no version {0}")]
    UnknownRingVersion(u32),
    /// Somebody changed the record, or it belongs somewhere else.
    #[error("the sealed record was changed or moved")]
    Damaged,
    /// The record is authentic, but newer software wrote it in the format of this number.
    #[error("the sealed record has the unknown format {0}")]
    UnknownFormat(u8),
}

/// The format that Keyraft writes, which is the first byte of the content.
const FORMAT: u8 = 1;

/// The flag for a record with an HMAC key, in the second byte of the content.
const HAS_HMAC: u8 = 1;

/// Length of the content: format, flags, encryption key, HMAC key or zeros, mask secret.
const CONTENT: usize = 1 + 1 + 32 + 32 + 16;

/// Length of a sealed record: `nonce ‖ content ‖ tag`.
const SEALED: usize = NONCE + CONTENT + TAG;

impl Ring {
    /// Seals `material` under the active version of the ring: 110 bytes.
    pub fn seal_material(&self, material: &KeyMaterial, binding: &Binding<'_>) -> Vec<u8> {
        self.seal_with(random::bytes(), material, binding)
    }

    /// The same with a fixed nonce, for the vectors in `tests/vectors`.
    #[cfg(test)]
    pub(crate) fn seal_material_with_nonce(&self, nonce: u8, material: &KeyMaterial, binding: &Binding<'_>) -> Vec<u8> {
        self.seal_with([nonce; NONCE], material, binding)
    }

    fn seal_with(&self, nonce: [u8; NONCE], material: &KeyMaterial, binding: &Binding<'_>) -> Vec<u8> {
        let mut record = Vec::with_capacity(SEALED);
        record.extend_from_slice(&nonce);
        encode(material, &mut record);
        let context = binding.encode(material.cipher);
        let key = record_key(self.active_key(), binding.creation_id, binding.version);
        let tag = aead::seal(Cipher::Aes256, &key, &nonce, &context, &mut record[NONCE..]);
        record.extend_from_slice(&tag);
        record
    }

    /// Opens what [`Ring::seal_material`] sealed under `ring_version` for the same binding and cipher.
    ///
    /// # Errors
    /// See [`RecordOpenError`].
    pub fn open_material(
        &self,
        ring_version: u32,
        sealed: &[u8],
        binding: &Binding<'_>,
        cipher: Cipher,
    ) -> Result<KeyMaterial, RecordOpenError> {
        let ring_key = self.key(ring_version).ok_or(RecordOpenError::UnknownRingVersion(ring_version))?;
        let key = record_key(ring_key, binding.creation_id, binding.version);
        let content = open(&key, sealed, &binding.encode(cipher)).ok_or(RecordOpenError::Damaged)?;
        decode(cipher, &content).ok_or_else(|| RecordOpenError::UnknownFormat(content.first().copied().unwrap_or(0)))
    }
}

impl Binding<'_> {
    fn encode(&self, cipher: Cipher) -> Vec<u8> {
        let version = self.version.to_be_bytes();
        associated_data(
            self.kind,
            &self.cluster,
            &[self.name.as_bytes(), &self.creation_id, &version, cipher.name().as_bytes()],
        )
    }
}

/// The AES-256-GCM key of one record: HMAC-SHA-256(ring key, label ‖ creation id ‖ version BE32).
///
/// Each record has a key of its own, because random nonces of 96 bits under one key may repeat after some billion
/// records, and GCM with a repeated nonce is broken. With a key for each record, the number of creates does not matter.
fn record_key(ring_key: &LockedSecret<32>, creation_id: [u8; 16], version: u32) -> Zeroizing<[u8; 32]> {
    const LABEL: [u8; 20] = *b"keyraft key record 1";
    // All parts have fixed lengths, so no two records have the same bytes here.
    let mut message = [0; LABEL.len() + 16 + 4];
    message[..20].copy_from_slice(&LABEL);
    message[20..36].copy_from_slice(&creation_id);
    message[36..].copy_from_slice(&version.to_be_bytes());
    Hmac::of_locked(ring_key).of(&message)
}

fn open(key: &[u8; 32], sealed: &[u8], context: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = sealed.split_first_chunk()?;
    let (content, tag) = rest.split_last_chunk()?;
    let mut content = Zeroizing::new(content.to_vec());
    aead::open(Cipher::Aes256, key, nonce, context, &mut content, tag).ok()?;
    Some(content)
}

fn encode(material: &KeyMaterial, record: &mut Vec<u8>) {
    record.extend_from_slice(&[FORMAT, material.hmac.as_ref().map_or(0, |_| HAS_HMAC)]);
    record.extend_from_slice(material.encryption.expose());
    let hmac = material.hmac.as_ref().map_or(&[0; 32], Secret::expose);
    record.extend_from_slice(hmac);
    record.extend_from_slice(material.mask.expose());
}

fn decode(cipher: Cipher, content: &[u8]) -> Option<KeyMaterial> {
    let ([FORMAT, flags], rest) = content.split_first_chunk()? else { return None };
    let (encryption, rest) = rest.split_first_chunk()?;
    let (hmac, rest) = rest.split_first_chunk()?;
    let mask = rest.try_into().ok()?;
    let hmac = match *flags {
        0 => None,
        HAS_HMAC => Some(Secret::from_bytes(hmac)),
        _ => return None,
    };
    Some(KeyMaterial { cipher, encryption: Secret::from_bytes(encryption), hmac, mask: Secret::from_bytes(mask) })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::crypto::RecordKind;

    const BINDING: Binding<'_> =
        Binding { cluster: [1; 16], kind: RecordKind::Key, name: "my-key", creation_id: [2; 16], version: 3 };

    #[test]
    fn material_round_trips_in_110_bytes() {
        let ring = Ring::generate();
        for cipher in [Cipher::Aes256, Cipher::ChaCha20] {
            for has_hmac in [true, false] {
                let mut material = KeyMaterial::random(cipher);
                material.hmac.take_if(|_| !has_hmac);
                let sealed = ring.seal_material(&material, &BINDING);
                assert_eq!(sealed.len(), 110);
                assert_eq!(ring.open_material(1, &sealed, &BINDING, cipher), Ok(material));
            }
        }
    }

    #[test]
    fn a_record_opens_in_its_own_place_only() {
        let (ring, material) = (Ring::generate(), KeyMaterial::random(Cipher::Aes256));
        let sealed = ring.seal_material(&material, &BINDING);
        for elsewhere in [
            Binding { cluster: [9; 16], ..BINDING },
            Binding { kind: RecordKind::Ring, ..BINDING },
            Binding { name: "my-kez", ..BINDING },
            Binding { creation_id: [9; 16], ..BINDING },
            Binding { version: 4, ..BINDING },
        ] {
            assert_eq!(ring.open_material(1, &sealed, &elsewhere, Cipher::Aes256), Err(RecordOpenError::Damaged));
        }
        assert_eq!(ring.open_material(1, &sealed, &BINDING, Cipher::ChaCha20), Err(RecordOpenError::Damaged));
        assert_eq!(Ring::generate().open_material(1, &sealed, &BINDING, Cipher::Aes256), Err(RecordOpenError::Damaged));
        assert_eq!(
            ring.open_material(2, &sealed, &BINDING, Cipher::Aes256),
            Err(RecordOpenError::UnknownRingVersion(2))
        );
    }

    #[test]
    fn a_changed_record_does_not_open() {
        let (ring, material) = (Ring::generate(), KeyMaterial::random(Cipher::Aes256));
        let mut sealed = ring.seal_material(&material, &BINDING);
        for bit in 0..sealed.len() * 8 {
            sealed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                ring.open_material(1, &sealed, &BINDING, Cipher::Aes256),
                Err(RecordOpenError::Damaged),
                "{bit}"
            );
            sealed[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..sealed.len() {
            assert_eq!(
                ring.open_material(1, &sealed[..length], &BINDING, Cipher::Aes256),
                Err(RecordOpenError::Damaged)
            );
        }
    }

    #[test]
    fn the_error_has_the_number_of_an_unknown_format() {
        let ring = Ring::generate();
        let nonce = [0; NONCE];
        for (content, format) in [(vec![2, 7], 2), (vec![FORMAT, 2, 0], FORMAT), (vec![], 0)] {
            let mut record = [&nonce[..], &content].concat();
            let context = BINDING.encode(Cipher::Aes256);
            let key = record_key(ring.active_key(), BINDING.creation_id, BINDING.version);
            let tag = aead::seal(Cipher::Aes256, &key, &nonce, &context, &mut record[NONCE..]);
            record.extend_from_slice(&tag);
            let opened = ring.open_material(1, &record, &BINDING, Cipher::Aes256);
            assert_eq!(opened, Err(RecordOpenError::UnknownFormat(format)));
        }
    }

    #[test]
    fn two_records_of_one_ring_never_have_the_same_key() {
        let ring = Ring::generate();
        let key = |creation: u8, version| *record_key(ring.active_key(), [creation; 16], version);
        let keys = [key(1, 1), key(1, 2), key(1, 256), key(2, 1), key(2, 2)];
        let distinct: BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert_eq!(key(1, 1), key(1, 1));
    }

    /// Computed with the `hmac` module of Python.
    #[test]
    fn the_key_of_a_record_has_this_form() {
        let ring_key = LockedSecret::from_bytes(&std::array::from_fn(|i| u8::try_from(i).unwrap()));
        let creation_id = std::array::from_fn(|i| 0xa0 + u8::try_from(i).unwrap());
        let key = record_key(&ring_key, creation_id, 0x0102_0304);
        assert_eq!(hex::encode(*key), "350b4977b4a658806abc01bfe98ed249679acf814a385d457063507c41608cee");
    }

    /// A record must not open with the key of another record, even if everything else about it is the same.
    #[test]
    fn the_key_of_another_record_does_not_open_a_record() {
        let (ring, material) = (Ring::generate(), KeyMaterial::random(Cipher::Aes256));
        let sealed = ring.seal_material(&material, &BINDING);
        let context = BINDING.encode(Cipher::Aes256);
        let opens = |creation_id, version| {
            open(&record_key(ring.active_key(), creation_id, version), &sealed, &context).is_some()
        };
        assert!(opens(BINDING.creation_id, BINDING.version));
        assert!(!opens([9; 16], BINDING.version) && !opens(BINDING.creation_id, 4));
    }

    #[test]
    fn no_two_lists_of_fields_have_the_same_bytes() {
        let data = |fields: &[&[u8]]| associated_data(RecordKind::Key, &[0; 16], fields);
        assert_ne!(data(&[b"ab", b"c"]), data(&[b"a", b"bc"]));
        assert_ne!(data(&[b"a"]), data(&[b"a", b""]));
    }
}
