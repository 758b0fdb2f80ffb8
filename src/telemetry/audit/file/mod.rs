//! The audit file: a hash chain with signed checkpoints, over rotation and restarts.

pub(super) mod head;
mod kept_room;
pub(super) mod lines;
mod recovery;
pub(super) mod rotation;
#[cfg(test)]
mod tests;
pub(super) mod writable;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::head::HeadFile;
use self::kept_room::KeptRoom;
use self::recovery::FileEnd;
use super::chain::{self, ChainLink};
use crate::clock;
use crate::config::AuditFileConfig;
use crate::crypto::SigningKey;

/// The longest time from a record to the next checkpoint.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(5);
/// A checkpoint also follows this many records, but at least [`CHECKPOINT_PAUSE`] after the last one, since each costs
/// a sync.
const CHECKPOINT_RECORDS: u64 = 1000;
const CHECKPOINT_PAUSE: Duration = Duration::from_secs(1);
/// A checkpoint follows this many records at once. `audit verify` relies on this bound for the unsigned end of a trail.
pub(super) const CHECKPOINT_AT_ONCE: u64 = 100_000;
/// The time between two attempts to rotate a file that could not be moved.
const ROTATION_PAUSE: Duration = Duration::from_secs(60);

/// The file that holds a node's audit records.
pub struct AuditFile {
    config: AuditFileConfig,
    node: String,
    head: HeadFile,
    /// Whether the last attempt to write `head` failed, which the node logs once.
    head_failed: bool,
    /// Room for records on a full disk. `None` if the node serves without records.
    kept_room: Option<KeptRoom>,
    key: Option<Arc<SigningKey>>,
    /// The last line that the node wrote, in this file or in another.
    last: Option<ChainLink>,
    open: Option<OpenFile>,
    /// The field `after` of the next `opened` line.
    after: &'static str,
}

/// The open file.
struct OpenFile {
    file: File,
    bytes: u64,
    /// When the file's first line was written, as Unix time in nanoseconds.
    began_ns: i64,
    first: u64,
    /// When the last rotation failed. The node keeps writing to the file meanwhile.
    stuck_at: Option<Instant>,
    /// Lines since the last checkpoint.
    unsigned: u64,
    /// When the first of these lines was written.
    unsigned_since: Instant,
    signed_at: Option<Instant>,
}

impl AuditFile {
    /// Takes the file as configured, and does not open it yet. `folder` gets a note of how far the file goes.
    pub fn new(config: AuditFileConfig, node: &str, folder: PathBuf, key: Option<Arc<SigningKey>>) -> Self {
        let (node, head) = (node.to_owned(), HeadFile::of(&folder, &config.path));
        Self { config, node, head, head_failed: false, kept_room: None, key, last: None, open: None, after: "start" }
    }

    /// Keeps room for records on a full disk, if the node needs them to serve.
    pub fn keep_room(&mut self, needed: bool) {
        self.kept_room = needed.then(|| KeptRoom::beside(&self.config.path));
    }

    /// Takes over other settings. If the path is another one, the chain goes on in that file.
    pub fn reconfigure(&mut self, config: AuditFileConfig, folder: &std::path::Path) {
        if config.path != self.config.path {
            self.close();
            (self.after, self.head) = ("reload", HeadFile::of(folder, &config.path));
        }
        self.config = config;
    }

    /// Signs checkpoints from now on. The first follows at once and covers all earlier lines.
    pub fn sign_with(&mut self, key: Arc<SigningKey>) {
        self.key = Some(key);
        self.checkpoint_or_close();
    }

    /// Writes lines, either all or nothing. Each is a JSON object without `\n`. If a checkpoint fails after the lines
    /// are written, that is not an error: the caller would write the lines again, or report them as lost.
    ///
    /// # Errors
    /// The disk is full, or does not take the lines for another reason. Then the file holds none of them.
    pub fn write<'a>(&mut self, lines: impl Iterator<Item = &'a str>) -> io::Result<()> {
        let written = self.ready().and_then(|()| {
            self.append(|link, out| {
                for line in lines {
                    let start = out.len();
                    out.push_str(line);
                    link.append(out, start);
                }
            })
        });
        match &written {
            Ok(()) if self.due_now() => self.checkpoint_or_close(),
            Ok(()) => {}
            Err(error) => self.close_after(error),
        }
        written
    }

    /// Returns when the next checkpoint is due, if lines are unsigned.
    pub fn due(&self) -> Option<Instant> {
        let open = self.open.as_ref().filter(|open| open.unsigned > 0)?;
        Some(open.unsigned_since + CHECKPOINT_AFTER)
    }

    /// Writes a checkpoint if one is due.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn tick(&mut self) -> io::Result<()> {
        let made = if self.due_now() { self.checkpoint() } else { Ok(()) };
        if let Err(error) = &made {
            self.close_after(error);
        }
        made
    }

    /// Writes a last checkpoint and closes the file.
    pub fn close(&mut self) {
        if self.open.as_ref().is_some_and(|open| open.unsigned > 0) {
            self.checkpoint_or_close();
        }
        self.open = None;
    }

    /// Writes a checkpoint. If that fails, the node opens the file again for the next lines, and signs it then.
    fn checkpoint_or_close(&mut self) {
        if let Err(error) = self.checkpoint() {
            tracing::error!(
                %error,
                file = %self.config.path.display(),
                "the node could not write a checkpoint to the audit file, and tries again with the next record"
            );
            self.close_after(&error);
        }
    }

    /// Whether so many or such old lines are unsigned that a checkpoint must follow now.
    fn due_now(&self) -> bool {
        self.open.as_ref().is_some_and(|open| {
            let paused = open.signed_at.is_none_or(|at| at.elapsed() >= CHECKPOINT_PAUSE);
            open.unsigned >= CHECKPOINT_RECORDS && paused
                || open.unsigned >= CHECKPOINT_AT_ONCE
                || open.unsigned > 0 && open.unsigned_since.elapsed() >= CHECKPOINT_AFTER
        })
    }

    /// Opens the file, also after somebody has moved or removed it, and rotates it when it is time.
    fn ready(&mut self) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|open| !open.is_at(&self.config.path)) {
            tracing::warn!(
                file = %self.config.path.display(),
                "somebody moved, removed or changed the audit file; the node opens it again"
            );
            (self.open, self.after) = (None, "moved");
        }
        if self.open.is_none() {
            self.open_file()?;
        }
        self.kept_room.iter_mut().for_each(KeptRoom::fill);
        let (most, age) = (self.config.max_size, self.config.max_age.as_nanos());
        let old = |began: i64| clock::unix_ns().saturating_sub(began).max(0).unsigned_abs();
        let may = |open: &OpenFile| open.stuck_at.is_none_or(|at| at.elapsed() >= ROTATION_PAUSE);
        match &self.open {
            Some(open) if may(open) && (open.bytes >= most || u128::from(old(open.began_ns)) >= age) => self.rotate(),
            _ => Ok(()),
        }
    }

    fn open_file(&mut self) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(&self.config.path)?;
        let end = FileEnd::read(&mut file)?;
        let first = rotation::first_line(&self.config.path)?;
        let (bytes, began_ns) =
            (file.metadata()?.len(), first.as_ref().map_or_else(clock::unix_ns, |first| first.time_ns));
        let noted = self.last.or_else(|| self.head.read());
        let found = end.last.or(noted).unwrap_or(chain::START);
        let next = found.number + 1;
        self.open = Some(OpenFile {
            file,
            bytes,
            began_ns,
            first: first.map_or(next, |first| first.number),
            stuck_at: None,
            unsigned: 0,
            unsigned_since: Instant::now(),
            signed_at: None,
        });
        let (before, after) = (self.last.replace(found), self.after);
        let begun = self.begin(&end, noted);
        if begun.is_err() {
            // Remove the lines of this attempt: the next one writes them again, and a failing disk would fill up with
            // them.
            if let Some(open) = self.open.take() {
                let _ = open.file.set_len(bytes);
            }
            (self.last, self.after) = (before, after);
        }
        begun
    }

    /// Writes the lines that come before any record, and signs them.
    fn begin(&mut self, end: &FileEnd, noted: Option<ChainLink>) -> io::Result<()> {
        self.record_findings(end, noted)?;
        let (node, after) = (self.node.clone(), std::mem::replace(&mut self.after, "failure"));
        let (begins, version) = (end.last.is_none(), env!("CARGO_PKG_VERSION"));
        self.append_one(&lines::opened(clock::unix_ns(), &node, after, begins, version))?;
        if self.key.is_some() { self.checkpoint() } else { Ok(()) }
    }

    /// Ends a torn line and records it. Records that the file is not as this node left it.
    fn record_findings(&mut self, end: &FileEnd, noted: Option<ChainLink>) -> io::Result<()> {
        if end.unterminated {
            self.raw(b"\n")?;
        }
        if !end.torn.is_empty() {
            tracing::warn!(bytes = end.torn.len(), "the audit file ended in a torn line; the node records that");
            self.raw(b"\n")?;
            self.append_one(&lines::torn(clock::unix_ns(), &end.torn))?;
        }
        // A file without any line is a new one, because the old one was moved or this is another path.
        if let Some(expected) = noted.filter(|noted| end.last.is_some() && !end.holds(*noted)) {
            let (expected, found) = (expected.number, end.last.map_or(0, |last| last.number));
            tracing::error!(
                expected,
                found,
                "somebody cut or changed the audit file while the node was not writing it; check it with `keyraft audit \
                 verify`"
            );
            self.append_one(&lines::broken(clock::unix_ns(), expected, found))?;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.checkpoint()?;
        let Some(open) = &mut self.open else { return Ok(()) };
        if let Err(error) = rotation::move_away(&self.config.path, open.first) {
            tracing::error!(
                %error,
                file = %self.config.path.display(),
                "the node cannot rotate the audit file, which keeps growing; it tries again every minute"
            );
            open.stuck_at = Some(Instant::now());
            return Ok(());
        }
        (self.open, self.after) = (None, "rotation");
        for path in rotation::beyond(&self.config.path, self.config.keep) {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(%error, file = %path.display(), "the node cannot remove an old audit file");
            }
        }
        self.open_file()
    }

    /// Signs all lines so far, makes them durable, and notes how far the file goes.
    fn checkpoint(&mut self) -> io::Result<()> {
        if self.open.is_none() {
            return Ok(());
        }
        if let Some(key) = self.key.clone() {
            self.append(|link, out| {
                out.push_str(&lines::checkpoint(clock::unix_ns(), key.verifying_key()));
                link.append_signed(out, 0, &key);
            })?;
        }
        if let (Some(open), Some(last)) = (&mut self.open, self.last) {
            open.file.sync_data()?;
            (open.unsigned, open.signed_at) = (0, Some(Instant::now()));
            self.note_head(last);
        }
        Ok(())
    }

    /// Notes how far the file goes. A failure is only logged: the note may lie on another disk, and the audit file is
    /// fine.
    fn note_head(&mut self, last: ChainLink) {
        let noted = self.head.write(last);
        if let Err(error) = &noted
            && !self.head_failed
        {
            tracing::warn!(
                %error,
                "the node cannot note in its data folder how far the audit file goes: `keyraft audit verify --head` may \
                 miss a cut"
            );
        }
        self.head_failed = noted.is_err();
    }

    fn append_one(&mut self, line: &str) -> io::Result<()> {
        self.append(|link, out| {
            out.push_str(line);
            link.append(out, 0);
        })
    }

    /// Appends the lines that `fill` writes, either all or nothing.
    fn append(&mut self, fill: impl FnOnce(&mut ChainLink, &mut String)) -> io::Result<()> {
        let (mut link, mut text) = (self.last.unwrap_or(chain::START), String::new());
        let before = link.number;
        fill(&mut link, &mut text);
        self.raw(text.as_bytes())?;
        self.last = Some(link);
        if let Some(open) = &mut self.open {
            if open.unsigned == 0 {
                open.unsigned_since = Instant::now();
            }
            open.unsigned += link.number - before;
        }
        Ok(())
    }

    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        let open = self.open.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        KeptRoom::append(self.kept_room.as_ref(), &mut open.file, open.bytes, bytes)?;
        open.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Closes the file after a failure, so that the next write opens and reads it again.
    fn close_after(&mut self, error: &io::Error) {
        tracing::debug!(%error, "the node closes the audit file until it can write it again");
        self.open = None;
    }
}

impl OpenFile {
    /// Whether the file is still at this path, and as long as this node left it.
    fn is_at(&self, path: &std::path::Path) -> bool {
        let (Ok(here), Ok(there)) = (self.file.metadata(), fs::metadata(path)) else { return false };
        (here.dev(), here.ino(), self.bytes) == (there.dev(), there.ino(), there.len())
    }
}
