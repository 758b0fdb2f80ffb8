//! A note about the level of a part of the data folder. A node reads it before anything else in that part.
//!
//! With big-endian integers: the format `u8`, the level `u32`, the lowest level `u32` that a reader must know, content,
//! and the SHA-256 of everything before. Later formats keep this frame and change the content only.

use bytes::BufMut;
use sha2::{Digest as _, Sha256};

use super::damage::Damage;
use super::level::{UnreadableLevel, WrittenLevel};
use super::read_error::ReadError;

const FORMAT: u8 = 1;
const CHECKSUM_BYTES: usize = 32;

/// Writes a note.
pub(super) fn encode(level: WrittenLevel, content: &[u8]) -> Vec<u8> {
    let mut note = Vec::with_capacity(1 + WrittenLevel::BYTES + content.len() + CHECKSUM_BYTES);
    note.put_u8(FORMAT);
    level.encode(&mut note);
    note.put_slice(content);
    let checksum = Sha256::digest(&note);
    note.put_slice(&checksum);
    note
}

/// The level and the content of a note about `what`.
///
/// # Errors
/// The note is damaged, or another version of Keyraft must read `what`.
pub(super) fn decode<'a>(what: &'static str, note: &'a [u8]) -> Result<(WrittenLevel, &'a [u8]), ReadError> {
    let (format, level, content) =
        parse(note).ok_or_else(|| Damage::Unreadable(format!("the note about the level of {what} cannot be read")))?;
    if format != FORMAT {
        return Err(UnreadableLevel::Format { what, format: format.into(), known: FORMAT.into() }.into());
    }
    level.check(what)?;
    Ok((level, content))
}

fn parse(note: &[u8]) -> Option<(u8, WrittenLevel, &[u8])> {
    let (noted, checksum) = note.split_last_chunk::<CHECKSUM_BYTES>()?;
    let whole = checksum == Sha256::digest(noted).as_slice();
    let (format, rest) = noted.split_first().filter(|_| whole)?;
    let (level, content) = rest.split_first_chunk()?;
    Some((*format, WrittenLevel::decode(*level)?, content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::HIGHEST_LEVEL;

    #[test]
    fn notes_round_trip_and_a_changed_or_short_one_is_damaged() {
        let level = WrittenLevel::active(1);
        for content in [&b""[..], b"content"] {
            let note = encode(level, content);
            assert_eq!(decode("it", &note).unwrap(), (level, content));
            for at in 0..note.len() {
                let mut changed = note.clone();
                changed[at] ^= 1;
                for damaged in [&changed[..], &note[..at]] {
                    assert!(matches!(decode("it", damaged), Err(ReadError::Damaged(_))), "{at}");
                }
            }
        }
    }

    #[test]
    fn a_missing_level_is_damage_and_a_newer_one_is_not() {
        for level in [WrittenLevel::active(0), WrittenLevel { level: 1, lowest_reader: 0 }] {
            assert!(matches!(decode("it", &encode(level, b"")), Err(ReadError::Damaged(_))));
        }
        let needed = HIGHEST_LEVEL + 1;
        let newer = decode("it", &encode(WrittenLevel::active(needed), b"")).unwrap_err();
        assert!(matches!(newer, ReadError::Level(UnreadableLevel::Newer { what: "it", needed: n }) if n == needed));
        let mut format = encode(WrittenLevel::active(1), b"");
        format.truncate(format.len() - CHECKSUM_BYTES);
        format[0] = 2;
        let checksum = Sha256::digest(&format);
        format.put_slice(&checksum);
        let newer = decode("it", &format).unwrap_err();
        assert!(matches!(newer, ReadError::Level(UnreadableLevel::Format { format: 2, known: 1, .. })));
    }
}
