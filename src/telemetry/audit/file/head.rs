//! A note beside the node's data of how far its audit file goes, so that a file which was cut meanwhile is noticed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::telemetry::audit::chain::ChainLink;

/// The note on one audit file.
pub struct Head {
    note: PathBuf,
    file: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct HeadNote {
    file: PathBuf,
    number: u64,
    hash: String,
}

impl Head {
    /// The note in `folder` on the audit file at `file`.
    pub fn of(folder: &Path, file: &Path) -> Self {
        Self { note: folder.join("audit.head"), file: file.to_owned() }
    }

    /// The line that was the last at the last checkpoint; none when nothing, or another file, is noted.
    pub fn read(&self) -> Option<ChainLink> {
        let noted = HeadNote::read(&self.note).ok()?;
        (noted.file == self.file).then(|| noted.link().ok()).flatten()
    }

    /// Notes the last line, in place of what was noted.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn write(&self, last: ChainLink) -> io::Result<()> {
        let noted = HeadNote { file: self.file.clone(), number: last.number, hash: hex::encode(last.hash) };
        let aside = self.note.with_extension("head.new");
        fs::write(&aside, serde_json::to_vec(&noted)?)?;
        fs::rename(&aside, &self.note)
    }
}

impl HeadNote {
    fn read(note: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(note)?)?)
    }

    fn link(&self) -> io::Result<ChainLink> {
        let mut hash = [0; 32];
        let decoded = hex::decode_to_slice(&self.hash, &mut hash);
        decoded.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(ChainLink { number: self.number, hash })
    }
}

/// The line that a note speaks of, whichever file that is in.
///
/// # Errors
/// The note cannot be read, or is none.
pub fn noted_at(note: &Path) -> io::Result<ChainLink> {
    HeadNote::read(note)?.link()
}
