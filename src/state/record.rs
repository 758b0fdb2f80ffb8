//! The record of one version of one key, as it stands in keystore, snapshots and the view: sealed, compact, versioned.

use thiserror::Error;

use crate::crypto::Cipher;
use crate::policy::{Author, Identity};

/// 128 random bits, different for each creation of a key, so that a later key of the same name is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CreationId(pub [u8; 16]);

/// One version of a key. Only its sealed part is secret, and nothing below `kms` opens it.
///
/// Layout, format 1, integers big-endian: format `u8`, flags `u8`, cipher `u8`, creation id `[16]`, version `u32`,
/// ring version `u32`; then, each only if its flag is set, created at `i64`, created by `[32]`, last used `u32`, delete at
/// `u64`. The rest is the sealed part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Which creation of the name this belongs to.
    pub creation_id: CreationId,
    /// The version of the key, from 1.
    pub version: u32,
    /// The cipher.
    pub cipher: Cipher,
    /// Whether the version is disabled.
    pub disabled: bool,
    /// The version of the key ring it is sealed under.
    pub ring_version: u32,
    /// Who made this version, and when.
    pub author: Author,
    /// About when somebody last used the key, in Unix minutes. Only the newest version has it.
    pub last_used: Option<u32>,
    /// The replicated time in nanoseconds until which the deleted key can be restored; `None` if it is not deleted.
    /// Only the newest version has it.
    pub delete_at: Option<u64>,
    /// The key material, sealed by `crypto`.
    pub sealed: Vec<u8>,
}

/// Bytes that this binary cannot read as a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The format is newer than this binary.
    #[error("key record of format {0}, which this version does not know")]
    UnknownFormat(u8),
    /// It is too short, or a field has an impossible value.
    #[error("damaged key record")]
    Damaged,
}

pub(super) const FORMAT: u8 = 1;
pub(super) const FLAG_CREATED_AT: u8 = 1;
pub(super) const FLAG_CREATED_BY: u8 = 2;
const FLAG_DISABLED: u8 = 4;
const FLAG_LAST_USED: u8 = 8;
const FLAG_DELETE_AT: u8 = 16;
const FLAGS: u8 = FLAG_CREATED_AT | FLAG_CREATED_BY | FLAG_DISABLED | FLAG_LAST_USED | FLAG_DELETE_AT;
pub(super) const FLAGS_AT: usize = 1;
pub(super) const CREATION_ID_AT: usize = 3;
pub(super) const VERSION_AT: usize = CREATION_ID_AT + 16;
pub(super) const RING_VERSION_AT: usize = VERSION_AT + 4;
/// Where what depends on flags begins: first the time of the creation, and then who created it.
pub(super) const OPTIONAL_AT: usize = RING_VERSION_AT + 4;
pub(super) const CREATED_AT_BYTES: usize = 8;

impl KeyRecord {
    /// The record as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(VERSION_AT + 8 + 52 + self.sealed.len());
        out.extend([FORMAT, self.flags(), cipher_code(self.cipher)]);
        out.extend(self.creation_id.0);
        out.extend(self.version.to_be_bytes());
        out.extend(self.ring_version.to_be_bytes());
        out.extend(self.author.created_at.iter().flat_map(|at| at.to_be_bytes()));
        out.extend(self.author.created_by.iter().flat_map(|by| *by.as_bytes()));
        out.extend(self.last_used.iter().flat_map(|at| at.to_be_bytes()));
        out.extend(self.delete_at.iter().flat_map(|at| at.to_be_bytes()));
        out.extend(&self.sealed);
        out
    }

    /// Reads a record.
    ///
    /// # Errors
    /// The format is unknown, or the bytes are damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let (record, sealed) = Self::split(bytes)?;
        Ok(Self { sealed: sealed.to_vec(), ..record })
    }

    /// Checks that a record can be read, without copying its sealed part. Returns its creation and version.
    ///
    /// # Errors
    /// The format is unknown, or the bytes are damaged.
    pub fn check(bytes: &[u8]) -> Result<(CreationId, u32), RecordError> {
        Self::split(bytes).map(|(record, _)| (record.creation_id, record.version))
    }

    /// The record without its sealed part, and that part.
    fn split(bytes: &[u8]) -> Result<(Self, &[u8]), RecordError> {
        let mut rest = Reader(bytes);
        let [format, flags, cipher] = rest.take::<3>()?;
        if format != FORMAT {
            return Err(RecordError::UnknownFormat(format));
        }
        if flags & !FLAGS != 0 {
            return Err(RecordError::Damaged);
        }
        let cipher = cipher_of(cipher)?;
        let creation_id = CreationId(rest.take()?);
        let version = u32::from_be_bytes(rest.take()?);
        let ring_version = u32::from_be_bytes(rest.take()?);
        let created_at = rest.take_if(flags & FLAG_CREATED_AT != 0)?.map(i64::from_be_bytes);
        let created_by = rest.take_if(flags & FLAG_CREATED_BY != 0)?.map(Identity::from_bytes);
        let last_used = rest.take_if(flags & FLAG_LAST_USED != 0)?.map(u32::from_be_bytes);
        let delete_at = rest.take_if(flags & FLAG_DELETE_AT != 0)?.map(u64::from_be_bytes);
        let record = Self {
            creation_id,
            version,
            cipher,
            disabled: flags & FLAG_DISABLED != 0,
            ring_version,
            author: Author { created_at, created_by },
            last_used,
            delete_at,
            sealed: Vec::new(),
        };
        Ok((record, rest.0))
    }

    /// The creation id and version of an encoded record, without decoding the rest; `None` if it is too short.
    pub fn peek(bytes: &[u8]) -> Option<(CreationId, u32)> {
        let id = bytes.get(CREATION_ID_AT..VERSION_AT)?.try_into().ok()?;
        let version = bytes.get(VERSION_AT..RING_VERSION_AT)?.try_into().ok()?;
        Some((CreationId(id), u32::from_be_bytes(version)))
    }

    /// The version of the key ring that seals an encoded record; `None` if it is too short.
    pub fn peek_ring_version(bytes: &[u8]) -> Option<u32> {
        let version = bytes.get(RING_VERSION_AT..OPTIONAL_AT)?.try_into().ok()?;
        Some(u32::from_be_bytes(version))
    }

    /// Whether an encoded record says that its key is deleted and waits for its removal.
    pub fn is_waiting(bytes: &[u8]) -> bool {
        bytes.get(FLAGS_AT).is_some_and(|flags| flags & FLAG_DELETE_AT != 0)
    }

    /// Whether an encoded record says that its version is disabled.
    pub fn is_disabled(bytes: &[u8]) -> bool {
        bytes.get(FLAGS_AT).is_some_and(|flags| flags & FLAG_DISABLED != 0)
    }

    fn flags(&self) -> u8 {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        flag(self.author.created_at.is_some(), FLAG_CREATED_AT)
            | flag(self.author.created_by.is_some(), FLAG_CREATED_BY)
            | flag(self.disabled, FLAG_DISABLED)
            | flag(self.last_used.is_some(), FLAG_LAST_USED)
            | flag(self.delete_at.is_some(), FLAG_DELETE_AT)
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(RecordError::Damaged)?;
        self.0 = tail;
        Ok(*head)
    }

    fn take_if<const N: usize>(&mut self, present: bool) -> Result<Option<[u8; N]>, RecordError> {
        present.then(|| self.take()).transpose()
    }
}

fn cipher_code(cipher: Cipher) -> u8 {
    match cipher {
        Cipher::Aes256 => 1,
        Cipher::ChaCha20 => 2,
    }
}

fn cipher_of(code: u8) -> Result<Cipher, RecordError> {
    match code {
        1 => Ok(Cipher::Aes256),
        2 => Ok(Cipher::ChaCha20),
        _ => Err(RecordError::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> KeyRecord {
        KeyRecord {
            creation_id: CreationId([7; 16]),
            version: 3,
            cipher: Cipher::ChaCha20,
            disabled: false,
            ring_version: 2,
            author: Author { created_at: Some(-5), created_by: Some(Identity::from_bytes([9; 32])) },
            last_used: Some(29_000_000),
            delete_at: Some(7),
            sealed: vec![1; 110],
        }
    }

    #[test]
    fn records_round_trip_with_and_without_their_optional_fields() {
        let full = record();
        let bare =
            KeyRecord { author: Author::default(), disabled: true, last_used: None, delete_at: None, ..record() };
        for record in [full, bare] {
            let bytes = record.encode();
            assert!(bytes.len() <= 192, "{}", bytes.len());
            assert_eq!(KeyRecord::decode(&bytes).unwrap(), record);
            assert_eq!(KeyRecord::check(&bytes), Ok((record.creation_id, record.version)));
            assert_eq!(KeyRecord::peek(&bytes), Some((record.creation_id, record.version)));
            assert_eq!(KeyRecord::peek_ring_version(&bytes), Some(record.ring_version));
            assert_eq!(KeyRecord::is_disabled(&bytes), record.disabled);
            assert_eq!(KeyRecord::is_waiting(&bytes), record.delete_at.is_some());
        }
    }

    #[test]
    fn a_damaged_record_and_a_newer_one_are_different_errors() {
        let bytes = record().encode();
        for cut in 0..79 {
            assert_eq!(KeyRecord::decode(&bytes[..cut]), Err(RecordError::Damaged), "{cut}");
        }
        let mut newer = bytes;
        newer[0] = 9;
        assert_eq!(KeyRecord::decode(&newer), Err(RecordError::UnknownFormat(9)));
    }
}
