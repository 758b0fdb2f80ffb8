//! Rotated audit files: `audit.log` is moved to `audit.log.000000000042`, 42 being the number of its first line.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::telemetry::audit::chain;

/// The longest line that is one: several times what the longest path and the names of all nodes take.
pub const MAX_LINE: u64 = 64 * 1024;
/// Digits of a number in a name: sorted by name, files are sorted by their records.
const DIGITS: usize = 12;

/// The first line of an audit file.
pub struct FirstLine {
    /// Its number.
    pub number: u64,
    /// When it was written: Unix nanoseconds.
    pub time_ns: i64,
}

/// The first line of a file, after what may be torn before it; none when its first kilobytes have none that is whole.
///
/// # Errors
/// The file cannot be read.
pub fn first_line(path: &Path) -> io::Result<Option<FirstLine>> {
    let (mut from, mut line) = (BufReader::new(File::open(path)?.take(MAX_LINE)), Vec::new());
    while from.read_until(b'\n', &mut line)? > 0 {
        if let Some(parsed) = line.strip_suffix(b"\n").and_then(chain::parse) {
            return Ok(Some(FirstLine { number: parsed.chain.number, time_ns: unix_ns(&parsed.time) }));
        }
        line.clear();
    }
    Ok(None)
}

/// Moves a file whose first line has this number out of the way.
///
/// # Errors
/// It cannot be moved.
pub fn move_away(path: &Path, first: u64) -> io::Result<()> {
    let mut target = with_suffix(path, &format!("{first:0DIGITS$}"));
    // Never over another file: a chain that was begun anew repeats its numbers.
    for again in 1.. {
        if !target.try_exists()? {
            break;
        }
        target = with_suffix(path, &format!("{first:0DIGITS$}-{again}"));
    }
    fs::rename(path, target)
}

/// The rotated files beyond the newest `keep`.
pub fn beyond(path: &Path, keep: usize) -> Vec<PathBuf> {
    let mut rotated = rotated(path);
    rotated.sort();
    rotated.truncate(rotated.len().saturating_sub(keep));
    rotated
}

fn rotated(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let prefix = with_suffix(path, "");
    let is_one = |file: &PathBuf| {
        let (name, prefix) = (file.file_name()?.to_str()?, prefix.file_name()?.to_str()?);
        let digits = name.strip_prefix(prefix)?.get(..DIGITS)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(())
    };
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|file| is_one(file).is_some()).collect()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn unix_ns(time: &str) -> i64 {
    let parsed = OffsetDateTime::parse(time, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp_nanos);
    parsed.and_then(|ns| i64::try_from(ns).ok()).unwrap_or_default()
}
