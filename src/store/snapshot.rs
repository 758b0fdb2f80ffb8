//! Snapshots: files of our own that hold the whole replicated state at one position of the log.
//!
//! Format 1, with big-endian integers:
//!
//! 1. the header (`store::snapshot_header`)
//! 2. each entry: key length `u32`, value length `u32`, key, value
//! 3. two lengths of zero, and the SHA-256 of everything before
//! 4. the tag of the node that keeps the file, 32 bytes, over its store id, the checksum of the header, and the checksum
//!    before it
//!
//! A node trusts the header of a snapshot of its own by the tag, which it checks without reading the entries. The digest in
//! the header then vouches for the entries. The receiver of a snapshot checks everything but the tag, and writes its own.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{self, AtomicU64};

use sha2::{Digest as _, Sha256};

use super::damage::{Damage, disagreement};
use super::file_error::at;
use super::files::{make_private_file, make_private_folder, open_file, remove_if_there, rename_durably};
use super::read_error::ReadError;
use super::snapshot_header::CHECKSUM_BYTES;
use super::snapshot_reader::{Hashing, MAX_PART_BYTES, SentSnapshot, SnapshotReader, TAG_BYTES, check_written, tag};
use super::tags::StoreTags;
use super::{LogId, SnapshotHeader};
use crate::disk::{DiskSpace, disk_space};
use crate::state::ClusterId;

/// How many snapshots the node keeps: the newest, and the one before in case the newest is damaged.
const KEPT: usize = 2;

/// A snapshot file and its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The file.
    pub path: PathBuf,
    /// What it holds.
    pub header: SnapshotHeader,
}

/// The file of a snapshot until it has its name. Dropping it removes the file: what is unfinished may take the last room
/// of the disk.
struct Temporary(PathBuf);

/// The folder of snapshots.
#[derive(Debug, Clone)]
pub struct Snapshots {
    dir: PathBuf,
    pub(super) tags: StoreTags,
}

/// A received snapshot that was checked from end to end, with the tag that this node makes for it.
pub(super) struct CheckedSnapshot {
    file: File,
    header: SnapshotHeader,
    tag: [u8; TAG_BYTES],
}

/// A snapshot that is being written. The file gets its name in [`SnapshotWriter::finish`].
pub(super) struct SnapshotWriter {
    out: Hashing<BufWriter<File>>,
    temporary: Temporary,
    path: PathBuf,
    header: SnapshotHeader,
    header_checksum: [u8; CHECKSUM_BYTES],
    tags: StoreTags,
}

impl Snapshots {
    /// Opens the folder, makes it if it does not exist, removes what interrupted writes left, and sets damaged snapshots
    /// aside.
    ///
    /// # Errors
    /// The file system refused, or another version of Keyraft must read the newest snapshot. Then nothing has changed:
    /// this version must not go on without that snapshot.
    pub(super) fn open(dir: &Path, tags: StoreTags) -> Result<Self, ReadError> {
        make_private_folder(dir).map_err(|error| ReadError::Io(at(dir)(error)))?;
        let snapshots = Self { dir: dir.to_owned(), tags };
        snapshots.newest()?;
        for path in paths(dir)?.filter(|path| path.extension().is_some_and(|end| end == "tmp")) {
            remove_if_there(&path).map_err(ReadError::Io)?;
        }
        for path in by_age(dir)? {
            if let Err(ReadError::Damaged(damage)) = snapshots.open_own(&path) {
                tracing::warn!(path = %path.display(), %damage, "this node sets a damaged snapshot aside");
                set_aside(&path).map_err(ReadError::Io)?;
            }
        }
        Ok(snapshots)
    }

    /// The newest snapshot in a folder with a header that can be read. Nothing checks its tag, so that a node which does not
    /// have its keys yet can look for them in it.
    pub(super) fn newest_unchecked(dir: &Path) -> Result<Option<Snapshot>, ReadError> {
        let open = |path: &Path| check_name(path, SnapshotReader::open_untagged(path)?);
        Ok(newest_in(dir, open)?.0)
    }

    /// The newest snapshot with a header that can be read. This reads headers only.
    ///
    /// # Errors
    /// The folder cannot be read, or another version of Keyraft must read the snapshot.
    pub fn newest(&self) -> Result<Option<Snapshot>, ReadError> {
        Ok(self.find_newest()?.0)
    }

    /// The same. If the file system fails and no header can be read, the node must not go on as if it had no snapshot.
    pub(super) fn newest_for_rebuild(&self) -> Result<Option<Snapshot>, ReadError> {
        match self.find_newest()? {
            (None, Some(failure)) => Err(ReadError::Io(failure)),
            (newest, _) => Ok(newest),
        }
    }

    /// The index of the newest snapshot that ends before this index. `None` without one.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn index_before(&self, index: u64) -> io::Result<Option<u64>> {
        let indexes = by_age(&self.dir)?.into_iter().filter_map(|path| {
            let opened = self.open_own(&path);
            opened.ok().and_then(|(header, _)| header.applied.last).map(|last| last.index)
        });
        Ok(indexes.filter(|older| *older < index).max())
    }

    /// A new file for a snapshot that arrives from a peer, and its path. [`Snapshots::accept`] takes it once it is
    /// whole.
    ///
    /// # Errors
    /// The file system refused.
    pub fn create_received(&self) -> io::Result<(File, PathBuf)> {
        static RECEIVED: AtomicU64 = AtomicU64::new(0);
        let path = self.dir.join(format!("received-{}.tmp", RECEIVED.fetch_add(1, atomic::Ordering::Relaxed)));
        Ok((make_private_file(&path)?, path))
    }

    /// Checks a received snapshot from end to end, tags it for this store, and gives it its name among the others.
    ///
    /// # Errors
    /// It is damaged, or of another cluster than `cluster`, or the file system refused.
    pub fn accept(&self, received: &Path, cluster: Option<ClusterId>) -> Result<Snapshot, ReadError> {
        let checked = self.check_received(received, cluster)?;
        self.keep(checked, received)
    }

    pub(super) fn check_received(
        &self,
        received: &Path,
        cluster: Option<ClusterId>,
    ) -> Result<CheckedSnapshot, ReadError> {
        let file = open_file(received, File::options().read(true).write(true))?;
        let (header, reader) = SnapshotReader::of(file.try_clone().map_err(ReadError::Io)?)?;
        if let Some(ours) = cluster.filter(|_| header.cluster_id != cluster) {
            let without_id = || "a cluster that is not initialised yet".to_owned();
            let theirs = header.cluster_id.map_or_else(without_id, |id| format!("cluster {id}"));
            return Err(Damage::Unreadable(format!(
                "the snapshot is from {theirs}, but this node belongs to cluster {ours}"
            ))
            .into());
        }
        // What cannot be installed must not take the place of a snapshot that can.
        let header_checksum = reader.header_checksum;
        let (_, checksum) = reader.read_to_end(&header, &self.tags, |_, _| Ok(()))?;
        let tag = tag(&self.tags, &header, &header_checksum, &checksum)?;
        Ok(CheckedSnapshot { file, header, tag })
    }

    /// Writes the tag of this store into a checked snapshot, and gives the file its name. The tag is for what was checked,
    /// and not for what stands in the file by now.
    pub(super) fn keep(&self, checked: CheckedSnapshot, received: &Path) -> Result<Snapshot, ReadError> {
        let CheckedSnapshot { file, header, tag } = checked;
        let end = file.metadata().map_err(ReadError::Io)?.len();
        let at = end.checked_sub(TAG_BYTES as u64).ok_or(io::ErrorKind::UnexpectedEof).map_err(io::Error::from)?;
        file.write_all_at(&tag, at).map_err(ReadError::Io)?;
        file.sync_all().map_err(ReadError::Io)?;
        let path = self.dir.join(file_name(header.applied.last));
        if path != received {
            rename_durably(received, &path)?;
            self.remove_old()?;
        }
        Ok(Snapshot { path, header })
    }

    /// Opens a snapshot of this node to send it.
    ///
    /// # Errors
    /// It is damaged, or the file system refused.
    pub fn open_to_send(&self, snapshot: &Snapshot) -> Result<(File, SentSnapshot), ReadError> {
        SentSnapshot::open(&snapshot.path, &snapshot.header.applied, &self.tags)
    }

    /// How much room the disk of this folder has.
    ///
    /// # Errors
    /// The file system refused.
    pub fn space(&self) -> io::Result<DiskSpace> {
        disk_space(&self.dir)
    }

    /// Whether a snapshot is in this folder. Then [`Snapshots::accept`] has checked it, or this node wrote it.
    pub fn holds(&self, snapshot: &Snapshot) -> bool {
        snapshot.path.parent() == Some(&self.dir)
    }

    /// Renames a damaged snapshot, so that the node never uses or offers it again.
    ///
    /// # Errors
    /// The file system refused.
    pub fn set_aside(&self, snapshot: &Snapshot) -> io::Result<()> {
        set_aside(&snapshot.path)
    }

    pub(super) fn write(&self, header: SnapshotHeader) -> io::Result<SnapshotWriter> {
        let path = self.dir.join(file_name(header.applied.last));
        let temporary = Temporary(path.with_extension("tmp"));
        let mut out = Hashing { inner: BufWriter::new(make_private_file(&temporary.0)?), hash: Sha256::new() };
        let encoded = header.encode()?;
        out.write_all(&encoded)?;
        let header_checksum = *encoded.last_chunk().expect("a header ends with its checksum");
        Ok(SnapshotWriter { out, temporary, path, header, header_checksum, tags: self.tags.clone() })
    }

    /// Removes all snapshots but the newest ones.
    pub(super) fn remove_old(&self) -> io::Result<()> {
        by_age(&self.dir)?.into_iter().skip(KEPT).try_for_each(|path| remove_if_there(&path))
    }

    /// The newest snapshot of this node, and why the file system did not let this process read another.
    fn find_newest(&self) -> Result<(Option<Snapshot>, Option<io::Error>), ReadError> {
        newest_in(&self.dir, |path| self.open_own(path))
    }

    fn open_own(&self, path: &Path) -> Result<(SnapshotHeader, SnapshotReader), ReadError> {
        check_name(path, SnapshotReader::open(path, &self.tags)?)
    }
}

impl SnapshotWriter {
    /// # Errors
    /// The disk failed, or no reader would take the entry. Then the log must keep what the snapshot was for.
    pub(super) fn entry(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        if key.is_empty() || key.len().max(value.len()) > MAX_PART_BYTES {
            return Err(io::Error::other(format!(
                "a snapshot cannot hold an entry with a key of {} bytes and a value of {}",
                key.len(),
                value.len()
            )));
        }
        self.out.write_all(&length(key)?.to_be_bytes())?;
        self.out.write_all(&length(value)?.to_be_bytes())?;
        self.out.write_all(key)?;
        self.out.write_all(value)
    }

    /// Makes the file durable, reads it back, and gives it its name.
    ///
    /// # Errors
    /// The disk failed, or does not have what was written. Then the log must keep what the snapshot was for.
    pub(super) fn finish(self) -> io::Result<Snapshot> {
        self.finish_if(check_written)
    }

    /// The same, with another check of what was written.
    pub(super) fn finish_if(
        mut self,
        check: impl FnOnce(File, &Path, &StoreTags) -> io::Result<()>,
    ) -> io::Result<Snapshot> {
        self.out.write_all(&[0; 8])?;
        let checksum = self.out.hash.clone().finalize();
        self.out.inner.write_all(&checksum)?;
        let tag = tag(&self.tags, &self.header, &self.header_checksum, &checksum).map_err(io::Error::other)?;
        self.out.inner.write_all(&tag)?;
        let file = self.out.inner.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        check(file, &self.temporary.0, &self.tags)?;
        rename_durably(&self.temporary.0, &self.path)?;
        Ok(Snapshot { path: self.path, header: self.header })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A finished snapshot has another name by now. The next start removes a file that cannot be removed now.
        drop(fs::remove_file(&self.0));
    }
}

/// Names sort by index and then by term, so that a later snapshot has a later name.
fn file_name(last: Option<LogId>) -> String {
    let last = last.unwrap_or_default();
    format!("{:020}-{:020}.snapshot", last.index, last.term)
}

/// Fails if an opened snapshot has the name of another position. With a later name, an old snapshot would stay the newest
/// for ever.
fn check_name(
    path: &Path,
    (header, reader): (SnapshotHeader, SnapshotReader),
) -> Result<(SnapshotHeader, SnapshotReader), ReadError> {
    let found = path.file_name().unwrap_or_default().to_string_lossy();
    disagreement("file name", file_name(header.applied.last), found.into_owned())?;
    Ok((header, reader))
}

/// The newest snapshot in a folder that `open` opens, and why the file system did not let this process read another.
fn newest_in(
    dir: &Path,
    open: impl Fn(&Path) -> Result<(SnapshotHeader, SnapshotReader), ReadError>,
) -> Result<(Option<Snapshot>, Option<io::Error>), ReadError> {
    let mut failure = None;
    for path in by_age(dir)? {
        match open(&path) {
            Ok((header, _)) => return Ok((Some(Snapshot { path, header }), failure)),
            // `cluster.id` may be older than the snapshot. Nothing is damaged then.
            Err(unknown @ ReadError::Damaged(Damage::UnknownKey { .. })) => return Err(unknown),
            Err(ReadError::Damaged(_)) => {}
            // Another thread has removed it since, because a newer one is there.
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(ReadError::Io(error)) => failure = Some(at(&path)(error)),
            Err(newer @ ReadError::Level(_)) => return Err(newer),
        }
    }
    Ok((None, failure))
}

/// The snapshot files in a folder, newest first, because names sort by position.
fn by_age(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let is_snapshot = |path: &PathBuf| path.extension().is_some_and(|end| end == "snapshot");
    let mut found: Vec<PathBuf> = paths(dir)?.filter(is_snapshot).collect();
    found.sort();
    found.reverse();
    Ok(found)
}

/// Renames a snapshot file, so that nothing takes it for a snapshot again. Another thread may have done so.
fn set_aside(path: &Path) -> io::Result<()> {
    match rename_durably(path, &path.with_extension("damaged")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Everything in a folder. If one entry cannot be read, nothing is known: what is missing must not look removed.
fn paths(dir: &Path) -> io::Result<impl Iterator<Item = PathBuf>> {
    let entries: io::Result<Vec<_>> = fs::read_dir(dir).and_then(Iterator::collect);
    Ok(entries.map_err(at(dir))?.into_iter().map(|entry| entry.path()))
}

fn length(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len()).map_err(io::Error::other)
}
