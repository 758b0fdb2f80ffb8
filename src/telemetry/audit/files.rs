//! The audit files that a check is given, in the order of their lines.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::rotation;

/// Audit files to check.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Each once, by the numbers of their first lines.
    pub ordered: Vec<PathBuf>,
    /// Given again, by this name or another.
    pub repeated: Vec<PathBuf>,
}

/// Sorts audit files by the numbers of their first lines.
///
/// # Errors
/// One of them cannot be read.
pub fn in_order(files: &[PathBuf]) -> Result<Files, (PathBuf, io::Error)> {
    let (mut numbered, mut repeated, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for file in files {
        let failed = |error| (file.clone(), error);
        let metadata = fs::metadata(file).map_err(failed)?;
        if !seen.insert((metadata.dev(), metadata.ino())) {
            repeated.push(file.clone());
            continue;
        }
        let first = rotation::first_line(file).map_err(failed)?;
        // A file without a first line has a fault that its check tells; it comes last.
        numbered.push((first.map_or(u64::MAX, |first| first.number), file.clone()));
    }
    numbered.sort();
    Ok(Files { ordered: numbered.into_iter().map(|(_, file)| file).collect(), repeated })
}
