//! Checks that this machine's clocks run, and that nobody set the wall clock back.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::report::CheckReport;
use crate::clock;
use crate::config::Config;

/// A file may be newer than the clock by this much, because file systems may lie on other machines.
const TOLERANCE_S: i64 = 60;
/// How many folders deep the check looks for the newest file: `keystore/sled-1/db`.
const DEPTH: usize = 3;

/// Checks the wall clock against the files, and that the clock of leases runs.
pub(super) fn check(config: &Config, report: &mut CheckReport<'_>) {
    if clock::boot_ns() <= 0 {
        report.problem("consistency.lease", "this machine lacks CLOCK_BOOTTIME, by which the node measures leases");
    }
    let now_s = clock::unix_ns() / 1_000_000_000;
    let own = modified(report.file).map(|modified_s| (modified_s, report.file.to_owned()));
    let newest = newest(&config.cluster.data, DEPTH).into_iter().chain(own).max();
    if let Some((modified_s, path)) = newest
        && modified_s > now_s.saturating_add(TOLERANCE_S)
    {
        let date = |unix_s: i64| clock::rfc3339(Some(unix_s.saturating_mul(1_000_000_000)));
        report.warn(
            "cluster.data",
            format!(
                "this machine's clock says {}, but {} was written at {}: the clock was set back, and the node \
                 judges certificates and dates by it; check the time synchronisation",
                date(now_s),
                path.display(),
                date(modified_s)
            ),
        );
    }
}

/// Returns the newest file below a folder, and when it was written.
fn newest(folder: &Path, depth: usize) -> Option<(i64, PathBuf)> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let each = entries.filter_map(|entry| {
        let path = entry.path();
        let below = if depth > 1 && path.is_dir() { newest(&path, depth - 1) } else { None };
        below.max(modified(&path).map(|modified_s| (modified_s, path)))
    });
    each.max()
}

fn modified(path: &Path) -> Option<i64> {
    fs::metadata(path).ok().map(|found| found.mtime())
}
