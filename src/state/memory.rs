//! The memory of done commands: the outcome of each of the last ones, by request id (design, "Once").

use std::collections::{HashMap, VecDeque};

use super::{RecordedOutcome, RequestId};

/// One remembered command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Its request id.
    pub request_id: RequestId,
    /// The index of its log entry.
    pub index: u64,
    /// Its outcome.
    pub outcome: RecordedOutcome,
}

/// The last commands, oldest first, numbered without gaps since the cluster began.
#[derive(Debug, Default)]
pub struct Memory {
    recent: VecDeque<Remembered>,
    /// The number of each command.
    numbers: HashMap<RequestId, u64>,
    first: u64,
    forgotten_index: u64,
}

impl Memory {
    /// How many commands the memory holds: those of 29 seconds at 9,000 a second.
    pub const CAPACITY: usize = 262_144;

    /// The outcome of a command that was applied before, if the memory still holds it.
    pub fn outcome_of(&self, request_id: RequestId) -> Option<&RecordedOutcome> {
        let at = usize::try_from(self.numbers.get(&request_id)?.checked_sub(self.first)?).ok()?;
        self.recent.get(at).map(|command| &command.outcome)
    }

    /// Whether a command may have been applied and forgotten since its node had seen `seen_index`.
    pub fn may_have_forgotten(&self, seen_index: u64) -> bool {
        seen_index < self.forgotten_index
    }

    /// Remembers a command, and returns the one that it forgets to make room.
    pub fn remember(&mut self, command: Remembered) -> Option<Remembered> {
        let forgotten = if self.recent.len() < Self::CAPACITY { None } else { self.recent.pop_front() };
        if let Some(forgotten) = &forgotten {
            self.numbers.remove(&forgotten.request_id);
            self.first += 1;
            self.forgotten_index = forgotten.index;
        }
        self.numbers.insert(command.request_id, self.next());
        self.recent.push_back(command);
        forgotten
    }

    /// Puts back what storage kept: commands from number `first` on, and the index of the last one forgotten.
    pub fn restore(first: u64, forgotten_index: u64, mut recent: VecDeque<Remembered>) -> Self {
        // It may have grown to twice what the memory ever holds: 20 MB more.
        recent.shrink_to_fit();
        let numbers = (first..).zip(&recent).map(|(number, command)| (command.request_id, number)).collect();
        Self { recent, numbers, first, forgotten_index }
    }

    /// The number of the oldest remembered command.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The number the next command will get.
    pub fn next(&self) -> u64 {
        self.first + self.recent.len() as u64
    }

    /// The log index of the last forgotten command; 0 before the first.
    pub fn forgotten_index(&self) -> u64 {
        self.forgotten_index
    }

    /// The remembered commands with these numbers, oldest first.
    pub fn numbered(&self, numbers: std::ops::Range<u64>) -> impl Iterator<Item = &Remembered> {
        let start = usize::try_from(numbers.start.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let end = usize::try_from(numbers.end.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.recent.range(start.min(self.recent.len())..end.clamp(start.min(self.recent.len()), self.recent.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Outcome;

    fn command(number: u64) -> Remembered {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        Remembered { request_id: RequestId(id), index: number + 10, outcome: Outcome::Done.into() }
    }

    #[test]
    fn the_oldest_is_forgotten_and_says_so() {
        let mut memory = Memory::default();
        let capacity = Memory::CAPACITY as u64;
        assert!((0..capacity).all(|number| memory.remember(command(number)).is_none()));
        assert!(!memory.may_have_forgotten(0));
        assert_eq!(memory.remember(command(capacity)), Some(command(0)));
        assert_eq!(memory.outcome_of(command(0).request_id), None);
        assert_eq!(memory.outcome_of(command(1).request_id), Some(&Outcome::Done.into()));
        assert!(memory.may_have_forgotten(9) && !memory.may_have_forgotten(10));
        assert_eq!((memory.first(), memory.next()), (1, capacity + 1));
        assert_eq!(memory.numbered(0..3).cloned().collect::<Vec<_>>(), [command(1), command(2)]);
    }
}
