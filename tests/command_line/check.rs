//! `keyraft check` finds every problem of a node before it starts, with its line, and changes nothing.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;
use tempfile::TempDir;

use crate::shell::Shell;
use crate::support::processes::Processes;

/// The files of a cluster that has never run.
struct Prepared(TempDir);

impl Prepared {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("dev");
        let ended = Shell::of_nobody().run(&["dev", "--prepare", "--dir", dir.to_str().unwrap()]);
        assert_eq!(ended.code, 0, "{ended:?}");
        let prepared = Self(folder);
        // Another process may use the default ports of `dev`.
        let text = fs::read_to_string(prepared.config()).unwrap();
        let text = text.replace("address: \"127.0.0.1:7373\"", "address: \"127.0.0.1:0\"");
        fs::write(prepared.config(), text.replace("listen: \"127.0.0.1:7473\"", "listen: \"127.0.0.1:0\"")).unwrap();
        prepared
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join("dev").join(name)
    }

    fn config(&self) -> PathBuf {
        self.file("node-1/config.yml")
    }

    /// The configuration with a line changed, and the number of that line.
    fn with(&self, begins: &str, value: &str) -> (PathBuf, u64) {
        let text = fs::read_to_string(self.config()).unwrap();
        let number = text.lines().position(|line| line.trim_start().starts_with(begins)).expect("`dev` writes it");
        let changed = text.lines().enumerate().map(|(at, line)| {
            let indent = line.len() - line.trim_start().len();
            if at == number { format!("{}{begins} {value}", " ".repeat(indent)) } else { line.to_owned() }
        });
        let path = self.0.path().join("changed.yml");
        fs::write(&path, changed.collect::<Vec<_>>().join("\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        (path, number as u64 + 1)
    }
}

/// Runs the command on a file. Returns its exit code and its report.
fn check(file: &Path) -> (i32, Value) {
    let ended = Shell::of_nobody().run(&["check", file.to_str().unwrap()]);
    (ended.code, serde_json::from_str(&ended.output).unwrap_or_else(|error| panic!("{error}: {ended:?}")))
}

fn findings(report: &Value, kind: &str) -> Vec<(u64, String)> {
    let list = report[kind].as_array().unwrap().iter();
    list.map(|one| (one["line"].as_u64().unwrap_or_default(), one["message"].as_str().unwrap().to_owned())).collect()
}

/// Every file below a folder, with its time of change.
fn files(folder: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found = BTreeMap::new();
    for path in entries {
        found.insert(path.clone(), path.symlink_metadata().unwrap().modified().unwrap());
        if path.is_dir() {
            found.extend(files(&path));
        }
    }
    found
}

#[test]
fn a_node_that_could_start_has_no_problem_and_no_file_is_made() {
    let prepared = Prepared::new();
    let before = files(prepared.0.path());
    let (code, report) = check(&prepared.config());
    assert_eq!((code, &report["ok"], &report["problems"]), (0, &true.into(), &serde_json::json!([])), "{report}");
    assert!(findings(&report, "notes")[0].1.contains("holds no key ring yet"), "{report}");
    assert_eq!(files(prepared.0.path()), before);
}

#[test]
fn every_fault_is_a_problem_at_its_line() {
    let prepared = Prepared::new();
    let at = |name: &str| format!("\"{}\"", prepared.file(name).display());
    fs::write(prepared.file("empty"), "").unwrap();
    let table: [(&str, String, &str); 20] = [
        ("key:", at("none.key"), "tls.key: cannot read "),
        ("key:", at("empty"), "tls.key: "),
        ("key:", at("node-2/api.key"), "tls.key: "),
        ("cert:", at("node-1/api.key"), "tls.cert: "),
        ("cert:", "\"\"".to_owned(), "tls.cert is missing"),
        ("data:", at("empty"), "cluster.data: "),
        ("data:", "\"/dev/null/data\"".to_owned(), "cluster.data: "),
        ("file:", at("none.key"), "seal.file: cannot read "),
        ("file:", at("empty"), "seal.file: "),
        ("file:", at("node-1"), "seal.file: cannot read "),
        (
            "address:",
            "\"203.0.113.1:7373\"".to_owned(),
            "address: the node cannot listen on 203.0.113.1:7373: this machine",
        ),
        ("listen:", "\"203.0.113.1:7473\"".to_owned(), "cluster.listen: the node cannot listen on "),
        ("lease:", "2d".to_owned(), "consistency.lease: "),
        (
            "- {name: \"node-2\",",
            "peer: \"no.such.invalid:7474\", api: \"127.0.0.1:7374\"}".to_owned(),
            "cluster.peers: node-2: 'no.such.invalid:7474' does not resolve",
        ),
        ("required:", format!("off\n  file: {{path: {}}}", at("node-1")), "audit.file.path: "),
        (
            "required:",
            format!("on\n  syslog: {{address: 'unix:{}'}}", prepared.file("none").display()),
            "audit.syslog.address: ",
        ),
        (
            "required:",
            format!("on\n  syslog: {{address: 'unix:{}'}}", prepared.file("empty").display()),
            "audit.syslog.address: ",
        ),
        (
            "required:",
            "off\n  file: {path: /dev/null}".to_owned(),
            "audit.file.path: cannot use /dev/null: it is a pipe, a",
        ),
        (
            "required:",
            "off\n  file: {path: /none/audit.log}".to_owned(),
            "audit.file.path: cannot use /none/audit.log: No",
        ),
        ("file:", "\"~/root.key\"".to_owned(), "seal.file: cannot read ~/root.key in the working directory "),
    ];
    for (begins, value, message) in &table {
        let (file, line) = prepared.with(begins, value);
        let lines = if value.contains('\n') { line..=line + 1 } else { line..=line };
        let before = files(prepared.0.path());
        let (code, report) = check(&file);
        let problems = findings(&report, "problems");
        let named = problems.iter().any(|(at, text)| lines.contains(at) && text.starts_with(message));
        assert!(code == 2 && report["ok"] == false && named, "{begins} {value}: {report}");
        assert_eq!(files(prepared.0.path()), before, "{begins} {value}");
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let prepared = Prepared::new();
    let text = fs::read_to_string(prepared.config()).unwrap();
    let text = text.replace("api.key", "none.key").replace("root.key", "none");
    fs::write(prepared.config(), text).unwrap();
    fs::write(prepared.file("node-1/data/peer.key"), "text").unwrap();
    let (code, report) = check(&prepared.config());
    let problems: Vec<_> = findings(&report, "problems").into_iter().map(|(_, text)| text).collect();
    assert_eq!((code, problems.len()), (2, 3), "{report}");
    for (text, setting) in problems.iter().zip(["tls.key: ", "cluster.data: ", "seal.file: "]) {
        assert!(text.starts_with(setting), "{report}");
    }
}

#[test]
fn a_file_from_a_pipe_is_checked() {
    let prepared = Prepared::new();
    let (file, line) = prepared.with("key:", &format!("\"{}\"", prepared.file("none.key").display()));
    let ended = Shell::of_nobody().run_with_input(&["check", "/dev/stdin"], &fs::read_to_string(&file).unwrap());
    let report: Value = serde_json::from_str(&ended.output).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let problems = findings(&report, "problems");
    assert!(ended.code == 2 && problems.len() == 1 && problems[0].0 == line, "{report}");
}

#[test]
fn a_file_that_is_not_text_is_named_and_never_waited_for() {
    let prepared = Prepared::new();
    let (pipe, bytes) = (prepared.file("pipe"), prepared.file("bytes"));
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    fs::write(&bytes, b"version: v1\n\xff\n").unwrap();
    for (path, line, words) in [
        (pipe.as_path(), 0, "it is a pipe, and nothing was written into it"),
        (Path::new("/dev/zero"), 0, "it is a device"),
        (&prepared.file("node-1"), 0, "it is a folder"),
        (&bytes, 2, "it is not text in UTF-8"),
    ] {
        let (code, report) = check(path);
        let problems = findings(&report, "problems");
        assert_eq!((code, problems.len(), problems[0].0), (2, 1, line), "{report}");
        assert!(problems[0].1.contains(&format!("the configuration cannot be read: {words}")), "{report}");
    }
}

#[test]
fn a_name_that_the_certificate_lacks_is_only_a_warning() {
    let prepared = Prepared::new();
    let (file, line) = prepared.with("- {name: \"node-1\",", "peer: \"127.0.0.1:7473\", api: \"127.0.0.9:7373\"}");
    let (code, report) = check(&file);
    let warnings = findings(&report, "warnings");
    assert_eq!((code, warnings.len()), (0, 1), "{report}");
    assert!(warnings[0].0 < line && warnings[0].1.contains("does not name 127.0.0.9"), "{report}");
}

#[test]
fn a_deny_rule_that_leaves_a_sibling_open_is_only_a_warning() {
    let prepared = Prepared::new();
    let (file, line) = prepared.with("policy:", "{app: {allow: [/v1/key/*], deny: [/v1/key/decrypt/secret*]}}");
    let (code, report) = check(&file);
    let warnings = findings(&report, "warnings");
    assert_eq!((code, warnings.len()), (0, 1), "{report}");
    let (at, message) = &warnings[0];
    assert!(*at == line && message.ends_with("to deny that too, add '/v1/key/bulk/decrypt/secret*'"), "{report}");
}

#[test]
fn secrets_that_others_can_read_are_warnings_at_their_lines() {
    let prepared = Prepared::new();
    let (file, line) = prepared.with("key:", &format!("\"{}\"", prepared.file("node-1/api.key").display()));
    for path in [&prepared.file("node-1/api.key"), &file] {
        fs::set_permissions(path, Permissions::from_mode(0o604)).unwrap();
    }
    let (code, report) = check(&file);
    let warnings = findings(&report, "warnings");
    let found: Vec<_> = warnings.iter().map(|(line, text)| (*line, text.contains("chmod o="))).collect();
    assert_eq!((code, found), (0, vec![(0, true), (line, true)]), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_key_is_compared_with_the_data_whether_or_not_the_node_runs() {
    let mut cluster = Processes::start().await;
    let config = Shell::folder(&cluster).join("node-1/config.yml");
    let root = Shell::folder(&cluster).join("root.key");
    let ours = fs::read_to_string(&root).unwrap();
    for runs in [true, false] {
        if !runs {
            cluster.stop(0).await;
        }
        let (code, report) = check(&config);
        assert_eq!(code, 0, "{report}");
        let notes = findings(&report, "notes");
        assert_eq!(notes.iter().any(|(_, text)| text.contains("a node runs on the data folder")), runs, "{report}");
        assert!(!notes.iter().any(|(_, text)| text.contains("seal.file")), "{report}");
        fs::write(&root, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
        let (code, report) = check(&config);
        let problems = findings(&report, "problems");
        assert!(code == 2 && problems[0].1.starts_with("seal.file: this is not the root key"), "{report}");
        fs::write(&root, &ours).unwrap();
        if runs {
            let text = fs::read_to_string(&config).unwrap();
            let (own, other) = (cluster.data(0), cluster.data(1));
            fs::write(&config, text.replace(own.to_str().unwrap(), other.to_str().unwrap())).unwrap();
            let (code, report) = check(&config);
            fs::write(&config, text).unwrap();
            let problems = findings(&report, "problems");
            let belongs =
                |(_, message): &(u64, String)| message.contains("belongs to the node 'node-2', which runs on it");
            assert!(code == 2 && problems.iter().any(belongs), "{report}");
        }
    }
}
