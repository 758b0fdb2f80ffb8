//! The audit files that a check is given, in the order of their lines.

use std::io;
use std::path::PathBuf;

use super::rotation;

/// Sorts audit files by the numbers of their first lines.
///
/// # Errors
/// One of them cannot be read.
pub fn in_order(files: &[PathBuf]) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let numbered = files.iter().map(|file| match rotation::first_line(file) {
        // A file without a first line has a fault that its check tells; it comes last.
        Ok(first) => Ok((first.map_or(u64::MAX, |first| first.number), file.clone())),
        Err(error) => Err((file.clone(), error)),
    });
    let mut numbered = numbered.collect::<Result<Vec<_>, _>>()?;
    numbered.sort();
    Ok(numbered.into_iter().map(|(_, file)| file).collect())
}
