//! The memory of done commands: the outcome of each of the last ones, by request id (design, "Once").

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher;

use bytes::Bytes;
use hashbrown::HashTable;

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
///
/// A full memory takes 10 MB: there are many commands, so each is stored without padding, and found without a copy of its
/// request id.
#[derive(Debug, Default)]
pub struct Memory {
    recent: VecDeque<Packed>,
    /// The details of outcomes, by the number of the command. Few outcomes have one.
    details: BTreeMap<u64, Bytes>,
    /// The lowest 32 bits of the number of each command, by the hash of its request id.
    numbers: HashTable<u32>,
    hasher: RandomState,
    first: u64,
    forgotten_index: u64,
}

/// A remembered command without the detail of its outcome.
#[derive(Debug, Clone, Copy)]
struct Packed {
    request_id: RequestId,
    index: [u8; 8],
    outcome: [u8; 2],
}

impl Memory {
    /// How many commands the memory holds: those of 29 seconds at 9,000 a second.
    pub const CAPACITY: usize = 262_144;

    /// The outcome of a command that was applied before, if the memory still holds it.
    pub fn outcome_of(&self, request_id: RequestId) -> Option<RecordedOutcome> {
        let (recent, first) = (&self.recent, self.first);
        let is_it = |low: &u32| recent[place(*low, first)].request_id == request_id;
        let low = self.numbers.find(self.hasher.hash_one(request_id), is_it)?;
        Some(self.command(place(*low, first)).outcome)
    }

    /// Whether a command may have been applied and forgotten since its node had seen `seen_index`.
    pub fn may_have_forgotten(&self, seen_index: u64) -> bool {
        seen_index < self.forgotten_index
    }

    /// Remembers a command that it does not hold, and returns the one that it forgets to make room.
    pub fn remember(&mut self, command: Remembered) -> Option<Remembered> {
        let forgotten = if self.recent.len() < Self::CAPACITY { None } else { self.forget() };
        self.add(command);
        forgotten
    }

    /// Puts back what storage kept: commands from number `first` on, and the index of the last one forgotten.
    pub fn restore(first: u64, forgotten_index: u64, recent: impl IntoIterator<Item = Remembered>) -> Self {
        let mut memory = Self { first, forgotten_index, ..Self::default() };
        recent.into_iter().for_each(|command| memory.add(command));
        memory
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
    pub fn numbered(&self, numbers: std::ops::Range<u64>) -> impl Iterator<Item = Remembered> {
        let at = |number: u64| usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let end = at(numbers.end).min(self.recent.len());
        (at(numbers.start)..end).map(|at| self.command(at))
    }

    fn add(&mut self, command: Remembered) {
        let Self { recent, numbers, hasher, first, .. } = self;
        let number = *first + recent.len() as u64;
        if !command.outcome.detail().is_empty() {
            self.details.insert(number, command.outcome.detail().clone());
        }
        recent.push_back(Packed {
            request_id: command.request_id,
            index: command.index.to_be_bytes(),
            outcome: command.outcome.number().to_be_bytes(),
        });
        let hash_of = |low: &u32| hasher.hash_one(recent[place(*low, *first)].request_id);
        numbers.insert_unique(hasher.hash_one(command.request_id), low(number), hash_of);
    }

    fn forget(&mut self) -> Option<Remembered> {
        let forgotten = (!self.recent.is_empty()).then(|| self.command(0))?;
        let hash = self.hasher.hash_one(forgotten.request_id);
        if let Ok(number) = self.numbers.find_entry(hash, |number| *number == low(self.first)) {
            number.remove();
        }
        self.details.remove(&self.first);
        self.recent.pop_front();
        self.first += 1;
        self.forgotten_index = forgotten.index;
        Some(forgotten)
    }

    fn command(&self, at: usize) -> Remembered {
        let Packed { request_id, index, outcome } = self.recent[at];
        let detail = self.details.get(&(self.first + at as u64)).cloned().unwrap_or_default();
        let outcome = RecordedOutcome::new(u16::from_be_bytes(outcome), detail);
        Remembered { request_id, index: u64::from_be_bytes(index), outcome }
    }
}

/// The lowest 32 bits of a number.
fn low(number: u64) -> u32 {
    let [.., a, b, c, d] = number.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// Where the command stands whose number has these lowest bits, if the oldest has the number `first`.
fn place(number: u32, first: u64) -> usize {
    number.wrapping_sub(low(first)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Outcome;

    fn command(number: u64) -> Remembered {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let outcome = match number % 1000 {
            0 => RecordedOutcome::new(999, Bytes::from(number.to_string())),
            _ => Outcome::Done.into(),
        };
        Remembered { request_id: RequestId(id), index: number + 10, outcome }
    }

    #[test]
    fn the_oldest_is_forgotten_and_says_so() {
        let mut memory = Memory::default();
        let capacity = Memory::CAPACITY as u64;
        assert!((0..capacity).all(|number| memory.remember(command(number)).is_none()));
        assert!(!memory.may_have_forgotten(0));
        assert_eq!(memory.remember(command(capacity)), Some(command(0)));
        assert_eq!(memory.outcome_of(command(0).request_id), None);
        assert_eq!(memory.outcome_of(command(1).request_id), Some(Outcome::Done.into()));
        assert!(memory.may_have_forgotten(9) && !memory.may_have_forgotten(10));
        assert_eq!((memory.first(), memory.next()), (1, capacity + 1));
        assert_eq!(memory.numbered(0..3).collect::<Vec<_>>(), [command(1), command(2)]);
        assert_eq!(memory.details.len(), Memory::CAPACITY / 1000);
    }

    #[test]
    fn a_restored_memory_goes_on_where_it_was_also_past_32_bits() {
        let first = u64::from(u32::MAX) - 500;
        let mut memory = Memory::restore(first, first + 9, (first..first + 700).map(command));
        (first + 700..first + 300_000).for_each(|number| drop(memory.remember(command(number))));
        let oldest = first + 300_000 - Memory::CAPACITY as u64;
        assert_eq!((memory.first(), memory.forgotten_index()), (oldest, oldest + 9));
        for number in [first, oldest - 1, oldest, oldest + 1, first + 500, first + 501, first + 299_999] {
            let known = (number >= oldest).then(|| command(number).outcome);
            assert_eq!(memory.outcome_of(command(number).request_id), known, "{number}");
        }
        let all: Vec<_> = memory.numbered(0..u64::MAX).collect();
        assert_eq!(all, (oldest..first + 300_000).map(command).collect::<Vec<_>>());
    }
}
