//! The end of an audit trail that no checkpoint covers yet, and the limits that every node keeps there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::report::{FindingKind, Unsigned};
use crate::clock;
use crate::telemetry::audit::chain::ChainLine;
use crate::telemetry::audit::file::CHECKPOINT_AT_ONCE;

/// A node signs within five seconds. A slow disk or a long request may add to that.
const AGE_MOST: Duration = Duration::from_secs(30);
/// A node signs at once after this many lines, which includes what it writes together with the last one.
const LINES_MOST: u64 = CHECKPOINT_AT_ONCE + 1_000;

/// The lines after the last checkpoint.
pub struct UnsignedEnd {
    /// The file and line of the first one.
    pub place: (PathBuf, u64),
    lines: u64,
    oldest_ns: i64,
    newest_ns: i64,
}

impl UnsignedEnd {
    /// Makes an end without lines, which begins at this file and line.
    pub fn new(place: (PathBuf, u64)) -> Self {
        Self { place, lines: 0, oldest_ns: i64::MAX, newest_ns: i64::MIN }
    }

    /// Adds a line. A line without a time counts as infinitely old.
    pub fn add(&mut self, line: &ChainLine) {
        let took = line.response.as_ref().map_or(0, |response| response.time);
        let began_ns = clock::from_rfc3339(&line.time).unwrap_or(i64::MIN);
        // The time of a record is when the request arrived, but the node writes the line after the answer.
        let written_ns = began_ns.saturating_add(i64::try_from(took).unwrap_or(i64::MAX));
        self.lines += 1;
        self.oldest_ns = self.oldest_ns.min(written_ns);
        self.newest_ns = self.newest_ns.max(written_ns);
    }

    /// Returns what is wrong with the end, if no node would leave it so. `signed` says whether a checkpoint precedes
    /// it. Without `now_ns` its age does not matter, because the node crashed or this is an old copy.
    pub fn fault(&self, signed: bool, last_file: &Path, now_ns: Option<i64>) -> Option<FindingKind> {
        let seconds = |from: i64, to: i64| from.abs_diff(to) / 1_000_000_000;
        let span = seconds(self.oldest_ns, self.newest_ns);
        let age = now_ns.map_or(0, |now| seconds(self.oldest_ns, now));
        let why = if !signed {
            Unsigned::Everything
        } else if self.place.0 != last_file {
            Unsigned::EarlierFile
        } else if self.lines > LINES_MOST {
            Unsigned::Lines
        } else if span > AGE_MOST.as_secs() {
            Unsigned::Span { seconds: span }
        } else if age > AGE_MOST.as_secs() {
            Unsigned::Age { seconds: age }
        } else {
            return None;
        };
        Some(FindingKind::Unsigned { lines: self.lines, why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const NOW: i64 = 1_000_000 * SECOND;

    fn line(written_ns: i64, took_ns: i64) -> ChainLine {
        let (time, prev) = (clock::rfc3339(Some(written_ns - took_ns)), "0".repeat(64));
        let text = format!(
            r#"{{"time":"{time}","response":{{"code":200,"time":{took_ns}}},"chain":{{"number":1,"prev":"{prev}"}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn why(lines: &[ChainLine], signed: bool, last_file: &str, now_ns: Option<i64>) -> Option<Unsigned> {
        let mut tail = UnsignedEnd::new(("audit.log".into(), 7));
        lines.iter().for_each(|line| tail.add(line));
        tail.fault(signed, Path::new(last_file), now_ns).map(|what| match what {
            FindingKind::Unsigned { lines: count, why } if count == lines.len() as u64 => why,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn an_unsigned_end_has_limits_of_time_lines_and_files() {
        let live = [line(NOW - 4 * SECOND, 0), line(NOW - SECOND, 60 * SECOND), line(NOW, 0)];
        assert_eq!(why(&live, true, "audit.log", Some(NOW)), None);
        assert_eq!(why(&live, false, "audit.log", Some(NOW)), Some(Unsigned::Everything));
        assert_eq!(why(&live, true, "audit.log.2", Some(NOW)), Some(Unsigned::EarlierFile));
        let later = NOW + 60 * SECOND;
        assert_eq!(why(&live, true, "audit.log", Some(later)), Some(Unsigned::Age { seconds: 64 }));
        assert_eq!(why(&live, true, "audit.log", None), None, "a crash left it so");
        assert_eq!(why(&live, true, "audit.log", Some(NOW - 60 * SECOND)), Some(Unsigned::Age { seconds: 56 }));
        let long = [line(NOW - 31 * SECOND, 0), line(NOW, 0)];
        assert_eq!(why(&long, true, "audit.log", None), Some(Unsigned::Span { seconds: 31 }));
        let mut timeless = line(NOW, 0);
        timeless.time.clear();
        assert!(matches!(why(&[timeless], true, "audit.log", Some(NOW)), Some(Unsigned::Age { .. })));
        let many: Vec<_> = (0..=LINES_MOST).map(|_| line(NOW, 0)).collect();
        assert_eq!(why(&many, true, "audit.log", Some(NOW)), Some(Unsigned::Lines));
    }
}
