//! The level at which a part of the data folder is written, and whether this version of Keyraft can read it.

use bytes::BufMut;
use thiserror::Error;

use crate::state::ReadableLevels;

/// The level at which a node wrote something, and the lowest level that a reader of it must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenLevel {
    /// The level at which it is written.
    pub level: u32,
    /// The lowest level that a reader must know.
    pub lowest_reader: u32,
}

/// Something that this version of Keyraft cannot read, although it is whole. Nothing may set it aside or replace it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnreadableLevel {
    /// A newer version wrote it.
    #[error(
        "{what} needs a version of Keyraft that reads level {needed}; this one reads {}: run a newer version",
        ReadableLevels::OWN
    )]
    Newer {
        /// What cannot be read, with its article.
        what: &'static str,
        /// The level that its reader must know.
        needed: u32,
    },
    /// A version wrote it that is too old for this one.
    #[error("{what} is written at level {level}; this one reads {}: run an older version", ReadableLevels::OWN)]
    Older {
        /// What cannot be read, with its article.
        what: &'static str,
        /// The level at which it is written.
        level: u32,
    },
    /// A newer version wrote it in another format.
    #[error("{what} has format {format}; this version of Keyraft reads format {known}: run a newer version")]
    Format {
        /// What cannot be read, with its article.
        what: &'static str,
        /// The format that it has.
        format: u32,
        /// The format that this version reads.
        known: u32,
    },
}

impl WrittenLevel {
    /// Bytes of the encoded form.
    pub(super) const BYTES: usize = 8;

    /// The level of everything that a node writes while `level` is active. Every reader must know that level.
    pub fn active(level: u32) -> Self {
        Self { level, lowest_reader: level }
    }

    /// Both numbers, big-endian.
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        out.put_u32(self.level);
        out.put_u32(self.lowest_reader);
    }

    /// Reads what [`WrittenLevel::encode`] writes. `None` if a number is missing: no node writes 0, or at a level that
    /// its readers need not know.
    pub(super) fn decode(bytes: [u8; Self::BYTES]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h] = bytes;
        let (level, lowest_reader) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        (1..=level).contains(&lowest_reader).then_some(Self { level, lowest_reader })
    }

    /// Fails if this version cannot read `what`, which is written at this level.
    pub(super) fn check(self, what: &'static str) -> Result<(), UnreadableLevel> {
        self.check_for(what, ReadableLevels::OWN)
    }

    fn check_for(self, what: &'static str, readable: ReadableLevels) -> Result<(), UnreadableLevel> {
        if self.lowest_reader > readable.highest {
            return Err(UnreadableLevel::Newer { what, needed: self.lowest_reader });
        }
        if self.level < readable.lowest {
            return Err(UnreadableLevel::Older { what, level: self.level });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::HIGHEST_LEVEL;

    #[test]
    fn levels_round_trip_and_a_missing_one_is_noticed() {
        let encoded = |level, lowest_reader| {
            let mut bytes = Vec::new();
            WrittenLevel { level, lowest_reader }.encode(&mut bytes);
            WrittenLevel::decode(bytes.try_into().unwrap())
        };
        for (level, lowest_reader) in [(1, 1), (7, 3), (u32::MAX, u32::MAX)] {
            assert_eq!(encoded(level, lowest_reader), Some(WrittenLevel { level, lowest_reader }));
        }
        for (level, lowest_reader) in [(0, 0), (1, 0), (0, 1), (3, 4)] {
            assert_eq!(encoded(level, lowest_reader), None, "{level} {lowest_reader}");
        }
    }

    #[test]
    fn a_version_reads_the_levels_that_it_knows() {
        let checked = |level, lowest_reader| {
            WrittenLevel { level, lowest_reader }.check_for("it", ReadableLevels { lowest: 3, highest: 5 })
        };
        for (level, lowest_reader) in [(3, 3), (5, 5), (9, 5), (9, 1)] {
            assert_eq!(checked(level, lowest_reader), Ok(()));
        }
        assert_eq!(checked(6, 6), Err(UnreadableLevel::Newer { what: "it", needed: 6 }));
        assert_eq!(checked(2, 2), Err(UnreadableLevel::Older { what: "it", level: 2 }));
    }

    #[test]
    fn the_error_names_both_levels_and_what_to_do() {
        let shown = WrittenLevel::active(HIGHEST_LEVEL + 1).check("this snapshot").unwrap_err().to_string();
        let begin = format!("this snapshot needs a version of Keyraft that reads level {}; ", HIGHEST_LEVEL + 1);
        assert!(
            shown.starts_with(&begin) && shown.contains(&format!("this one reads {}", ReadableLevels::OWN)),
            "{shown}"
        );
        assert!(shown.ends_with("run a newer version"), "{shown}");
    }
}
