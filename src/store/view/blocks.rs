//! Byte strings in order, packed into blocks of some kilobytes, so that they take little more memory than their bytes.
//!
//! In a set, each would take 40 to 60 bytes more: a pointer in a node of a tree, of which a third is free, and what the
//! allocator rounds up.

use std::collections::BTreeMap;
use std::ops::Bound;

/// The most bytes in a block, unless one of its entries is very long. A change moves half as many.
const MAX_BLOCK_BYTES: usize = 7 * 1024;
/// A block with fewer bytes joins the one before it, if that has room.
const MIN_BLOCK_BYTES: usize = MAX_BLOCK_BYTES / 4;

/// Entries in the order of their bytes. Each begins with its key, and no key is the beginning of another key.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// Each block by its separator, which is not above its first entry, and above all entries before it. The separator of the
    /// first block is empty. Only the first block may lack entries.
    blocks: BTreeMap<Box<[u8]>, Block>,
}

/// Neighbours, one behind the other.
#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    /// Where each entry ends.
    ends: Vec<u32>,
}

impl Blocks {
    /// The entry with this key.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let (_, block) = self.blocks.range::<[u8], _>(up_to(key)).next_back()?;
        block.find(key).map(|at| block.entry(at))
    }

    /// The last entry below this bound.
    pub fn last_before(&self, bound: &[u8]) -> Option<&[u8]> {
        let mut blocks = self.blocks.range::<[u8], _>(up_to(bound)).rev();
        blocks.find_map(|(_, block)| block.place(bound).checked_sub(1).map(|at| block.entry(at)))
    }

    /// The entries from this bound on.
    pub fn entries_from<'a>(&'a self, bound: &[u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let first = self.blocks.range::<[u8], _>(up_to(bound)).next_back();
        let first = first.map(|(_, block)| block.entries_from(block.place(bound)));
        let later = self.blocks.range::<[u8], _>((Bound::Excluded(bound), Bound::Unbounded));
        first.into_iter().flatten().chain(later.flat_map(|(_, block)| block.entries_from(0)))
    }

    /// The last entry.
    pub fn last(&self) -> Option<&[u8]> {
        self.blocks.last_key_value().and_then(|(_, block)| block.last())
    }

    /// Puts an entry above all others. Blocks that are filled in this way are full.
    pub fn push(&mut self, entry: &[u8]) {
        let separator = match self.blocks.last_entry() {
            Some(mut last) if last.get().has_room_for(entry) => {
                let at = last.get().ends.len();
                return last.get_mut().insert(at, entry);
            }
            Some(last) => separator(last.get().last(), entry),
            None => Box::default(),
        };
        let mut block = Block { bytes: Vec::with_capacity(MAX_BLOCK_BYTES), ends: Vec::new() };
        block.insert(0, entry);
        self.blocks.insert(separator, block);
    }

    /// Puts an entry, which begins with this key. Returns the one that it replaces.
    pub fn put(&mut self, key: &[u8], entry: &[u8]) -> Option<Box<[u8]>> {
        let Some((_, block)) = self.blocks.range_mut::<[u8], _>(up_to(key)).next_back() else {
            self.blocks.insert(Box::default(), Block::of(entry));
            return None;
        };
        let replaced = block.find(key).map(|at| block.remove(at));
        let at = block.place(key);
        if block.has_room_for(entry) {
            block.insert(at, entry);
        } else if let Some(upper) = block.split_around(at, entry) {
            let separator = separator(block.last(), upper.entry(0));
            self.blocks.insert(separator, upper);
        }
        replaced
    }

    /// Removes the entry with this key, and returns it.
    pub fn remove(&mut self, key: &[u8]) -> Option<Box<[u8]>> {
        let mut blocks = self.blocks.range_mut::<[u8], _>(up_to(key));
        let (separator, block) = blocks.next_back()?;
        let removed = block.find(key).map(|at| block.remove(at))?;
        if block.bytes.len() < MIN_BLOCK_BYTES
            && let Some((_, before)) = blocks.next_back()
            && (block.bytes.is_empty() || before.has_room_for(&block.bytes))
        {
            before.append(block);
            let separator = separator.clone();
            self.blocks.remove(&separator);
        }
        Some(removed)
    }
}

impl Block {
    fn of(entry: &[u8]) -> Self {
        let mut block = Self::default();
        block.insert(0, entry);
        block
    }

    fn entry(&self, at: usize) -> &[u8] {
        &self.bytes[self.start(at)..self.end(at)]
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).map_or(0, |before| self.end(before))
    }

    fn end(&self, at: usize) -> usize {
        self.ends[at] as usize
    }

    fn last(&self) -> Option<&[u8]> {
        self.ends.len().checked_sub(1).map(|at| self.entry(at))
    }

    fn entries_from(&self, at: usize) -> impl Iterator<Item = &[u8]> {
        (at..self.ends.len()).map(|at| self.entry(at))
    }

    /// How many entries are below this bound.
    fn place(&self, bound: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.entry(middle) < bound {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The place of the entry with this key.
    fn find(&self, key: &[u8]) -> Option<usize> {
        let at = self.place(key);
        (at < self.ends.len() && self.entry(at).starts_with(key)).then_some(at)
    }

    fn has_room_for(&self, bytes: &[u8]) -> bool {
        self.bytes.is_empty() || self.bytes.len() + bytes.len() <= MAX_BLOCK_BYTES
    }

    /// The vectors grow by no more than they need.
    fn insert(&mut self, at: usize, entry: &[u8]) {
        let start = self.start(at);
        self.bytes.reserve_exact(entry.len());
        self.bytes.splice(start..start, entry.iter().copied());
        self.ends.reserve_exact(1);
        self.ends.insert(at, offset(start));
        self.ends[at..].iter_mut().for_each(|end| *end += offset(entry.len()));
    }

    fn remove(&mut self, at: usize) -> Box<[u8]> {
        let (start, end) = (self.start(at), self.end(at));
        let removed: Box<[u8]> = self.bytes.drain(start..end).collect();
        self.ends.remove(at);
        self.ends[at..].iter_mut().for_each(|end| *end -= offset(removed.len()));
        if self.bytes.len() < self.bytes.capacity() / 2 {
            self.bytes.shrink_to_fit();
        }
        removed
    }

    /// Adds the entries of another block, which are above those of this one.
    fn append(&mut self, other: &Self) {
        let start = offset(self.bytes.len());
        self.bytes.reserve_exact(other.bytes.len());
        self.bytes.extend(&other.bytes);
        self.ends.reserve_exact(other.ends.len());
        self.ends.extend(other.ends.iter().map(|end| start + end));
    }

    /// Inserts an entry for which the block has no room, and returns the upper part of the entries.
    fn split_around(&mut self, at: usize, entry: &[u8]) -> Option<Self> {
        // Entries that come in order leave full blocks behind.
        if at == self.ends.len() {
            return Some(Self::of(entry));
        }
        let middle = self.ends.len() / 2;
        let cut = self.start(middle);
        let ends = self.ends[middle..].iter().map(|end| end - offset(cut)).collect();
        let mut upper = Self { bytes: self.bytes[cut..].to_vec(), ends };
        // An allocator may not make an allocation smaller in place.
        *self = Self { bytes: self.bytes[..cut].to_vec(), ends: self.ends[..middle].to_vec() };
        if at <= middle {
            self.insert(at, entry);
        } else {
            upper.insert(at - middle, entry);
        }
        Some(upper)
    }
}

fn up_to(key: &[u8]) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Unbounded, Bound::Included(key))
}

/// The shortest bytes that separate two entries: not above the second one, and above the first one.
fn separator(below: Option<&[u8]>, entry: &[u8]) -> Box<[u8]> {
    let common = below.unwrap_or_default().iter().zip(entry).take_while(|(one, other)| one == other).count();
    entry[..entry.len().min(common + 1)].into()
}

fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("an entry of the keystore has at most 64 KiB")
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// One of some thousand keys, none of which is the beginning of another.
    fn key(random: &mut StdRng) -> Vec<u8> {
        let number = random.random_range(0..4000u32);
        let name = ["a", "bucket-a", "bucket-b", "c"][(number % 4) as usize];
        [name.as_bytes(), &[0], &number.to_be_bytes()].concat()
    }

    fn entry(random: &mut StdRng, key: &[u8]) -> Vec<u8> {
        let length = if random.random_ratio(1, 300) { 2 * MAX_BLOCK_BYTES } else { random.random_range(0..400) };
        let rest = (0..length).map(|_| random.random());
        key.iter().copied().chain(rest).collect()
    }

    /// Whether separators and sizes are what the fields say.
    fn is_sound(blocks: &Blocks) -> bool {
        let mut before: Option<&Block> = None;
        blocks.blocks.iter().all(|(separator, block)| {
            let follows = before.is_none_or(|before| before.last() < Some(separator) && !block.ends.is_empty());
            let is_first = before.replace(block).is_none();
            let ends = block.ends.last().map_or(0, |end| *end as usize);
            let fits = block.bytes.len() <= MAX_BLOCK_BYTES || block.entries_from(0).any(|entry| entry.len() > 1024);
            follows && is_first == separator.is_empty() && ends == block.bytes.len() && fits
        })
    }

    #[test]
    fn whatever_is_put_and_removed_is_found_in_order() {
        for seed in 0..8 {
            let mut random = StdRng::seed_from_u64(seed);
            let (mut blocks, mut model) = (Blocks::default(), BTreeMap::<Vec<u8>, Vec<u8>>::new());
            for step in 0..12_000 {
                let key = key(&mut random);
                // It grows, and then shrinks until nothing is left.
                if random.random_ratio(if step < 6_000 { 4 } else { 0 }, 5) {
                    let entry = entry(&mut random, &key);
                    let replaced = blocks.put(&key, &entry);
                    assert_eq!(replaced.as_deref(), model.insert(key, entry).as_deref(), "seed {seed}");
                } else {
                    let key = model.range(key.clone()..).next().map_or(key, |(key, _)| key.clone());
                    assert_eq!(blocks.remove(&key).as_deref(), model.remove(&key).as_deref(), "seed {seed}");
                }
                let bound = self::key(&mut random);
                let bound = &bound[..random.random_range(0..=bound.len())];
                let last = model.range(..bound.to_vec()).next_back().map(|(_, entry)| &entry[..]);
                let from: Vec<_> = model.range(bound.to_vec()..).take(5).map(|(_, entry)| &entry[..]).collect();
                assert_eq!(blocks.last_before(bound), last, "seed {seed}");
                assert_eq!(blocks.entries_from(bound).take(5).collect::<Vec<_>>(), from, "seed {seed}");
                assert_eq!(blocks.last(), model.last_key_value().map(|(_, entry)| &entry[..]));
            }
            assert!(is_sound(&blocks), "seed {seed}");
        }
    }
}
