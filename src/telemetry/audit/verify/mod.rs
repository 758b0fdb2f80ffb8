//! Verifies audit files offline: every line must be in its place, and every checkpoint must be signed.

pub mod files;
pub mod report;
mod torn_bytes;
mod unsigned_end;

use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use self::files::GrowingFile;
use self::report::{AuditFinding, AuditReport, FindingKind};
use self::torn_bytes::TornBytes;
use self::unsigned_end::UnsignedEnd;
use super::chain::{self, ChainLine, ChainLink};
use super::file::head;
use super::file::rotation::MAX_LINE;
use crate::clock;
use crate::crypto::VerifyingKey;

/// How many faults, and how many notes, it keeps. A hostile file could fill the memory with them.
const FINDINGS_MOST: usize = 10_000;

/// What the user knows of an audit trail beforehand.
#[derive(Debug, Clone, Default)]
pub struct ExpectedTrail {
    /// The keys that may sign. If empty, any one key may sign, and always the same.
    pub keys: Vec<VerifyingKey>,
    /// Whether the files begin with the node's first line.
    pub whole: bool,
    /// Whether the files may end unsigned: after a crash, or in a copy that was made while the node ran.
    pub unfinished: bool,
}

/// Verifies files one after the other, in the order of their lines.
pub struct AuditVerifier {
    expected: ExpectedTrail,
    /// The line that the node has noted, and whether the files hold it.
    head: Option<(ChainLink, bool)>,
    /// Whether it has checked how the files begin.
    begun: bool,
    /// The last line that it read. The next one must follow it.
    last: Option<ChainLink>,
    /// The file and line of `last`.
    place: (PathBuf, u64),
    /// The node that wrote the lines so far, as their last `opened` line says.
    node: String,
    /// The last unexpected key, and the file in which it was reported.
    unexpected_key: Option<(PathBuf, VerifyingKey)>,
    /// The lines after the last checkpoint.
    unsigned_end: Option<UnsignedEnd>,
    torn_bytes: Option<TornBytes>,
    report: AuditReport,
}

impl AuditVerifier {
    /// Makes a verifier that has read no file yet.
    pub fn new(expected: ExpectedTrail) -> Self {
        let last = expected.whole.then_some(chain::START);
        Self {
            expected,
            head: None,
            begun: false,
            last,
            place: (PathBuf::new(), 0),
            node: String::new(),
            unexpected_key: None,
            unsigned_end: None,
            torn_bytes: None,
            report: AuditReport::default(),
        }
    }

    /// Also looks for the line that a node has noted in its `audit.head`.
    ///
    /// # Errors
    /// The note cannot be read.
    pub fn expect_head(&mut self, note: &Path) -> io::Result<()> {
        self.head = Some((head::noted_at(note)?, false));
        Ok(())
    }

    /// Notes that the user named a file twice.
    pub fn repeated(&mut self, path: &Path) {
        self.note((path.to_owned(), 0), FindingKind::Repeated);
    }

    /// Verifies a file. After each line, or piece of a long line, it reports how many bytes that had.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn file(&mut self, path: &Path, progress: &mut dyn FnMut(u64)) -> io::Result<()> {
        self.lines(path, BufReader::with_capacity(1 << 18, GrowingFile::open(path)?), progress)
    }

    pub(super) fn lines(
        &mut self,
        path: &Path,
        mut from: impl BufRead,
        progress: &mut dyn FnMut(u64),
    ) -> io::Result<()> {
        let (mut piece, mut number, mut begins) = (Vec::new(), 0, true);
        // Bytes without a line end within this limit are not a line. Take them in pieces.
        while from.by_ref().take(MAX_LINE).read_until(b'\n', &mut piece)? > 0 {
            number += u64::from(begins);
            progress(piece.len() as u64);
            let (ended, place) = (piece.ends_with(b"\n"), (path.to_owned(), number));
            let line = if begins && (ended || (piece.len() as u64) < MAX_LINE) { chain::parse(&piece) } else { None };
            match line {
                Some(line) => self.line(place, &line, piece.strip_suffix(b"\n").unwrap_or(&piece)),
                None => self.torn_bytes.get_or_insert_with(|| TornBytes::new(place)).add(&piece),
            }
            begins = ended;
            piece.clear();
        }
        match number {
            0 => self.fault((path.to_owned(), 0), FindingKind::Empty),
            _ if begins => {}
            _ => {
                self.torn_bytes = None;
                self.fault((path.to_owned(), number), FindingKind::TornEnd);
            }
        }
        Ok(())
    }

    /// Returns the report, once all files were verified.
    pub fn finish(self) -> AuditReport {
        self.finish_at(clock::unix_ns())
    }

    pub(super) fn finish_at(mut self, now_ns: i64) -> AuditReport {
        self.report_unrecorded_bytes();
        let now_ns = (!self.expected.unfinished).then_some(now_ns);
        if let Some(end) = self.unsigned_end.take()
            && let Some(what) = end.fault(self.report.signed.is_some(), &self.place.0, now_ns)
        {
            self.fault(end.place, what);
        }
        if let (Some((head, false)), Some(last)) = (self.head, self.report.last) {
            let noted = head.number;
            let what = if last < noted { FindingKind::Cut { noted, last } } else { FindingKind::NotNoted { noted } };
            self.fault(self.place.clone(), what);
        }
        self.report
    }

    fn line(&mut self, place: (PathBuf, u64), line: &ChainLine, bytes: &[u8]) {
        match (&line.torn, self.torn_bytes.take()) {
            (Some(torn), Some(torn_bytes)) if torn_bytes.are_recorded_by(torn) => {
                self.note(torn_bytes.place, FindingKind::Torn { bytes: torn.bytes });
            }
            (_, torn_bytes) => {
                self.torn_bytes = torn_bytes;
                self.report_unrecorded_bytes();
            }
        }
        self.begin(&place, line);
        self.link(&place, line);
        if self.sign(&place, line, bytes) {
            self.unsigned_end = None;
        } else {
            self.unsigned_end.get_or_insert_with(|| UnsignedEnd::new(place.clone())).add(line);
        }
        if let Some(broken) = &line.broken {
            let what = FindingKind::Broken { expected: broken.expected, found: broken.found };
            self.fault(place.clone(), what);
        }
        if let Some(opened) = &line.opened {
            self.node.clone_from(&opened.node);
            if matches!(opened.after.as_str(), "moved" | "reload") {
                self.note(place.clone(), FindingKind::Begun { node: opened.node.clone() });
            }
        }
        self.report.lines += 1;
        self.report.first.get_or_insert(line.chain.number);
        self.report.last = Some(line.chain.number);
        let link = line.link(bytes);
        if let Some((head, seen)) = &mut self.head {
            *seen |= *head == link;
        }
        (self.last, self.place) = (Some(link), place);
    }

    /// Checks that the first file begins with the node's first line, or with one that begins a file.
    fn begin(&mut self, place: &(PathBuf, u64), line: &ChainLine) {
        let begins = line.chain.number == 1 || line.opened.as_ref().is_some_and(|opened| opened.begins);
        // The record of torn bytes may come before the line that begins the file.
        if self.begun || (line.torn.is_some() && !begins) {
            return;
        }
        self.begun = true;
        if !begins && !self.expected.whole {
            let number = self.report.first.unwrap_or(line.chain.number);
            self.fault(place.clone(), FindingKind::NoHead { number });
        }
    }

    /// Checks that a line follows the last one. After a fault it goes on from this line.
    fn link(&mut self, place: &(PathBuf, u64), line: &ChainLine) {
        let Some(last) = self.last.or((line.chain.number == 1).then_some(chain::START)) else { return };
        let (expected, found) = (last.number + 1, line.chain.number);
        if last.is_followed_by(&line.chain) {
            return;
        }
        let begins = self.report.first.is_none();
        // A renamed node goes on with its chain. So a new name at the beginning of a chain means another node.
        if let Some(opened) = line.opened.as_ref().filter(|opened| opened.begins && opened.node != self.node)
            && !self.node.is_empty()
        {
            let (node, before) = (opened.node.clone(), self.node.clone());
            return self.fault(place.clone(), FindingKind::OtherNode { node, before });
        }
        match found.cmp(&expected) {
            std::cmp::Ordering::Greater if begins => {
                self.fault(place.clone(), FindingKind::NoBeginning { number: found });
            }
            std::cmp::Ordering::Greater => self.fault(place.clone(), FindingKind::Removed { expected, found }),
            std::cmp::Ordering::Less => self.fault(place.clone(), FindingKind::OutOfPlace { expected, found }),
            std::cmp::Ordering::Equal if begins => self.fault(place.clone(), FindingKind::Altered { number: found }),
            std::cmp::Ordering::Equal => self.fault(self.place.clone(), FindingKind::Altered { number: last.number }),
        }
    }

    /// Verifies a signature, if there is one. Returns whether a key that may sign made a checkpoint here.
    fn sign(&mut self, place: &(PathBuf, u64), line: &ChainLine, bytes: &[u8]) -> bool {
        let key = match line.signed_by(bytes) {
            Ok(None) => return false,
            Ok(Some(key)) => key,
            Err(chain::BadSignature) => {
                self.fault(place.clone(), FindingKind::Signature);
                return false;
            }
        };
        let (wanted, seen) = (&self.expected.keys, &mut self.report.keys);
        let may =
            if wanted.is_empty() { seen.first().is_none_or(|first| *first == key) } else { wanted.contains(&key) };
        if !seen.contains(&key) {
            seen.push(key);
        }
        if may {
            self.report.checkpoints += 1;
            self.report.signed = Some(line.chain.number);
        } else if self.unexpected_key.as_ref() != Some(&(place.0.clone(), key)) {
            self.unexpected_key = Some((place.0.clone(), key));
            self.fault(place.clone(), FindingKind::Key(key));
        }
        may
    }

    /// Reports bytes as a fault if no line has recorded them as torn.
    fn report_unrecorded_bytes(&mut self) {
        if let Some(torn_bytes) = self.torn_bytes.take() {
            self.fault(torn_bytes.place, FindingKind::NoLine);
        }
    }

    fn fault(&mut self, (file, line): (PathBuf, u64), what: FindingKind) {
        if self.report.faults.len() < FINDINGS_MOST {
            self.report.faults.push(AuditFinding { file, line, what });
        } else {
            self.report.more_faults += 1;
        }
    }

    fn note(&mut self, (file, line): (PathBuf, u64), what: FindingKind) {
        if self.report.notes.len() < FINDINGS_MOST {
            self.report.notes.push(AuditFinding { file, line, what });
        }
    }
}
