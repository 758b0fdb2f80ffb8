//! Rotates audit files: it moves `audit.log` to `audit.log.000000000042`, where 42 is the number of its first line.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::telemetry::audit::chain;

/// The longest line of an audit file: several times what the longest path and the names of all nodes take.
pub const MAX_LINE: u64 = 64 * 1024;
/// The digits of the number in a name. They make the order of names the order of records.
const DIGITS: usize = 12;

/// The first line of an audit file.
pub struct FirstLine {
    /// Its number.
    pub number: u64,
    /// When it was written, as Unix time in nanoseconds.
    pub time_ns: i64,
}

/// Returns the first complete line of a file, after torn bytes if there are any. Returns `None` if the first kilobytes
/// hold no complete line.
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

/// Moves a file to the name for the number of its first line.
///
/// # Errors
/// The file cannot be moved.
pub fn move_away(path: &Path, first: u64) -> io::Result<()> {
    let mut target = with_suffix(path, &format!("{first:0DIGITS$}"));
    // Never move it over another file: a chain that began anew repeats its numbers.
    for again in 1.. {
        if !target.try_exists()? {
            break;
        }
        target = with_suffix(path, &format!("{first:0DIGITS$}-{again}"));
    }
    fs::rename(path, target)
}

/// Returns the rotated files except the newest `keep`.
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
