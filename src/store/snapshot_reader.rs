//! Reading a snapshot file: its header, its entries, and whether all of it is what a node wrote.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::SnapshotHeader;
use super::image::{Damage, Image, ImageBuilder};
use super::read_error::ReadError;

/// Where a later version puts a tag.
pub(super) const NO_TAG: [u8; 32] = [0; 32];
/// More than any key or value has. The largest values are policies, of at most 64 KiB. A page of remembered commands has
/// at most 18 KiB, and a record 1 KiB.
pub(super) const MAX_PART_BYTES: usize = 1024 * 1024;

/// Reads a whole snapshot and calls `entry` with each entry. Returns the header and the state, once both are checked.
pub(super) fn read_image(
    path: &Path,
    mut entry: impl FnMut(&[u8], &[u8]) -> Result<(), ReadError>,
) -> Result<(SnapshotHeader, Image), ReadError> {
    let (header, mut reader) = SnapshotReader::open(path)?;
    let mut builder = ImageBuilder::default();
    while let Some((key, value)) = reader.next()? {
        builder.add(&key, &value)?;
        entry(&key, &value)?;
    }
    reader.check()?;
    let image = builder.finish(header.applied.clone(), header.membership.clone())?;
    header.check(&image)?;
    image.check_level("this snapshot")?;
    Ok((header, image))
}

/// The value of one entry. It is not checked, because the reader stops there.
pub(super) fn read_entry(path: &Path, wanted: &[u8]) -> Result<Option<Bytes>, ReadError> {
    let (_, mut reader) = SnapshotReader::open(path)?;
    while let Some((key, value)) = reader.next()? {
        if key == wanted {
            return Ok(Some(value.into()));
        }
    }
    Ok(None)
}

pub(super) struct SnapshotReader {
    input: Hashing<BufReader<File>>,
}

impl SnapshotReader {
    pub(super) fn open(path: &Path) -> Result<(SnapshotHeader, Self), ReadError> {
        let file = File::open(path)?;
        let mut reader = Self { input: Hashing { inner: BufReader::new(file), hash: Sha256::new() } };
        let header = SnapshotHeader::read(&mut reader.input)?;
        Ok((header, reader))
    }

    fn next(&mut self) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
        let (key, value) = (self.number()?, self.number()?);
        if (key, value) == (0, 0) {
            return Ok(None);
        }
        Ok(Some((self.part(key)?, self.part(value)?)))
    }

    fn check(mut self) -> Result<(), ReadError> {
        let found = self.input.hash.clone().finalize();
        let mut noted = [0; 32];
        self.input.inner.read_exact(&mut noted)?;
        if found[..] != noted {
            return Err(Damage::Unreadable("its checksum does not match".to_owned()).into());
        }
        let mut rest = Vec::new();
        // One byte more than a tag shows whether anything follows it.
        self.input.inner.take(NO_TAG.len() as u64 + 1).read_to_end(&mut rest)?;
        match rest.len().cmp(&NO_TAG.len()) {
            Ordering::Less => Err(Damage::Unreadable("it ends too early".to_owned()).into()),
            Ordering::Equal => Ok(()),
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
