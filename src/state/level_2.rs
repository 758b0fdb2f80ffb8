//! The body of a command at level 2, which only test builds know (feature `level-2`).
//!
//! Layout: kind `u8`, and the rest by kind. Kind 0 is a body of level 1, so that this level has every command of that
//! one. Kind 1 is a note of 1 to 16 bytes, which changes nothing. Its outcome has the note as its detail.

use bytes::Bytes;

use super::encoded_command::{EncodedCommand, RequestId};
use super::outcome::{Outcome, RecordedOutcome};

const LEVEL: u32 = 2;
const OF_LEVEL_1: u8 = 0;
const NOTE: u8 = 1;
const MAX_NOTE_BYTES: usize = 16;

/// The body of a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    OfLevel1(&'a [u8]),
    Note(&'a [u8]),
}

impl<'a> Body<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, rest) = match self {
            Self::OfLevel1(rest) => (OF_LEVEL_1, *rest),
            Self::Note(rest) => (NOTE, *rest),
        };
        [&[kind], rest].concat()
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`Outcome::Malformed`].
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, Outcome> {
        match bytes {
            [OF_LEVEL_1, rest @ ..] => Ok(Self::OfLevel1(rest)),
            [NOTE, rest @ ..] if (1..=MAX_NOTE_BYTES).contains(&rest.len()) => Ok(Self::Note(rest)),
            _ => Err(Outcome::Malformed),
        }
    }
}

/// A command that notes these bytes.
pub fn note(request_id: RequestId, seen_index: u64, note: &[u8]) -> EncodedCommand {
    EncodedCommand::new(LEVEL, request_id, seen_index, &Body::Note(note).encode())
}

/// The outcome of a note.
pub(super) fn noted(note: &[u8]) -> RecordedOutcome {
    RecordedOutcome::new(Outcome::Noted as u16, Bytes::copy_from_slice(note))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_round_trip_and_each_has_one_form() {
        for body in [Body::OfLevel1(b""), Body::OfLevel1(b"body"), Body::Note(b"n"), Body::Note(&[7; 16])] {
            assert_eq!(Body::decode(&body.encode()), Ok(body));
        }
        for malformed in [&b""[..], &[NOTE], &[NOTE; 18], &[2, 0]] {
            assert_eq!(Body::decode(malformed), Err(Outcome::Malformed), "{malformed:?}");
        }
    }
}
