//! `policy apply` makes a server match a file.

use std::fs;

use serde_json::json;

use crate::shell::Shell;
use crate::support::processes::Processes;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_applied_once_and_then_nothing_differs() {
    let cluster = Processes::start().await;
    let admin = Shell::of(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kes.yml");
    let file = path.to_str().unwrap();
    let (app, ops) = ("8087b18d".repeat(8), "b29d8c43".repeat(8));
    let text = format!(
        "version: v1\nadmin: {{identity: disabled}}\npolicy:\n  app:\n    allow: [/v1/key/create/my-*]\n    \
         identities: [{app}]\n  ops: {{deny: [/v1/key/delete/*], allow: [/v1/*], identities: [\"${{OPS}}\"]}}\n"
    );
    fs::write(&path, &text).unwrap();
    let admin = admin.with("OPS", &ops);

    let dry = admin.run(&["policy", "apply", file, "--dry-run"]);
    assert_eq!(dry.code, 6, "{dry:?}");
    assert_eq!(admin.json(&["policy", "ls"])["names"], json!([]), "a dry run changes nothing");
    assert_eq!(admin.run(&["policy", "apply", file]).code, 2, "it cannot ask without a terminal");

    let applied = admin.json(&["policy", "apply", file, "--yes"]);
    assert_eq!(applied["done"].as_array().unwrap().len(), 4, "{applied}");
    assert_eq!(admin.json(&["identity", "info", &ops])["policy"], "ops");
    assert_eq!(admin.json(&["policy", "show", "ops"])["deny"], json!({"/v1/key/delete/*": {}}));
    for arguments in [&["--dry-run"][..], &["--yes"], &["--yes", "--prune"]] {
        let again = admin.json(&[&["policy", "apply", file], arguments].concat());
        assert_eq!(again["differs"], false, "{again}");
    }

    // Policies and identities that are not in the file stay without --prune. Admins always stay.
    admin.json(&["policy", "create", "old", "--allow", "/v1/status"]);
    let (strange, _) = admin.someone(&["--policy", "old"]);
    let (second, _) = admin.someone(&["--admin"]);
    fs::write(&path, text.replace("/v1/key/create/my-*", "/v1/key/create/your-*")).unwrap();
    let plan = admin.run(&["policy", "apply", file, "--dry-run", "--prune"]);
    let plan: serde_json::Value = serde_json::from_str(&plan.output).unwrap();
    assert_eq!(
        plan["policies"][0]["allow"],
        json!({"add": ["/v1/key/create/your-*"], "remove": ["/v1/key/create/my-*"]})
    );
    let pruned = admin.json(&["policy", "apply", file, "--yes", "--prune"]);
    assert_eq!(pruned["done"], json!([format!("Removed {strange}"), "Changed app", "Deleted old"]));
    assert_eq!(admin.json(&["identity", "info", &second])["admin"], true);

    // The error says which change the caller may not make, and what is done.
    admin.json(&[
        "policy",
        "create",
        "half",
        "--allow",
        "/v1/policy/*",
        "--allow",
        "/v1/identity/*",
        "--deny",
        "/v1/policy/assign/*",
    ]);
    let (_, half) = admin.someone(&["--policy", "half"]);
    fs::write(&path, format!("policy:\n  new: {{allow: [/v1/api], identities: [{}]}}\n", "0a".repeat(32))).unwrap();
    let ended = half.run(&["policy", "apply", file, "--yes"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.error.contains("1 of 2 are done") && ended.error.contains("/v1/policy/assign/"), "{ended:?}");
    assert!(admin.json(&["policy", "apply", file, "--yes"])["done"][0].as_str().unwrap().starts_with("Assigned new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_of_the_file_that_leaves_a_sibling_open_causes_a_warning_also_in_a_dry_run() {
    let cluster = Processes::start().await;
    let admin = Shell::of(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kes.yml");
    let file = path.to_str().unwrap();
    fs::write(&path, "policy:\n  app:\n    allow: [/v1/key/*]\n    deny: [/v1/key/create/my-*]\n").unwrap();
    let warning = format!(
        "Warning: {file}:4: policy.app.deny: '/v1/key/create/my-*' denies /v1/key/create/ but not /v1/key/import/, which \
         this policy allows and which creates a key from the client's material; to deny that too, add \
         '/v1/key/import/my-*'\n"
    );
    for (argument, code) in [("--dry-run", 6), ("--yes", 0), ("--dry-run", 0)] {
        let ended = admin.run(&["policy", "apply", file, argument]);
        assert_eq!((ended.code, ended.error.contains(&warning)), (code, true), "{ended:?}");
    }
    let ended = admin.run(&["policy", "apply", file, "--dry-run", "--json"]);
    let object: serde_json::Value = serde_json::from_str(ended.error.lines().next().unwrap()).unwrap();
    assert_eq!((&object["warning"]["line"], &object["warning"]["file"]), (&json!(4), &json!(file)), "{ended:?}");
    fs::write(&path, "policy:\n  app:\n    allow: [/v1/key/*]\n    deny: [/v1/key/create/my-*, /v1/key/import/my-*]\n")
        .unwrap();
    let closed = admin.run(&["policy", "apply", file, "--yes"]);
    assert_eq!((closed.code, closed.error.contains("Warning")), (0, false), "{closed:?}");
}
