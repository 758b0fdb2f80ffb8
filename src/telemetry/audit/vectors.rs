//! The vectors of an audit file: reading it, and writing it again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::chain::{ChainLink, START};
use super::file::head::{HeadFile, noted_at};
use super::file::lines;
use super::{AuditVerifier, ExpectedTrail, FindingKind};
use crate::crypto::SigningKey;
use crate::policy::Identity;
use crate::telemetry::record::{AuditRecord, NotApplied, write_extension, write_loss, write_record};
use crate::test_vectors::{STORE, TIME_NS, compare, path, read, ring};

/// The bytes of a line that a crash cut off.
const TORN: &str = r#"{"time":"2027-01-15T08:00:0"#;

fn key() -> SigningKey {
    ring().audit_key(&STORE)
}

/// An audit file in the making.
#[derive(Default)]
struct Text {
    text: String,
    lines: i64,
}

impl Text {
    /// A second later with each line.
    fn now(&mut self) -> i64 {
        self.lines += 1;
        TIME_NS + self.lines * 1_000_000_000
    }

    fn line(&mut self, link: &mut ChainLink, line: &str) {
        let start = self.text.len();
        self.text.push_str(line);
        link.append(&mut self.text, start);
    }

    fn record(&mut self, link: &mut ChainLink, number: u64, record: &AuditRecord) {
        let mut line = String::new();
        write_record(&mut line, record);
        write_extension(&mut line, number, record);
        self.line(link, &line);
    }

    fn checkpoint(&mut self, link: &mut ChainLink) {
        let (now, start) = (self.now(), self.text.len());
        self.text.push_str(&lines::checkpoint(now, key().verifying_key()));
        link.append_signed(&mut self.text, start, &key());
    }
}

/// An audit file with every kind of line, and the link of its last line.
fn audit_file() -> (String, ChainLink) {
    let (mut file, mut link) = (Text::default(), START);
    let now = file.now();
    file.line(&mut link, &lines::opened(now, "node-2", "start", true, "0.1.0"));
    let record = AuditRecord {
        time_ns: file.now(),
        ip: Some("192.0.2.7".parse().expect("an address")),
        path: "/v1/key/create/app".to_owned(),
        identity: Some(Identity::from_bytes([0xa1; 32])),
        file_admin: true,
        isolated: false,
        not_applied: None,
        status: 200,
        took: Duration::from_micros(7),
        request_id: 0xfe,
    };
    file.record(&mut link, 1, &record);
    let names = vec!["node-3".to_owned(), "a \"quoted\" name".to_owned()];
    let revoked = AuditRecord {
        time_ns: file.now(),
        ip: None,
        path: "/v1/key/delete/\u{1b}[31m\u{2028}\u{e4}".to_owned(),
        identity: None,
        not_applied: Some(Box::new(NotApplied(names))),
        isolated: true,
        status: 401,
        ..record
    };
    file.record(&mut link, 2, &revoked);
    let (now, mut loss) = (file.now(), String::new());
    write_loss(&mut loss, now, 12);
    file.line(&mut link, &loss);
    file.checkpoint(&mut link);
    file.text.push_str(TORN);
    file.text.push('\n');
    let now = file.now();
    file.line(&mut link, &lines::torn(now, TORN.as_bytes()));
    let (now, expected, found) = (file.now(), link.number + 4, link.number - 1);
    file.line(&mut link, &lines::broken(now, expected, found));
    let now = file.now();
    file.line(&mut link, &lines::opened(now, "node-2", "start", false, "0.1.0"));
    file.checkpoint(&mut link);
    (file.text, link)
}

#[test]
fn the_vectors_of_an_audit_file_are_what_this_version_writes() {
    let (text, last) = audit_file();
    compare("audit.log", &text);
    let folder = tempfile::tempdir().expect("a folder");
    HeadFile::of(folder.path(), Path::new("/var/log/keyraft/audit.log")).write(last).expect("room");
    compare("audit.head", &fs::read_to_string(folder.path().join("audit.head")).expect("the note is there"));
}

#[test]
fn the_vector_of_an_audit_file_can_be_verified() {
    let expected = ExpectedTrail { keys: vec![key().verifying_key()], whole: true, ..ExpectedTrail::default() };
    let mut verifier = AuditVerifier::new(expected);
    verifier.expect_head(&path("audit.head")).expect("a note");
    verifier.lines(Path::new("audit.log"), read("audit.log").as_bytes(), &mut |_| {}).expect("it can be read");
    let report = verifier.finish_at(TIME_NS + 60_000_000_000);
    let faults: Vec<_> = report.faults.iter().map(|fault| fault.what.clone()).collect();
    assert_eq!(faults, [FindingKind::Broken { expected: 10, found: 5 }]);
    assert!(report.notes.iter().any(|note| matches!(note.what, FindingKind::Torn { bytes: 27 })), "{report:?}");
    assert_eq!((report.first, report.last, report.signed, report.checkpoints), (Some(1), Some(9), Some(9), 2));
    assert_eq!(noted_at(&path("audit.head")).expect("a note"), audit_file().1);
}
