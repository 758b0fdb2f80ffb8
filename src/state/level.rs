//! The feature levels that this version can read.
//!
//! A feature level says what may stand in the log, in snapshots and in files, and how commands are applied. A node makes
//! commands and writes files at the level that is active in its cluster, and a command raises that level once every
//! member can read the next one (design, "Levels").

use std::fmt;

/// The lowest feature level that this version can read.
pub const LOWEST_LEVEL: u32 = 1;

/// The highest feature level that this version can read.
pub const HIGHEST_LEVEL: u32 = if cfg!(feature = "level-2") { 2 } else { 1 };

/// The feature levels that a version of Keyraft can read: these two, and all between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadableLevels {
    /// The lowest level.
    pub lowest: u32,
    /// The highest level.
    pub highest: u32,
}

/// A level that this version can read. Code that differs between levels matches on this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    One,
    #[cfg(feature = "level-2")]
    Two,
}

impl ReadableLevels {
    /// The levels that this version can read.
    pub const OWN: Self = Self { lowest: LOWEST_LEVEL, highest: HIGHEST_LEVEL };

    /// Whether the version can read this level.
    pub fn contain(self, level: u32) -> bool {
        (self.lowest..=self.highest).contains(&level)
    }
}

impl fmt::Display for ReadableLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lowest == self.highest {
            write!(f, "level {}", self.lowest)
        } else {
            write!(f, "levels {} to {}", self.lowest, self.highest)
        }
    }
}

impl Level {
    /// The level with this number. `None` if this version cannot read it.
    pub(super) fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::One),
            #[cfg(feature = "level-2")]
            2 => Some(Self::Two),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readable_levels_are_those_from_the_lowest_to_the_highest() {
        let readable: Vec<u32> = (0..99).filter(|number| Level::of(*number).is_some()).collect();
        assert_eq!(readable, (LOWEST_LEVEL..=HIGHEST_LEVEL).collect::<Vec<_>>());
    }
}
