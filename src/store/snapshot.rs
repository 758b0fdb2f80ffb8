//! Snapshots: files of our own that hold the whole replicated state at one position of the log.
//!
//! Format 1, with big-endian integers:
//!
//! 1. the header (`store::snapshot_header`)
//! 2. each entry: key length `u32`, value length `u32`, key, value
//! 3. two lengths of zero, and the SHA-256 of everything before
//! 4. room for a tag of 32 bytes; zeros for now
//!
//! The tag stands behind the checksum, so that a node can give a received snapshot another tag without hashing the file
//! again: a tag over header and checksum covers all of it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{self, AtomicU64};

use sha2::{Digest as _, Sha256};

use super::files::{make_private_file, make_private_folder, rename_durably};
use super::image::Damage;
use super::read_error::ReadError;
use super::snapshot_reader::{Hashing, MAX_PART_BYTES, NO_TAG, SnapshotReader, read_image};
use super::{LogId, SnapshotHeader};
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

/// The folder of snapshots.
#[derive(Debug, Clone)]
pub struct Snapshots {
    dir: PathBuf,
}

/// A snapshot that is being written. The file gets its name in [`SnapshotWriter::finish`].
pub(super) struct SnapshotWriter {
    out: Hashing<BufWriter<File>>,
    temporary: PathBuf,
    path: PathBuf,
    header: SnapshotHeader,
}

impl Snapshots {
    /// Opens the folder, makes it if it does not exist, and removes what interrupted writes left.
    ///
    /// # Errors
    /// The file system refused, or another version of Keyraft must read the newest snapshot. Then nothing has changed:
    /// this version must not go on without that snapshot.
    pub fn open(dir: &Path) -> Result<Self, ReadError> {
        make_private_folder(dir).map_err(ReadError::Io)?;
        let snapshots = Self { dir: dir.to_owned() };
        snapshots.newest()?;
        for path in paths(dir)?.filter(|path| path.extension().is_some_and(|end| end == "tmp")) {
            fs::remove_file(path).map_err(ReadError::Io)?;
        }
        Ok(snapshots)
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

    /// Checks a received snapshot from end to end and gives it its name among the others.
    ///
    /// # Errors
    /// It is damaged, or of another cluster than `cluster`, or the file system refused.
    pub fn accept(&self, received: &Path, cluster: Option<ClusterId>) -> Result<Snapshot, ReadError> {
        let (header, _) = SnapshotReader::open(received)?;
        if let Some(ours) = cluster.filter(|_| header.cluster_id != cluster) {
            let without_id = || "a cluster that is not initialised yet".to_owned();
            let theirs = header.cluster_id.map_or_else(without_id, |id| format!("cluster {id}"));
            return Err(Damage::Unreadable(format!(
                "the snapshot is from {theirs}, but this node belongs to cluster {ours}"
            ))
            .into());
        }
        // What cannot be installed must not take the place of a snapshot that can.
        let (header, _) = read_image(received, |_, _| Ok(()))?;
        let path = self.dir.join(file_name(header.applied.last));
        if path != received {
            File::open(received)?.sync_all()?;
            rename_durably(received, &path)?;
            self.remove_old()?;
        }
        Ok(Snapshot { path, header })
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
        rename_durably(&snapshot.path, &snapshot.path.with_extension("damaged"))
    }

    pub(super) fn write(&self, header: SnapshotHeader) -> io::Result<SnapshotWriter> {
        let path = self.dir.join(file_name(header.applied.last));
        let temporary = path.with_extension("tmp");
        let mut out = Hashing { inner: BufWriter::new(make_private_file(&temporary)?), hash: Sha256::new() };
        out.write_all(&header.encode()?)?;
        Ok(SnapshotWriter { out, temporary, path, header })
    }

    /// Removes all snapshots but the newest ones.
    pub(super) fn remove_old(&self) -> io::Result<()> {
        self.by_age()?.into_iter().skip(KEPT).try_for_each(fs::remove_file)
    }

    /// The newest snapshot with a header that can be read, and why the file system did not let this process read another.
    fn find_newest(&self) -> Result<(Option<Snapshot>, Option<io::Error>), ReadError> {
        let mut failure = None;
        for path in self.by_age()? {
            match SnapshotReader::open(&path) {
                Ok((header, _)) => return Ok((Some(Snapshot { path, header }), failure)),
                Err(ReadError::Damaged(_)) => {}
                // Another thread has removed it since, because a newer one is there.
                Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(ReadError::Io(error)) => failure = Some(error),
                Err(newer @ ReadError::Level(_)) => return Err(newer),
            }
        }
        Ok((None, failure))
    }

    /// The files, newest first, because names sort by position.
    fn by_age(&self) -> io::Result<Vec<PathBuf>> {
        let is_snapshot = |path: &PathBuf| path.extension().is_some_and(|end| end == "snapshot");
        let mut found: Vec<PathBuf> = paths(&self.dir)?.filter(is_snapshot).collect();
        found.sort();
        found.reverse();
        Ok(found)
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

    /// Makes the file durable and gives it its name.
    pub(super) fn finish(mut self) -> io::Result<Snapshot> {
        self.out.write_all(&[0; 8])?;
        let checksum = self.out.hash.clone().finalize();
        self.out.inner.write_all(&checksum)?;
        self.out.inner.write_all(&NO_TAG)?;
        let file = self.out.inner.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        rename_durably(&self.temporary, &self.path)?;
        Ok(Snapshot { path: self.path, header: self.header })
    }
}

/// Names sort by index and then by term, so that a later snapshot has a later name.
fn file_name(last: Option<LogId>) -> String {
    let last = last.unwrap_or_default();
    format!("{:020}-{:020}.snapshot", last.index, last.term)
}

fn paths(dir: &Path) -> io::Result<impl Iterator<Item = PathBuf>> {
    Ok(fs::read_dir(dir)?.flatten().map(|entry| entry.path()))
}

fn length(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len()).map_err(io::Error::other)
}
