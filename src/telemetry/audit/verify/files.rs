//! Sorts the audit files that a user names by the numbers of their lines, and reads files that still grow.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::telemetry::audit::file::rotation;

/// The pause between two reads of a file that ends in the middle of a line, and the number of these reads.
const PAUSE: Duration = Duration::from_millis(20);
const READS: u32 = 10;

/// Audit files to verify.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AuditFiles {
    /// Each file once, sorted by the numbers of their first lines.
    pub ordered: Vec<PathBuf>,
    /// Files that the user named again, by the same name or another.
    pub repeated: Vec<PathBuf>,
}

/// Sorts audit files by the numbers of their first lines.
///
/// # Errors
/// One of the files cannot be read.
pub fn in_order(files: &[PathBuf]) -> Result<AuditFiles, (PathBuf, io::Error)> {
    let (mut numbered, mut repeated, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for file in files {
        let failed = |error| (file.clone(), error);
        let metadata = fs::metadata(file).map_err(failed)?;
        if !seen.insert((metadata.dev(), metadata.ino())) {
            repeated.push(file.clone());
            continue;
        }
        let first = rotation::first_line(file).map_err(failed)?;
        // A file without a first line comes last. Verifying it reports the fault.
        numbered.push((first.map_or(u64::MAX, |first| first.number), file.clone()));
    }
    numbered.sort();
    Ok(AuditFiles { ordered: numbered.into_iter().map(|(_, file)| file).collect(), repeated })
}

/// A file that a node may be writing to. It waits a moment for the end of an incomplete line.
pub struct GrowingFile {
    file: File,
    ended: bool,
    looks: u32,
}

impl GrowingFile {
    /// Opens the file at its beginning.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, ended: true, looks: READS })
    }
}

impl Read for GrowingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.file.read(buffer)?;
            if let Some(last) = buffer[..count].last() {
                self.ended = *last == b'\n';
            }
            if count > 0 || self.ended || self.looks == 0 {
                return Ok(count);
            }
            self.looks -= 1;
            thread::park_timeout(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_reader_waits_for_the_end_of_a_line_that_a_node_is_writing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = fs::OpenOptions::new().append(true).open(file.path()).unwrap();
        writer.write_all(b"first\nsec").unwrap();
        let mut reader = GrowingFile::open(file.path()).unwrap();
        let mut buffer = [0; 64];
        assert_eq!(reader.read(&mut buffer).unwrap(), 9);
        writer.write_all(b"ond\n").unwrap();
        assert_eq!((reader.read(&mut buffer).unwrap(), reader.read(&mut buffer).unwrap()), (4, 0));
        writer.write_all(b"torn").unwrap();
        assert_eq!((reader.read(&mut buffer).unwrap(), reader.read(&mut buffer).unwrap()), (4, 0));
    }
}
