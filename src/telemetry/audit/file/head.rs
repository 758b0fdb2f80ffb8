//! A note in the data folder of how far the audit file goes, so that the node notices if somebody cuts the file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::telemetry::audit::chain::ChainLink;

/// The note on one audit file.
pub struct HeadFile {
    note: PathBuf,
    file: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct HeadNote {
    file: PathBuf,
    number: u64,
    hash: String,
}

impl HeadFile {
    /// Returns the note in `folder` about the audit file at `file`.
    pub fn of(folder: &Path, file: &Path) -> Self {
        Self { note: folder.join("audit.head"), file: file.to_owned() }
    }

    /// Returns the last line as of the last checkpoint. Returns `None` without a note, or if it is about another file.
    pub fn read(&self) -> Option<ChainLink> {
        let noted = HeadNote::read(&self.note).ok()?;
        (noted.file == self.file).then(|| noted.link().ok()).flatten()
    }

    /// Replaces the note by one about this last line.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn write(&self, last: ChainLink) -> io::Result<()> {
        let noted = HeadNote { file: self.file.clone(), number: last.number, hash: hex::encode(last.hash) };
        let aside = self.note.with_extension("head.new");
        // A pipe there would wait for a reader, and a link lead to a file elsewhere.
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new().write(true).create_new(true).open(&aside)?.write_all(&serde_json::to_vec(&noted)?)?;
        fs::rename(&aside, &self.note)
    }
}

impl HeadNote {
    fn read(note: &Path) -> io::Result<Self> {
        // A pipe would wait for somebody who writes into it.
        if !note.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(serde_json::from_slice(&fs::read(note)?)?)
    }

    fn link(&self) -> io::Result<ChainLink> {
        let mut hash = [0; 32];
        let decoded = hex::decode_to_slice(&self.hash, &mut hash);
        decoded.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(ChainLink { number: self.number, hash })
    }
}

/// Returns the line that a note names, in any file.
///
/// # Errors
/// The note cannot be read or parsed.
pub fn noted_at(note: &Path) -> io::Result<ChainLink> {
    HeadNote::read(note)?.link()
}
