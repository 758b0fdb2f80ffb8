//! Reading a snapshot file: its header, its tag, its entries, and whether all of it is what a node wrote.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use rustix::fs::Advice;
use sha2::{Digest as _, Sha256};

use super::SnapshotHeader;
use super::damage::Damage;
use super::files::open_file;
use super::image::{Applied, Image, ImageBuilder};
use super::read_error::ReadError;
use super::snapshot_header::CHECKSUM_BYTES;
use super::tags::StoreTags;
use crate::crypto::TagPurpose;

/// The length of a tag.
pub(super) const TAG_BYTES: usize = 32;
/// More than any key or value has. The largest values are policies, of at most 64 KiB. A page of remembered commands has
/// at most 18 KiB, and a record 1 KiB.
pub(super) const MAX_PART_BYTES: usize = 1024 * 1024;

/// Reads a whole snapshot of this node, which goes up to `applied`, and calls `entry` with each entry. Returns the state,
/// once it is checked.
pub(super) fn read_image(
    path: &Path,
    applied: &Applied,
    tags: &StoreTags,
    entry: impl FnMut(&[u8], &[u8]) -> Result<(), ReadError>,
) -> Result<Image, ReadError> {
    let (header, reader) = SnapshotReader::open_at(path, applied, tags)?;
    Ok(reader.read_to_end(&header, tags, entry)?.0)
}

/// Reads back a snapshot that this node has just written, from the disk. It checks tag and checksum. The node has checked
/// what the entries say as it wrote them.
pub(super) fn check_written(written: File, path: &Path, tags: &StoreTags) -> io::Result<()> {
    // Otherwise the system would return what is still in memory. It may refuse this, and then the memory is all it has.
    let _ = rustix::fs::fadvise(&written, 0, None, Advice::DontNeed);
    drop(written);
    read_back(path, tags).map_err(|error| match error {
        ReadError::Io(error) => error,
        damage => {
            let text = format!("the disk does not hold what was written to {}: {damage}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        }
    })
}

fn read_back(path: &Path, tags: &StoreTags) -> Result<(), ReadError> {
    let (_, mut reader) = SnapshotReader::open(path, tags)?;
    while reader.next()?.is_some() {}
    reader.check().map(drop)
}

/// The value of one entry. It is not checked, because the reader stops there.
pub(super) fn read_entry(path: &Path, wanted: &[u8]) -> Result<Option<Bytes>, ReadError> {
    let (_, mut reader) = SnapshotReader::open_untagged(path)?;
    while let Some((key, value)) = reader.next()? {
        if key == wanted {
            return Ok(Some(value.into()));
        }
    }
    Ok(None)
}

/// The tag of a snapshot with these two checksums.
pub(super) fn tag(
    tags: &StoreTags,
    header: &SnapshotHeader,
    header_checksum: &[u8],
    checksum: &[u8],
) -> Result<[u8; TAG_BYTES], Damage> {
    tags.tag(TagPurpose::Snapshot, header.applied.key_version, &[header_checksum, checksum])
}

/// Checks a snapshot of this node while its bytes are sent. Its tag has been checked before.
pub struct SentSnapshot {
    /// The bytes until the end of the file.
    left: u64,
    /// The bytes until the end of what the checksum covers.
    hashed: u64,
    hash: Sha256,
    checksum: [u8; CHECKSUM_BYTES],
}

impl SentSnapshot {
    /// Opens the file of a snapshot that goes up to `applied`, and checks its tag.
    pub(super) fn open(path: &Path, applied: &Applied, tags: &StoreTags) -> Result<(File, Self), ReadError> {
        let (_, reader) = SnapshotReader::open_at(path, applied, tags)?;
        let Ending { checksum, .. } = reader.ending()?;
        let file = open_file(path, File::options().read(true))?;
        let left = file.metadata().map_err(ReadError::Io)?.len();
        let hashed = left.saturating_sub((CHECKSUM_BYTES + TAG_BYTES) as u64);
        Ok((file, Self { left, hashed, hash: Sha256::new(), checksum }))
    }

    /// Takes the next bytes of the file, or none at its end. To be called before they are sent.
    ///
    /// # Errors
    /// These are the last bytes, and the file is not the one that this node wrote.
    pub fn check(&mut self, bytes: &[u8]) -> Result<(), Damage> {
        if bytes.is_empty() && self.left > 0 {
            return Err(Damage::Unreadable("it ends too early".to_owned()));
        }
        let hashed = self.hashed.min(bytes.len() as u64);
        self.hash.update(&bytes[..usize::try_from(hashed).unwrap_or(bytes.len())]);
        self.hashed -= hashed;
        self.left = self.left.saturating_sub(bytes.len() as u64);
        if self.left == 0 && self.hash.clone().finalize()[..] != self.checksum {
            return Err(Damage::Unreadable("its checksum does not match".to_owned()));
        }
        Ok(())
    }
}

pub(super) struct SnapshotReader {
    input: Hashing<BufReader<File>>,
    pub header_checksum: [u8; CHECKSUM_BYTES],
}

/// The last bytes of a snapshot file.
pub(super) struct Ending {
    pub checksum: [u8; CHECKSUM_BYTES],
    tag: [u8; TAG_BYTES],
}

impl SnapshotReader {
    /// Opens a snapshot of this node, and checks its header and its tag.
    pub(super) fn open(path: &Path, tags: &StoreTags) -> Result<(SnapshotHeader, Self), ReadError> {
        let (header, reader) = Self::open_untagged(path)?;
        let Ending { checksum, tag } = reader.ending()?;
        let parts: [&[u8]; 2] = [&reader.header_checksum, &checksum];
        tags.check(TagPurpose::Snapshot, header.applied.key_version, &parts, &tag)?;
        Ok((header, reader))
    }

    /// The same, for a snapshot that went up to `applied` when this node read its header before. Consensus counts on that
    /// position, and somebody may have put another snapshot of this node in the place of the file since.
    fn open_at(path: &Path, applied: &Applied, tags: &StoreTags) -> Result<(SnapshotHeader, Self), ReadError> {
        let (header, reader) = Self::open(path, tags)?;
        if header.applied != *applied {
            return Err(Damage::Unreadable("somebody put another snapshot in its place".to_owned()).into());
        }
        Ok((header, reader))
    }

    pub(super) fn open_untagged(path: &Path) -> Result<(SnapshotHeader, Self), ReadError> {
        Self::of(open_file(path, File::options().read(true))?)
    }

    /// Reads the header of an open file.
    pub(super) fn of(file: File) -> Result<(SnapshotHeader, Self), ReadError> {
        let mut input = Hashing { inner: BufReader::new(file), hash: Sha256::new() };
        let (header, header_checksum) = SnapshotHeader::read(&mut input)?;
        Ok((header, Self { input, header_checksum }))
    }

    /// The last bytes of the file, wherever the reader is.
    pub(super) fn ending(&self) -> io::Result<Ending> {
        let file = self.input.inner.get_ref();
        let mut ending = [0; CHECKSUM_BYTES + TAG_BYTES];
        let begin = file.metadata()?.len().checked_sub(ending.len() as u64).ok_or(io::ErrorKind::UnexpectedEof)?;
        file.read_exact_at(&mut ending, begin)?;
        let (checksum, tag) = ending.split_at(CHECKSUM_BYTES);
        let whole = "the ending consists of both";
        Ok(Ending { checksum: checksum.try_into().expect(whole), tag: tag.try_into().expect(whole) })
    }

    /// Reads all entries and calls `entry` with each. Returns the state and the checksum of the file, once both are checked.
    pub(super) fn read_to_end(
        mut self,
        header: &SnapshotHeader,
        tags: &StoreTags,
        mut entry: impl FnMut(&[u8], &[u8]) -> Result<(), ReadError>,
    ) -> Result<(Image, [u8; CHECKSUM_BYTES]), ReadError> {
        let mut builder = ImageBuilder::new(tags, header.applied.key_version)?;
        while let Some((key, value)) = self.next()? {
            builder.add(&key, &value)?;
            entry(&key, &value)?;
        }
        let checksum = self.check()?;
        let image = builder.finish(header.applied.clone(), header.membership.clone())?;
        header.check(&image)?;
        image.check_level("this snapshot")?;
        Ok((image, checksum))
    }

    fn next(&mut self) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
        let (key, value) = (self.number()?, self.number()?);
        if (key, value) == (0, 0) {
            return Ok(None);
        }
        Ok(Some((self.part(key)?, self.part(value)?)))
    }

    fn check(mut self) -> Result<[u8; CHECKSUM_BYTES], ReadError> {
        let found = self.input.hash.clone().finalize();
        let mut noted = [0; CHECKSUM_BYTES];
        self.input.inner.read_exact(&mut noted)?;
        if found[..] != noted {
            return Err(Damage::Unreadable("its checksum does not match".to_owned()).into());
        }
        let mut rest = Vec::new();
        // One byte more than a tag shows whether anything follows it.
        self.input.inner.take(TAG_BYTES as u64 + 1).read_to_end(&mut rest)?;
        match rest.len().cmp(&TAG_BYTES) {
            Ordering::Less => Err(Damage::Unreadable("it ends too early".to_owned()).into()),
            Ordering::Equal => Ok(noted),
            Ordering::Greater => Err(Damage::Unreadable("it goes on after its end".to_owned()).into()),
        }
    }

    fn number(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.input.read_exact(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn part(&mut self, length: u32) -> io::Result<Vec<u8>> {
        let length = length as usize;
        if length > MAX_PART_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a key or value is longer than any that Keyraft writes",
            ));
        }
        let mut part = vec![0; length];
        self.input.read_exact(&mut part)?;
        Ok(part)
    }
}

/// Hashes all bytes that pass through it.
pub(super) struct Hashing<T> {
    pub inner: T,
    pub hash: Sha256,
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.hash.update(&bytes[..read]);
        Ok(read)
    }
}
