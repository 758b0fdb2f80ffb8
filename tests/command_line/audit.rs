//! `audit verify` on a file that a node began while it ran, and on changed copies.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use rustix::process::Signal;

use crate::shell::Shell;
use crate::support::processes::Processes;
use crate::support::status;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_begun_on_sighup_is_whole_and_changes_are_found() {
    let mut cluster = Processes::start().await;
    let admin = Shell::of(&cluster);
    let folder = Shell::folder(&cluster);
    let (config, file) = (folder.join("node-1/config.yml"), folder.join("audit.log"));
    let text = fs::read_to_string(&config).expect("`dev` writes it");
    let with_file = format!("  required: on\n  file: {{path: {}}}", file.display());
    fs::write(&config, text.replacen("  required: off", &with_file, 1)).expect("the folder is writable");
    cluster.signal(0, Signal::HUP);
    status::wait_for("the file", &[cluster.data(0)], async || file.exists().then_some(())).await;

    let server = admin.server();
    for name in ["first", "second", "third"] {
        admin.json(&["key", "create", name, "--server", &server]);
    }
    let status = admin.json(&["cluster", "status", "--server", &server]);
    let key = status["node"]["audit_key"].as_str().expect("an unsealed node has one").to_owned();
    cluster.stop(0).await;

    let path = file.to_str().expect("a path of ours");
    let whole = admin.json(&["audit", "verify", path, "--key", &key, "--whole"]);
    assert_eq!((&whole["ok"], &whole["unsigned"]), (&true.into(), &0.into()), "{whole}");
    let twice = admin.json(&["audit", "verify", path, path]);
    assert!(twice["ok"] == true && twice["notes"][0]["what"].as_str().is_some_and(|what| what.contains("twice")));
    let other = admin.run(&["audit", "verify", path, "--key", &"ab".repeat(32)]);
    assert_eq!(other.code, 1, "signed by somebody else: {other:?}");
    let written = fs::read_to_string(&file).expect("it is there");
    let head = cluster.data(0).join("audit.head");
    let strict = ["audit", "verify", path, "--key", &key, "--whole", "--head", head.to_str().expect("a path of ours")];
    assert_eq!(admin.json(&strict)["not_proven"], serde_json::json!([]));
    // Cut after its first checkpoint: only the node's note shows that, and the report says so.
    let cut: String = written.split_inclusive('\n').take(2).collect();
    fs::write(&file, &cut).expect("the folder is writable");
    let signed = admin.json(&strict[..6]);
    assert!(signed["ok"] == true && signed["not_proven"][0].as_str().is_some_and(|what| what.contains("--head")));
    assert_eq!(admin.run(&strict).code, 1);
    // Without any checkpoint, the command proves nothing.
    fs::write(&file, cut.split_inclusive('\n').take(1).collect::<String>()).expect("the folder is writable");
    assert_eq!(admin.run(&["audit", "verify", path]).code, 1);
    assert_eq!(written.matches("/v1/key/create/second").count(), 1, "{written}");
    for (what, changed) in [
        ("altered", written.replacen("create/second", "create/secret", 1)),
        (
            "removed",
            written.lines().filter(|line| !line.contains("create/second")).map(|line| format!("{line}\n")).collect(),
        ),
    ] {
        fs::write(&file, changed).expect("the folder is writable");
        let found = admin.run(&["audit", "verify", path]);
        assert_eq!(found.code, 1, "{what}: {found:?}");
        let report: serde_json::Value = serde_json::from_str(found.output.trim()).expect("it prints JSON");
        assert_eq!(report["faults"].as_array().map(Vec::len), Some(1), "{what}: {report}");
    }
}

#[test]
fn a_file_whose_name_is_not_utf8_is_checked() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join(OsStr::from_bytes(b"audit\xff.log"));
    fs::write(&path, "no line\n").expect("the folder is writable");
    let verify = Command::new(env!("CARGO_BIN_EXE_keyraft")).args(["audit", "verify"]).arg(&path).output();
    let verify = verify.expect("it runs");
    let report: serde_json::Value = serde_json::from_slice(&verify.stdout).expect("it prints JSON");
    assert_eq!((verify.status.code(), report["faults"].as_array().map(Vec::len)), (Some(1), Some(1)), "{report}");
}
