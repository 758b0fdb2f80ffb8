//! The keystore's folders: `CURRENT` names the sled folder in use. The node fills new ones beside it.
//!
//! `LEVEL` notes the level at which all of this is written. It is read before anything else here, and written before
//! anything of a higher level.

use std::fs::{self, File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::closing::Closing;
use super::damage::Damage;
use super::entries::APPLIED;
use super::file_error::at;
use super::files::{check_folder, make_private_folder, open_file, read_file, remove_if_there, replace_file};
use super::level::WrittenLevel;
use super::level_note;
use super::read_error::{ReadError, sled_failure};
use crate::disk::disk_space;

/// Sled would put a value over a quarter of this size into a file that it never syncs. No entry is nearly that large.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;
/// Opening a folder may begin a segment, and writes some small files.
const ROOM_TO_OPEN: u64 = 2 * SEGMENT_BYTES as u64;
/// A small cache is enough, because requests never read sled.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;
/// The name of the sled folder in use.
const CURRENT: &str = "CURRENT";
/// The note about the level of everything in here.
const LEVEL: &str = "LEVEL";
/// A marker that stands here while a folder is opened. It has one byte for each opening that did not come to its end.
const OPENING: &str = "OPENING";
/// A note that what this node has applied differs from what the other nodes have.
const WRONG: &str = "WRONG";
/// The sled folder that was set aside last.
const ASIDE: &str = "damaged";
/// In a sled folder: the applied position that the last sync made durable.
const DURABLE: &str = "DURABLE";
/// What a message about the level calls this folder.
const KEYSTORE: &str = "the keystore";
/// How long an opening waits for handles of this process that have yet to close the folder, and how often it looks.
const CLOSING: Duration = Duration::from_secs(5);
const CLOSING_CHECK: Duration = Duration::from_millis(10);
/// A folder whose opening was cut short this often counts as damaged, because it may crash the process each time.
const OPENINGS_CUT_SHORT: u32 = 2;

/// The folder of the keystore's folders.
#[derive(Debug, Clone)]
pub(super) struct Folders {
    root: PathBuf,
}

/// A sled folder that is open.
pub(super) struct OpenFolder {
    pub db: Closing<sled::Db>,
    pub path: PathBuf,
}

impl Folders {
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        make_private_folder(root).map_err(at(root))?;
        Ok(Self { root: root.to_owned() })
    }

    /// Whether the disk has as much room as opening a keystore may need. If the disk does not say, it has.
    pub(super) fn have_room(&self) -> bool {
        disk_space(&self.root).map_or(true, |space| space.free >= ROOM_TO_OPEN)
    }

    /// Finds the folder in use, or returns `None` if no folder is in use yet. This changes nothing on disk.
    ///
    /// # Errors
    /// Another version of Keyraft must read what is here, also if no folder is in use. Or the folder in use is damaged, or
    /// the file system failed.
    pub(super) fn find_current(&self) -> Result<Option<PathBuf>, ReadError> {
        let level = self.check_level();
        if matches!(level, Err(ReadError::Level(_))) {
            return level.map(|()| None);
        }
        let Some(name) = self.current()? else { return Ok(None) };
        level?;
        let path = self.root.join(name);
        if !is_there(&path)? {
            return Err(Damage::Unreadable(format!("{} is gone", path.display())).into());
        }
        Ok(Some(path))
    }

    /// Removes the marker of an opening. To be called when the opening came to its end.
    pub(super) fn clear_opening_mark(&self) -> io::Result<()> {
        remove_if_there(&self.root.join(OPENING))
    }

    /// Notes that what this node has applied is wrong. Its snapshots may be wrong, too, so the next keystore comes from a
    /// peer.
    pub(super) fn mark_wrong(&self) -> io::Result<()> {
        replace(&self.root.join(WRONG), b"")
    }

    /// Removes that note. To be called when a start has set the snapshots aside, and a new keystore is in use.
    pub(super) fn clear_wrong_mark(&self) -> io::Result<()> {
        remove_if_there(&self.root.join(WRONG))
    }

    /// Whether the node noted that what it has applied is wrong.
    ///
    /// # Errors
    /// The file system failed. Then the note may be there.
    pub(super) fn is_wrong(&self) -> io::Result<bool> {
        read_if_there(&self.root.join(WRONG)).map(|note| note.is_some())
    }

    /// Makes an empty folder. It comes into use with [`Folders::switch_to`].
    pub(super) fn create(&self) -> io::Result<OpenFolder> {
        let number = self.numbers()?.last().map_or(1, |last| last + 1);
        let path = self.root.join(folder_name(number));
        make_private_folder(&path).map_err(at(&path))?;
        OpenFolder::open(path.clone()).map_err(|error| {
            discard(&path);
            error.into()
        })
    }

    /// Removes a folder that could not be filled or put in use: it may take the last room of the disk. If `CURRENT` may name
    /// it, it stays.
    pub(super) fn discard(&self, folder: OpenFolder) {
        let OpenFolder { db, path } = folder;
        drop(db);
        let current = self.current();
        if current.is_ok_and(|current| current.is_none_or(|current| !path.ends_with(current))) {
            discard(&path);
        }
    }

    /// Puts a folder that is written at `level` in use, in one step, and removes the others except the one set aside. The
    /// note that the state is wrong stays.
    pub(super) fn switch_to(&self, folder: &OpenFolder, level: u32) -> io::Result<()> {
        self.raise_level(level)?;
        let name = folder.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        replace(&self.root.join(CURRENT), name.as_bytes())?;
        self.clear_opening_mark()?;
        for number in self.numbers()? {
            let path = self.root.join(folder_name(number));
            // The other folder is in use by now. What stays here is removed the next time.
            if path != folder.path
                && let Err(error) = remove_folder_if_there(&path)
            {
                tracing::warn!(%error, path = %path.display(), "this node cannot remove an old folder of its keystore");
            }
        }
        Ok(())
    }

    /// Notes that something here is written at `level`, unless the note already names that level or a higher one. It must
    /// be durable before what it is about: then a version that cannot read it never tries to.
    pub(super) fn raise_level(&self, level: u32) -> io::Result<()> {
        let note = self.root.join(LEVEL);
        let noted =
            match read_if_there(&note)?.map(|bytes| level_note::decode(KEYSTORE, &bytes).map(|(noted, _)| noted)) {
                Some(Ok(noted)) => noted.level,
                Some(Err(newer @ ReadError::Level(_))) => return Err(newer.into()),
                // The folder was set aside because of that, or is new.
                Some(Err(_)) | None => 0,
            };
        if noted >= level {
            return Ok(());
        }
        replace(&note, &level_note::encode(WrittenLevel::active(level), &[]))
    }

    fn check_level(&self) -> Result<(), ReadError> {
        let Some(note) = read_if_there(&self.root.join(LEVEL))? else {
            return Err(Damage::Unreadable("it does not note its level".to_owned()).into());
        };
        level_note::decode(KEYSTORE, &note).map(drop)
    }

    /// Moves the folder in use aside, so that somebody can look at the damage.
    pub(super) fn set_aside(&self) -> io::Result<Option<PathBuf>> {
        let from = match self.current() {
            Ok(None) => return Ok(None),
            Ok(Some(name)) => Some(self.root.join(name)),
            // The newest folder is most likely the one in use.
            Err(ReadError::Damaged(_)) => self.numbers()?.last().map(|newest| self.root.join(folder_name(*newest))),
            Err(other) => return Err(other.into()),
        };
        let aside = self.root.join(ASIDE);
        remove_folder_if_there(&aside)?;
        if let Some(from) = from
            && is_there(&from)?
        {
            fs::rename(&from, &aside)?;
        }
        remove_if_there(&self.root.join(CURRENT))?;
        self.clear_opening_mark()?;
        Ok(Some(aside))
    }

    /// The folder that was set aside last, if there is one.
    ///
    /// # Errors
    /// The file system failed.
    pub(super) fn aside(&self) -> Result<Option<PathBuf>, ReadError> {
        let aside = self.root.join(ASIDE);
        Ok(is_there(&aside)?.then_some(aside))
    }

    /// The name of the folder in use.
    fn current(&self) -> Result<Option<String>, ReadError> {
        let Some(name) = read_if_there(&self.root.join(CURRENT))? else { return Ok(None) };
        let name = String::from_utf8(name).ok().filter(|name| number_of(name).is_some());
        // Any other name could lead out of this folder.
        name.map(Some).ok_or_else(|| Damage::Unreadable("its file CURRENT names no sled folder".to_owned()).into())
    }

    /// Writes the marker before an opening, with one byte more than earlier openings left in it.
    ///
    /// # Errors
    /// The folder in use was marked as damaged, or the last openings were cut short. Or the file system failed.
    pub(super) fn mark_opening(&self) -> Result<(), ReadError> {
        let marker = self.root.join(OPENING);
        // If the marks cannot be read, the folder may be marked as damaged. The node must not open it.
        let marks = read_if_there(&marker)?.unwrap_or_default();
        let openings = u32::try_from(marks.len()).unwrap_or(u32::MAX);
        if openings >= OPENINGS_CUT_SHORT {
            return Err(Damage::CutShort { openings }.into());
        }
        let marks = vec![b'x'; openings as usize + 1];
        replace(&marker, &marks).map_err(ReadError::Io)
    }

    fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(at(&self.root))? {
            let name = entry.map_err(at(&self.root))?.file_name();
            numbers.extend(name.to_str().and_then(number_of));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

impl OpenFolder {
    /// Opens this sled folder.
    pub(super) fn open(path: PathBuf) -> Result<Self, ReadError> {
        let db = open_sled(&path).map_err(|error| error.at(&path))?;
        Ok(Self { db: Closing::new(db), path })
    }

    /// Makes everything written so far durable, and notes the position. The file is synced here, because on Linux
    /// sled's own flush does not sync it (`sync_file_range`).
    pub(super) fn sync(&self) -> io::Result<()> {
        let applied = self.db.get(APPLIED).map_err(sled_failure)?;
        self.db.flush().map_err(sled_failure)?;
        File::open(self.path.join("db"))?.sync_data()?;
        applied.map_or(Ok(()), |applied| replace(&self.path.join(DURABLE), &applied))
    }

    /// The applied position that the last sync made durable, or `None` before the first. Sled drops everything after a
    /// damaged byte, and opens as if it had never been written. So a folder that is behind this position is damaged.
    pub(super) fn durable_position(&self) -> io::Result<Option<Vec<u8>>> {
        read_if_there(&self.path.join(DURABLE))
    }
}

/// Opens a sled folder. A damaged one can make sled panic. The panic is returned as damage and does not end the node.
fn open_sled(path: &Path) -> Result<sled::Db, ReadError> {
    check_folder(path)?;
    wait_until_closed(&path.join("db"), CLOSING).map_err(ReadError::Io)?;
    let config = sled::Config::new()
        .path(path)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None)
        .mode(sled::Mode::HighThroughput);
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(opened) => Ok(opened?),
        Err(payload) => Err(ReadError::of_panic("opening it", &*payload)),
    }
}

/// Reads all files of a sled folder to their ends.
///
/// # Errors
/// The file system failed, so the folder may be whole although it does not look so.
pub(super) fn check_files(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        if fs::metadata(&path).map_err(at(&path))?.is_file() {
            let mut file = open_file(&path, File::options().read(true)).map_err(at(&path))?;
            io::copy(&mut file, &mut io::sink()).map_err(at(&path))?;
        }
    }
    Ok(())
}

/// Waits until no handle has this file of sled open. sled's own threads may keep theirs a little longer than the last user.
/// To sled, a file that is open elsewhere is an error like many others, and would count as damage.
fn wait_until_closed(file: &Path, patience: Duration) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    let file = match open_file(file, File::options().read(true)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::park_timeout(CLOSING_CHECK),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether a folder exists. If this process may not look, that is an error, and not a folder that is gone.
fn is_there(folder: &Path) -> io::Result<bool> {
    match fs::metadata(folder) {
        Ok(found) => Ok(found.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(at(folder)(error)),
    }
}

fn folder_name(number: u64) -> String {
    format!("sled-{number}")
}

/// The number of a sled folder. `None` for every other name.
fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("sled-")?.parse().ok().filter(|number| folder_name(*number) == name)
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match read_file(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

/// Removes a folder that no longer matters. If that fails now, the next folder that comes into use removes it. As long as sled
/// writes to it, no other one may get its name.
fn discard(folder: &Path) {
    let closed = wait_until_closed(&folder.join("db"), CLOSING);
    if let Err(error) = closed.and_then(|()| remove_folder_if_there(folder)) {
        tracing::warn!(%error, path = %folder.display(), "this node cannot remove a keystore folder that it did not finish");
    }
}

/// Replaces a file in one step. A failure names the file.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    replace_file(path, content).map_err(at(path))
}

fn remove_folder_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
