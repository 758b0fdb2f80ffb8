//! Whether a node has room on the disk of its data folder, and the reserve for when it has none.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::reserve::{Reserve, is_lack_of_room};
use super::space::disk_space;
use crate::config::{StorageConfig, StorageLimits};

/// The name of the reserve in the data folder.
const RESERVE_FILE: &str = "reserve";
/// After a part of the reserve was given back in vain, the node keeps the rest for so long.
const AFTER_VAIN: Duration = Duration::from_secs(10);
/// No program fills this much of a disk within a second.
const PLENTY: u64 = 8 << 30;
/// A start needs about this much for its small files.
const START_BYTES: u64 = 128 << 10;

/// The room of a node. It lacks room while the disk has less than `storage.low`.
pub struct DiskRoom {
    folder: PathBuf,
    config: StorageConfig,
    reserve: Reserve,
    seen: Mutex<Seen>,
    lacks: AtomicBool,
}

/// What the last look saw, and what has changed since the node began to lack room.
#[derive(Debug, Clone, Copy)]
struct Seen {
    free: u64,
    limits: StorageLimits,
    /// When a part of the reserve was last given back in vain.
    given_in_vain: Option<Instant>,
    /// Whether the file system can keep room.
    keeps: bool,
}

/// The room of a node at one moment, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoomFigures {
    /// What the disk has left.
    pub free: u64,
    /// With less than this, the node lacks room.
    pub low: u64,
    /// What the reserve keeps.
    pub reserve: u64,
    /// Whether the node lacks room.
    pub lacks: bool,
}

/// What a look at the disk leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Everything stays as it is.
    Stay,
    /// The node lacks room from now on.
    Lacks,
    /// The reserve is filled.
    Fill,
    /// The reserve is filled, and the node has room again.
    HasRoom,
}

impl DiskRoom {
    /// Looks at the disk of this data folder for the first time. On a full disk, this gives back a part of the reserve,
    /// so that the node can start.
    ///
    /// # Errors
    /// The file system refused.
    pub fn open(folder: &Path, config: StorageConfig) -> io::Result<Self> {
        let reserve = Reserve::at(folder.join(RESERVE_FILE));
        let space = disk_space(folder)?;
        if space.free < START_BYTES {
            reserve.give_back(START_BYTES)?;
        }
        let limits = config.on_disk_of(space.size);
        let seen = Mutex::new(Seen { free: space.free, limits, given_in_vain: None, keeps: true });
        let room = Self { folder: folder.to_owned(), config, reserve, seen, lacks: AtomicBool::new(false) };
        room.look()?;
        Ok(room)
    }

    /// Looks at the disk, fills the reserve, and decides whether the node lacks room.
    ///
    /// # Errors
    /// The file system refused.
    pub fn look(&self) -> io::Result<()> {
        let space = disk_space(&self.folder)?;
        let limits = self.config.on_disk_of(space.size);
        let keeps = {
            let mut seen = self.seen.lock();
            (seen.free, seen.limits) = (space.free, limits);
            seen.keeps
        };
        let missing = if keeps { limits.reserve.saturating_sub(self.reserve.held()) } else { 0 };
        match step(self.lacks_room(), space.free, missing, limits) {
            Step::Stay => {}
            Step::Lacks => self.begin_to_lack(),
            Step::Fill => {
                self.fill(limits.reserve)?;
            }
            Step::HasRoom => {
                if missing == 0 || self.fill(limits.reserve)? {
                    self.has_room_again();
                }
            }
        }
        Ok(())
    }

    /// Whether the node lacks room.
    pub fn lacks_room(&self) -> bool {
        self.lacks.load(Ordering::Relaxed)
    }

    /// Whether the last look saw so much room that the next one can wait for a second.
    pub fn has_plenty(&self) -> bool {
        let seen = self.seen.lock();
        !self.lacks_room() && seen.free >= PLENTY.saturating_add(seen.limits.low)
    }

    /// Whether this node may still write entries that need room. A leader proposes some before it hears that a node lacks room,
    /// and what comes after those could not be written without them. They leave most of the reserve for what needs no room.
    pub fn takes(&self) -> bool {
        if !self.lacks_room() {
            return true;
        }
        let limits = self.seen.lock().limits;
        let free = disk_space(&self.folder).map_or(0, |space| space.free);
        let (held, keeps) = (self.reserve.held(), self.seen.lock().keeps);
        free > limits.low / 8 && (held > 0 || !keeps) || has_most(held, limits.reserve)
    }

    /// How far ahead of the end of the log to keep room, in bytes.
    pub fn ahead(&self) -> u64 {
        const MOST: u64 = 8 << 20;
        (self.seen.lock().limits.reserve / 2).min(MOST)
    }

    /// Does something that needs this much room. If the disk has none, this gives back a part of the reserve, and tries again.
    ///
    /// # Errors
    /// As `work` failed last.
    pub fn with_reserve(&self, bytes: u64, mut work: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        let failed = match work() {
            Err(error) if is_lack_of_room(&error) => error,
            done => return done,
        };
        let in_vain = self.seen.lock().given_in_vain.is_some_and(|at| at.elapsed() < AFTER_VAIN);
        if in_vain || !self.reserve.give_back(bytes)? {
            return Err(failed);
        }
        let done = work();
        // Another program may have been quicker, or the file system keeps what it got back for root.
        self.seen.lock().given_in_vain = done.is_err().then(Instant::now);
        done
    }

    /// Has at least this much room on the disk, from the reserve if need be.
    ///
    /// # Errors
    /// The disk does not have it, or the file system refused.
    pub fn free_up(&self, bytes: u64) -> io::Result<()> {
        self.with_reserve(bytes, || {
            let free = disk_space(&self.folder)?.free;
            if free >= bytes { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
        })
    }

    /// The room as it is now.
    pub fn figures(&self) -> RoomFigures {
        let seen = *self.seen.lock();
        RoomFigures { free: seen.free, low: seen.limits.low, reserve: self.reserve.held(), lacks: self.lacks_room() }
    }

    fn begin_to_lack(&self) {
        let RoomFigures { free, low, reserve, .. } = self.figures();
        tracing::error!(
            free,
            low,
            reserve,
            "the disk of cluster.data lacks room: the node goes on serving keys, but makes no change that needs room. Give the \
             disk more room than storage.low"
        );
        self.lacks.store(true, Ordering::Relaxed);
    }

    fn has_room_again(&self) {
        let RoomFigures { free, low, .. } = self.figures();
        tracing::info!(free, low, "the disk of cluster.data has room again");
        self.lacks.store(false, Ordering::Relaxed);
    }

    /// Fills the reserve, and returns whether the node may count on it. A file system that keeps no room for files has none.
    fn fill(&self, bytes: u64) -> io::Result<bool> {
        match self.reserve.resize(bytes) {
            Ok(()) => Ok(true),
            // Somebody else has just taken it.
            Err(error) if is_lack_of_room(&error) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                tracing::warn!(
                    "the file system of cluster.data cannot keep room for a file: the node goes without a reserve"
                );
                self.seen.lock().keeps = false;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether a reserve has at least three quarters of what it should.
fn has_most(held: u64, wanted: u64) -> bool {
    held > 0 && held >= wanted - wanted / 4
}

/// What to do about a disk with this much room, while the reserve misses some.
fn step(lacks: bool, free: u64, missing: u64, limits: StorageLimits) -> Step {
    let after_filling = free.saturating_sub(missing);
    match lacks {
        // A node whose room is about the limit must not change its mind at each look.
        true if free >= missing && after_filling >= limits.low.saturating_add(limits.low / 8) => Step::HasRoom,
        false if free < limits.low => Step::Lacks,
        false if missing > 0 && after_filling >= limits.low => Step::Fill,
        true | false => Step::Stay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: StorageLimits = StorageLimits { low: 80, reserve: 20 };

    #[test]
    fn a_node_lacks_room_below_the_limit_and_has_it_again_a_little_above_with_a_full_reserve() {
        assert_eq!(step(false, 80, 0, LIMITS), Step::Stay);
        assert_eq!(step(false, 79, 0, LIMITS), Step::Lacks);
        assert_eq!(step(true, 89, 0, LIMITS), Step::Stay, "it would lack room again at once");
        assert_eq!(step(true, 90, 0, LIMITS), Step::HasRoom);
        assert_eq!(step(true, 109, 20, LIMITS), Step::Stay, "the reserve comes first");
        assert_eq!(step(true, 110, 20, LIMITS), Step::HasRoom);
    }

    #[test]
    fn the_reserve_is_filled_when_the_node_has_room_for_it() {
        assert_eq!(step(false, 99, 20, LIMITS), Step::Stay, "the node would lack room");
        assert_eq!(step(false, 100, 20, LIMITS), Step::Fill);
        assert_eq!(step(false, u64::MAX, 20, LIMITS), Step::Fill);
        assert_eq!(step(true, 5, 20, StorageLimits { low: 0, reserve: 0 }), Step::Stay);
    }

    /// The room of a folder, with these limits on a disk that has more.
    fn room(folder: &Path, low: u64) -> DiskRoom {
        DiskRoom::open(folder, StorageConfig { low: Some(low), ..StorageConfig::default() }).unwrap()
    }

    #[test]
    fn a_node_looks_seldom_only_while_it_has_much_more_room_than_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let room = room(dir.path(), 4 << 20);
        room.seen.lock().free = PLENTY + (4 << 20);
        assert!(room.has_plenty());
        room.seen.lock().free -= 1;
        assert!(!room.has_plenty());
        room.seen.lock().free = u64::MAX;
        room.lacks.store(true, Ordering::Relaxed);
        assert!(!room.has_plenty());
    }

    #[test]
    fn a_node_with_room_has_a_full_reserve() {
        let dir = tempfile::tempdir().unwrap();
        let room = room(dir.path(), 4 << 20);
        assert!(!room.lacks_room() && room.takes());
        assert_eq!(room.figures().reserve, 1 << 20);
    }

    #[test]
    fn a_node_without_room_takes_stragglers_while_it_has_most_of_its_reserve() {
        let dir = tempfile::tempdir().unwrap();
        let without = room(dir.path(), 1 << 50);
        assert!(without.lacks_room() && !without.takes(), "it never had room for a reserve");
        assert!(has_most(75, 100) && !has_most(74, 100) && !has_most(0, 0));
    }

    #[test]
    fn what_needs_room_gets_a_part_of_the_reserve() {
        let dir = tempfile::tempdir().unwrap();
        let room = room(dir.path(), 4 << 20);
        let mut calls = 0;
        let once = room.with_reserve(256 << 10, || {
            calls += 1;
            if calls == 1 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        });
        assert_eq!((once.is_ok(), calls, room.figures().reserve), (true, 2, 768 << 10));
        for _ in 0..3 {
            let failed = room.with_reserve(256 << 10, || Err(io::ErrorKind::StorageFull.into()));
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
        }
        assert_eq!(room.figures().reserve, 512 << 10, "it does not give back the rest in vain");
        room.look().unwrap();
        assert_eq!(room.figures().reserve, 1 << 20, "the next look fills it");
        room.free_up(1).unwrap();
        let broken = room.with_reserve(1, || Err(io::ErrorKind::NotFound.into()));
        assert_eq!((broken.unwrap_err().kind(), room.figures().reserve), (io::ErrorKind::NotFound, 1 << 20));
    }
}
