//! Errors are one JSON object on standard error with `--json`, and text without it.

use std::fs;

use serde_json::Value;

use crate::shell::{Ended, Shell};
use crate::support::processes::Processes;

/// The error that the command printed. Standard error must have nothing else.
fn error_of(shell: &Shell, words: &[&str]) -> Value {
    let ended = shell.run(words);
    let lines = objects(&ended);
    let [object] = lines.as_slice() else { panic!("keyraft {}: one object is expected: {ended:?}", words.join(" ")) };
    let error = &object["error"];
    assert_eq!(error["exit_code"], ended.code, "keyraft {}: {ended:?}", words.join(" "));
    for field in ["kind", "message"] {
        assert!(error[field].as_str().is_some_and(|text| !text.is_empty()), "keyraft {}: {ended:?}", words.join(" "));
    }
    error.clone()
}

fn objects(ended: &Ended) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    ended.error.lines().map(parse).collect()
}

#[test]
fn errors_before_any_request_are_json() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing").to_str().unwrap().to_owned();
    let table: [(&[&str], i32, &str); 12] = [
        (&["--json", "key", "frobnicate"], 2, "usage"),
        (&["key", "ls", "--json", "--bogus"], 2, "usage"),
        (&["--json", "key"], 2, "usage"),
        (&["--json"], 2, "usage"),
        (&["--json", "bench", "--clients", "0"], 2, "usage"),
        (&["--json", "key", "ls", "--server", "a b"], 2, "setting"),
        (&["--json", "key", "ls", "--ca", &missing], 2, "credentials"),
        (&["--json", "policy", "create", "x", &missing], 2, "file"),
        (&["--json", "key", "encrypt", "k", "!", "--base64"], 2, "input"),
        (&["--json", "server", "--config", &missing], 2, "configuration"),
        (&["--json", "dev", "--dir", &missing, "--config", &missing], 2, "configuration"),
        (&["--json", "key", "ls"], 3, "unavailable"),
    ];
    for (words, code, kind) in table {
        let error = error_of(&Shell::of_nobody(), words);
        assert_eq!((error["exit_code"].as_i64(), error["kind"].as_str()), (Some(code.into()), Some(kind)), "{words:?}");
    }
    let usage = error_of(&Shell::of_nobody(), &["key", "frobnicate", "--json"]);
    assert_eq!(usage["message"], "unrecognized subcommand 'frobnicate'");
    assert!(usage["hint"].as_str().unwrap().contains("Usage: keyraft key"), "{usage}");
}

#[test]
fn without_json_errors_are_text_and_help_is_not_an_error() {
    let nobody = Shell::of_nobody();
    for words in [&["key", "frobnicate"][..], &["key", "ls"], &["key", "create", "--", "--json"]] {
        let ended = nobody.run(words);
        assert!(ended.error.to_lowercase().starts_with("error: "), "{words:?}: {ended:?}");
    }
    for words in [&["--json", "--help"][..], &["--json", "--version"], &["key", "--help", "--json"]] {
        let ended = nobody.run(words);
        assert!(ended.code == 0 && ended.error.is_empty() && !ended.output.is_empty(), "{words:?}: {ended:?}");
    }
}

#[test]
fn every_problem_of_a_configuration_has_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yml");
    fs::write(&file, "version: v1\naddress: nowhere\ntls:\n  cert: a\n  kye: b\n").unwrap();
    let file = file.to_str().unwrap();
    let error = error_of(&Shell::of_nobody(), &["--json", "server", "--config", file]);
    let problems = error["problems"].as_array().unwrap();
    let lines: Vec<_> = problems.iter().map(|problem| problem["line"].as_u64().unwrap()).collect();
    assert!(lines.contains(&2) && lines.contains(&5), "{error}");
    assert!(problems.iter().all(|problem| problem["file"] == file && problem["message"].is_string()), "{error}");
    assert_eq!(error["message"], format!("the configuration has {} problems", problems.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_a_server_are_json() {
    let cluster = Processes::start().await;
    let admin = Shell::of(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policies.yml");
    fs::write(&file, "policy: {app: {allow: [/v1/status]}}\n").unwrap();
    let file = file.to_str().unwrap();
    admin.json(&["key", "create", "there"]);
    let (_, nobody) = admin.someone(&[]);
    type Case<'a> = (&'a Shell, &'a [&'a str], &'a str, Option<(u64, &'a str)>);
    let table: [Case<'_>; 7] = [
        (&admin, &["--json", "key", "create", "there"], "refused", Some((400, "key-exists"))),
        (&admin, &["--json", "key", "info", "none"], "not_found", Some((404, "key-not-found"))),
        (&nobody, &["--json", "key", "ls"], "not_permitted", Some((403, "not-authorized"))),
        (&nobody, &["--json", "key", "rm", "there"], "not_permitted", Some((403, "not-authorized"))),
        (&admin, &["--json", "policy", "apply", file, "--dry-run"], "differs", None),
        (&admin, &["--json", "policy", "apply", file], "setting", None),
        (&admin, &["--json", "bench", "--clients", "2", "--pid", "4194305"], "input", None),
    ];
    for (shell, words, kind, answer) in table {
        let error = error_of(shell, words);
        assert_eq!(error["kind"].as_str(), Some(kind), "{words:?}: {error}");
        let answered = error["status"].as_u64().zip(error["code"].as_str());
        assert_eq!(answered, answer, "{words:?}: {error}");
    }
    let stopped = error_of(&admin, &["--json", "key", "info", "none"]);
    assert!(stopped["hint"].as_str().unwrap().contains("keyraft key ls"), "{stopped}");
    let ended = admin.run(&["--json", "key", "create", "a", "there", "b", "c"]);
    let error = &objects(&ended)[0]["error"];
    assert_eq!(ended.output, "{\"created\":\"a\"}\n");
    assert_eq!(error["message"], "there: key already exists (400)");
    assert_eq!((&error["failed"], &error["not_tried"]), (&"there".into(), &serde_json::json!(["b", "c"])), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_are_json_too() {
    let cluster = Processes::start().await;
    let admin = Shell::of(&cluster);
    let created = admin.run(&["--json", "policy", "create", "odd", "--allow", "/v1/kye/*"]);
    let warnings = objects(&created);
    assert_eq!(created.code, 0, "{created:?}");
    assert!(warnings[0]["warning"]["message"].as_str().unwrap().contains("'/v1/kye/*'"), "{created:?}");
}
