//! Verification finds every change to an audit file, and does not mistake the traces of a crash for one.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::chain;
use super::file::AuditFile;
use super::verify::files::in_order;
use super::verify::report::{AuditFinding, AuditReport, FindingKind, Unsigned};
use super::verify::{AuditVerifier, ExpectedTrail};
use crate::config::AuditFileConfig;
use crate::crypto::{SigningKey, VerifyingKey};

/// A node's audit file, in a temporary folder.
pub(super) struct TestTrail {
    node: &'static str,
    folder: TempDir,
    pub(super) key: Arc<SigningKey>,
    pub(super) config: AuditFileConfig,
}

impl TestTrail {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let config = AuditFileConfig { path, max_size: 1 << 30, max_age: Duration::from_secs(3600), keep: 100 };
        Self { node: "node-1", folder, key: Arc::new(SigningKey::random()), config }
    }

    pub(super) fn path(&self) -> &Path {
        &self.config.path
    }

    /// Begins to write as a node does.
    pub(super) fn open(&self) -> AuditFile {
        AuditFile::new(self.config.clone(), self.node, self.folder.path().into(), Some(Arc::clone(&self.key)))
    }

    /// Writes as a node does, and stops.
    fn run(&self, records: std::ops::Range<u32>) {
        let mut file = self.open();
        records.for_each(|n| write(&mut file, n));
        file.close();
    }

    pub(super) fn text(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| !path.to_str().unwrap().contains("audit.head")).collect()
    }

    /// Verifies all files, in the order of a shell.
    fn verify(&self, keys: &[VerifyingKey]) -> AuditReport {
        let mut verifier = AuditVerifier::new(ExpectedTrail { keys: keys.to_vec(), ..ExpectedTrail::default() });
        for file in in_order(&self.files()).unwrap().ordered {
            verifier.file(&file, &mut |_| {}).unwrap();
        }
        verifier.finish()
    }

    #[track_caller]
    pub(super) fn assert_whole(&self) -> AuditReport {
        let report = self.verify(&[self.key.verifying_key()]);
        assert_eq!((&report.faults, report.first, report.unsigned()), (&vec![], Some(1), 0));
        report
    }
}

pub(super) fn write(file: &mut AuditFile, n: u32) {
    file.write([format!(r#"{{"time":"2026-11-24T00:00:00Z","request":{{"path":"/{n}"}}}}"#).as_str()].into_iter())
        .unwrap();
}

/// Verifies one file with these bytes.
fn check(bytes: &[u8], key: VerifyingKey, whole: bool) -> AuditReport {
    let expected = ExpectedTrail { keys: vec![key], whole, ..ExpectedTrail::default() };
    let mut verifier = AuditVerifier::new(expected);
    verifier.lines(Path::new("audit.log"), bytes, &mut |_| {}).unwrap();
    verifier.finish()
}

/// Returns the reasons why the report objects to an unsigned end.
fn unsigned(report: &AuditReport) -> Vec<Unsigned> {
    let why = |fault: &AuditFinding| if let FindingKind::Unsigned { why, .. } = fault.what { Some(why) } else { None };
    report.faults.iter().filter_map(why).collect()
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}

#[test]
fn every_flipped_bit_is_found() {
    let trail = TestTrail::new();
    trail.run(0..2);
    trail.assert_whole();
    let (mut bytes, key) = (trail.text(), trail.key.verifying_key());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let report = check(&bytes, key, true);
            assert_ne!(report.faults, [], "bit {bit} of byte {at}");
            bytes[at] ^= 1 << bit;
        }
    }
}

#[test]
fn verification_finds_removed_repeated_and_swapped_lines() {
    let trail = TestTrail::new();
    trail.run(0..6);
    let (bytes, key) = (trail.text(), trail.key.verifying_key());
    let whole = lines(&bytes);
    let faults = |lines: &[&[u8]]| check(&lines.concat(), key, true).faults;
    assert_eq!(faults(&whole), []);
    for at in 0..whole.len() - 1 {
        let mut removed = whole.clone();
        removed.remove(at);
        let found = faults(&removed);
        assert_eq!(found[0].line, at as u64 + 1, "{found:?}");
        let mut repeated = whole.clone();
        repeated.insert(at, whole[at]);
        assert_eq!(faults(&repeated)[0].line, at as u64 + 2);
        let mut swapped = whole.clone();
        swapped.swap(at, at + 1);
        assert_eq!(faults(&swapped)[0].line, at as u64 + 1);
        let mut inserted = whole.clone();
        inserted.insert(at, b"{\"time\":\"\",\"request\":{}}\n");
        assert_eq!(faults(&inserted)[0].what, FindingKind::NoLine);
    }
}

#[test]
fn a_removed_last_checkpoint_shows_by_age_and_at_the_next_start() {
    let trail = TestTrail::new();
    trail.run(0..6);
    let (bytes, key) = (trail.text(), trail.key.verifying_key());
    let whole = lines(&bytes);
    let cut = whole[..5].concat();
    let report = check(&cut, key, true);
    assert!(matches!(unsigned(&report)[..], [Unsigned::Age { .. }]) && report.unsigned() == 3, "{report:?}");
    assert_eq!(unsigned(&check(whole[0], key, true)), [Unsigned::Everything]);
    // The node knows how far it had written, and records the difference.
    fs::write(trail.path(), cut).unwrap();
    trail.run(6..8);
    let report = trail.verify(&[key]);
    assert!(matches!(report.faults[..], [ref fault] if matches!(fault.what, FindingKind::Broken { .. })), "{report:?}");
}

#[test]
fn verification_finds_a_chain_that_was_rewritten_without_the_key() {
    let trail = TestTrail::new();
    trail.run(0..6);
    let (bytes, key) = (trail.text(), trail.key.verifying_key());
    let whole = lines(&bytes);
    // Begin with the first record, after the `opened` line and its checkpoint.
    for signed in [0, 2] {
        let mut forged = String::from_utf8(whole[..signed].concat()).unwrap();
        let before = signed.checked_sub(1).map(|at| whole[at].strip_suffix(b"\n").unwrap());
        let mut link = before.map_or(chain::START, |line| chain::parse(line).unwrap().link(line));
        for n in 0..5 {
            let start = forged.len();
            forged.push_str(&format!(r#"{{"time":"2026-11-24T00:00:00Z","request":{{"path":"/forged/{n}"}}}}"#));
            link.append(&mut forged, start);
        }
        let found = unsigned(&check(forged.as_bytes(), key, true));
        assert!(matches!(found[..], [Unsigned::Everything | Unsigned::Age { .. }]), "{found:?}");
    }
}

#[test]
fn the_head_note_proves_where_the_trail_ends() {
    let trail = TestTrail::new();
    trail.run(0..6);
    let (bytes, note) = (trail.text(), trail.folder.path().join("audit.head"));
    let whole = lines(&bytes);
    let faults = |bytes: &[u8]| {
        let mut verifier = AuditVerifier::new(ExpectedTrail { whole: true, ..ExpectedTrail::default() });
        verifier.expect_head(&note).unwrap();
        verifier.lines(Path::new("audit.log"), bytes, &mut |_| {}).unwrap();
        verifier.finish().faults.into_iter().map(|fault| fault.what).collect::<Vec<_>>()
    };
    assert_eq!(faults(&bytes), []);
    // The trail ends with a checkpoint, so that no other fault shows.
    assert_eq!(faults(&whole[..2].concat()), [FindingKind::Cut { noted: 9, last: 2 }]);
    let other = TestTrail::new();
    other.run(0..7);
    assert_eq!(faults(&other.text()), [FindingKind::NotNoted { noted: 9 }]);
    fs::write(&note, "{}").unwrap();
    assert!(AuditVerifier::new(ExpectedTrail::default()).expect_head(&note).is_err());
}

#[test]
fn verification_finds_a_removed_beginning_and_allows_rotated_files() {
    let mut trail = TestTrail::new();
    trail.run(0..3);
    // The `opened` line of this file says that it continues a trail.
    trail.run(3..6);
    let (bytes, key) = (trail.text(), trail.key.verifying_key());
    let whole = lines(&bytes);
    for removed in 1..whole.len() {
        let report = check(&whole[removed..].concat(), key, false);
        let what: Vec<_> = report.faults.iter().map(|fault| fault.what.clone()).collect();
        assert_eq!(what, [FindingKind::NoHead { number: removed as u64 + 1 }], "{removed} lines");
    }
    for whole in [false, true] {
        assert_eq!(check(b"", key, whole).faults[0].what, FindingKind::Empty);
    }
    // Somebody moved the file, and the node began another. That may be all that is left.
    fs::remove_file(trail.path()).unwrap();
    trail.run(6..8);
    assert_eq!(trail.verify(&[key]).faults, []);
    trail.config.max_size = 1;
    trail.run(8..9);
    let mut files = in_order(&trail.files()).unwrap().ordered;
    fs::remove_file(files.remove(0)).unwrap();
    assert_eq!(trail.verify(&[key]).faults, []);
    // Somebody emptied the last file.
    fs::write(files.pop().unwrap(), "").unwrap();
    assert!(trail.verify(&[key]).faults.iter().any(|fault| fault.what == FindingKind::Empty));
    // Only a torn line comes before the first line.
    fs::remove_file(trail.path()).unwrap();
    fs::write(trail.path(), "torn").unwrap();
    trail.run(9..10);
    assert_eq!(check(&trail.text(), key, false).faults, []);
}

#[test]
fn reload_refuses_another_key() {
    let (trail, forged) = (TestTrail::new(), TestTrail::new());
    trail.run(0..2);
    forged.run(0..2);
    let report = forged.verify(&[trail.key.verifying_key()]);
    let (forger, keys) =
        (forged.key.verifying_key(), |fault: &&AuditFinding| matches!(fault.what, FindingKind::Key(_)));
    assert!(report.faults.iter().filter(keys).all(|fault| fault.what == FindingKind::Key(forger)), "{report:?}");
    assert_eq!((unsigned(&report), report.checkpoints), (vec![Unsigned::Everything], 0));
    assert_eq!(forged.verify(&[]).faults, [], "without an expected key, the forgery does not show");
    let both = [trail.text(), forged.text()].concat();
    assert_ne!(check(&both, trail.key.verifying_key(), true).faults, []);
}

#[test]
fn the_chain_goes_on_over_restarts_rotations_and_moves() {
    let mut trail = TestTrail::new();
    trail.run(0..3);
    trail.run(3..5);
    trail.config.max_size = 2000;
    trail.run(5..30);
    let report = trail.assert_whole();
    let files = trail.files().len();
    assert!(files > 3, "{:?}", trail.files());
    let mut file = trail.open();
    write(&mut file, 30);
    fs::rename(trail.path(), trail.folder.path().join("audit.moved")).unwrap();
    write(&mut file, 31);
    file.close();
    let moved = trail.assert_whole();
    assert!(matches!(moved.notes[..], [ref note] if matches!(note.what, FindingKind::Begun { .. })), "{moved:?}");
    assert!(moved.lines > report.lines);
    fs::remove_file(trail.files().into_iter().find(|path| path.ends_with("audit.moved")).unwrap()).unwrap();
    let report = trail.verify(&[]);
    assert!(
        matches!(report.faults[..], [ref fault] if matches!(fault.what, FindingKind::Removed { .. })),
        "{report:?}"
    );
}

#[test]
fn rotation_keeps_the_configured_number_of_files() {
    let mut trail = TestTrail::new();
    (trail.config.max_size, trail.config.keep) = (1000, 2);
    trail.run(0..30);
    assert_eq!(trail.files().len(), 3);
    let report = trail.verify(&[trail.key.verifying_key()]);
    assert_eq!(report.faults, []);
    assert!(report.first.unwrap() > 1);
    let mut whole = AuditVerifier::new(ExpectedTrail { whole: true, ..ExpectedTrail::default() });
    whole.file(&in_order(&trail.files()).unwrap().ordered[0], &mut |_| {}).unwrap();
    assert!(matches!(whole.finish().faults[0].what, FindingKind::NoBeginning { .. }));
}

#[test]
fn only_recorded_torn_bytes_are_excused() {
    let trail = TestTrail::new();
    trail.run(0..2);
    for torn in [&b"{\"time\":\"20"[..], b"\0\0\0", b"a\n\nb\n"] {
        fs::OpenOptions::new().append(true).open(trail.path()).unwrap().write_all(torn).unwrap();
        assert_ne!(trail.verify(&[]).faults, [], "nobody recorded it yet");
        trail.run(2..3);
    }
    let report = trail.assert_whole();
    assert!(report.notes.len() == 3 && report.notes.iter().all(|note| matches!(note.what, FindingKind::Torn { .. })));
    let text = trail.text();
    let at = text.iter().position(|byte| *byte == 0).unwrap();
    let mut changed = text.clone();
    changed[at] = 1;
    assert_ne!(check(&changed, trail.key.verifying_key(), true).faults, []);
}

#[test]
fn files_of_two_nodes_are_not_reported_as_tampering() {
    let trails = [TestTrail::new(), TestTrail { node: "node-2", ..TestTrail::new() }];
    trails.iter().for_each(|trail| trail.run(0..3));
    let files = in_order(&trails.each_ref().map(|trail| trail.path().to_owned())).unwrap();
    for keys in [vec![], trails.iter().map(|trail| trail.key.verifying_key()).collect()] {
        let mut verifier = AuditVerifier::new(ExpectedTrail { keys: keys.clone(), ..ExpectedTrail::default() });
        files.ordered.iter().for_each(|file| verifier.file(file, &mut |_| {}).unwrap());
        let what: Vec<_> = verifier.finish().faults.into_iter().map(|fault| fault.what).collect();
        assert!(matches!(what[0], FindingKind::OtherNode { .. }), "{what:?}");
        let keys_too = what[1..].iter().all(|what| matches!(what, FindingKind::Key(_) | FindingKind::Unsigned { .. }));
        assert!(keys_too && (keys.is_empty() || what.len() == 1), "{what:?}");
    }
}

#[test]
fn an_overlong_line_is_invalid_and_may_be_torn() {
    let trail = TestTrail::new();
    trail.run(0..2);
    let long = vec![b'x'; 200_000];
    let mut inserted = trail.text();
    inserted.splice(0..0, [&long[..], b"\n"].concat());
    let report = check(&inserted, trail.key.verifying_key(), true);
    assert!(
        matches!(report.faults[..], [ref fault] if (fault.line, &fault.what) == (1, &FindingKind::NoLine)),
        "{report:?}"
    );
    fs::OpenOptions::new().append(true).open(trail.path()).unwrap().write_all(&long).unwrap();
    assert!(matches!(trail.verify(&[]).faults[..], [ref fault] if fault.what == FindingKind::TornEnd));
    trail.run(2..3);
    assert!(matches!(trail.assert_whole().notes[..], [ref note] if note.what == FindingKind::Torn { bytes: 200_000 }));
}

#[test]
fn a_file_that_is_given_twice_is_checked_once() {
    let trail = TestTrail::new();
    trail.run(0..2);
    let other = trail.folder.path().join("audit.link");
    std::os::unix::fs::symlink(trail.path(), &other).unwrap();
    let files = in_order(&[trail.path().to_owned(), other.clone(), trail.path().to_owned()]).unwrap();
    assert_eq!((files.ordered, files.repeated), (vec![trail.path().to_owned()], vec![other, trail.path().to_owned()]));
}

#[test]
fn findings_do_not_fill_the_memory() {
    let line = format!(r#"{{"chain":{{"number":7,"prev":"{}"}}}}"#, "0".repeat(64)) + "\n";
    let report = check(line.repeat(20_000).as_bytes(), SigningKey::random().verifying_key(), true);
    assert_eq!((report.faults.len(), report.fault_count()), (10_000, 20_001));
}

#[test]
fn a_line_without_its_newline_counts() {
    let trail = TestTrail::new();
    trail.run(0..2);
    let mut bytes = trail.text();
    bytes.pop();
    fs::write(trail.path(), bytes).unwrap();
    trail.run(2..4);
    assert_eq!(trail.assert_whole().notes, []);
}

#[test]
fn the_first_checkpoint_covers_records_from_before_the_key() {
    let trail = TestTrail::new();
    let mut file = AuditFile::new(trail.config.clone(), "node-1", trail.folder.path().into(), None);
    write(&mut file, 0);
    assert_eq!(trail.verify(&[]).checkpoints, 0);
    file.sign_with(Arc::clone(&trail.key));
    trail.assert_whole();
    file.close();
}
