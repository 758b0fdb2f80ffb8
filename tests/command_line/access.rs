//! Policies and identities, and the advice after a refusal.

use crate::shell::Shell;
use crate::support::processes::Processes;

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_managed_and_refusals_say_what_is_missing() {
    let cluster = Processes::start().await;
    let admin = Shell::of(&cluster);

    admin.json(&["policy", "create", "my-app", "--allow", "/v1/key/create/my-*", "--deny", "/v1/key/create/my-own"]);
    assert_eq!(admin.json(&["policy", "ls"])["names"][0], "my-app");
    assert!(admin.json(&["policy", "info", "my-app"])["created_by"].is_string());
    let again = admin.run(&["policy", "create", "my-app", "--allow", "/v1/status"]);
    assert_eq!((again.code, again.error.contains("--replace")), (1, true), "{again:?}");
    let shown = admin.json(&["policy", "show", "my-app"]);
    assert_eq!(shown["allow"], serde_json::json!({"/v1/key/create/my-*": {}}), "{shown}");
    let file = Shell::folder(&cluster).join("my-app.json");
    std::fs::write(&file, shown.to_string()).unwrap();
    let file = file.to_str().unwrap();
    admin.json(&["policy", "create", "my-app", file, "--replace"]);
    assert_eq!(
        admin.json(&["policy", "show", "my-app"])["deny"],
        shown["deny"],
        "the output of `show` is a valid file"
    );
    let typo = admin.run(&["policy", "create", "typo", "--allow", "/v1/kye/*", "--allow", "/v1/key/*"]);
    assert_eq!((typo.code, typo.error.matches("Warning").count()), (0, 1), "{typo:?}");
    assert!(typo.error.contains("'/v1/kye/*'"), "{typo:?}");
    admin.json(&["policy", "rm", "typo"]);
    let never = admin.run(&["policy", "create", "bad", "--allow", "/v1/*/x"]);
    assert_eq!((never.code, never.error.contains("can never match")), (2, true), "{never:?}");

    let (identity, app) = admin.someone(&["--policy", "my-app"]);
    app.json(&["key", "create", "my-key"]);
    assert_eq!(app.json(&["identity", "info"])["policy"], "my-app");
    assert_eq!(admin.json(&["identity", "info", &identity])["policy"], "my-app");

    let missing = app.run(&["key", "ls"]);
    assert_eq!(missing.code, 4);
    assert!(missing.error.contains("policy 'my-app' does not allow /v1/key/list/"), "{missing:?}");
    let denied = app.run(&["key", "create", "my-own"]);
    assert!(denied.error.contains("deny pattern \"/v1/key/create/my-own\" matches"), "{denied:?}");

    // The advised command works.
    admin.json(&["policy", "edit", "my-app", "--allow", "/v1/key/list/", "--drop", "/v1/key/create/my-own"]);
    assert_eq!(app.json(&["key", "ls"])["names"][0], "my-key");
    app.json(&["key", "create", "my-own"]);

    admin.json(&["policy", "rm", "my-app"]);
    let none = app.run(&["key", "ls"]);
    assert!(none.error.contains(&format!("keyraft policy assign POLICY {identity}")), "{none:?}");

    admin.json(&["policy", "create", "other", "--allow", "/v1/key/list/*"]);
    admin.json(&["policy", "assign", "other", &identity]);
    app.json(&["key", "ls"]);
    let (second, second_admin) = admin.someone(&["--admin"]);
    second_admin.json(&["identity", "rm", &identity]);
    assert_eq!(app.run(&["key", "ls"]).code, 4);
    assert!(admin.json(&["identity", "ls", &second[..8]])["identities"][0] == second.as_str());
    let own = second_admin.run(&["policy", "assign", "other", &second]);
    assert_eq!((own.code, own.error.contains("to themselves")), (4, true), "{own:?}");
    assert_eq!(admin.run(&["policy", "show", "none"]).code, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deny_rule_that_leaves_a_sibling_open_causes_a_warning_with_the_command_that_closes_it() {
    let cluster = Processes::start().await;
    let admin = Shell::of(&cluster);
    let warning = "Warning: policy 'app': '/v1/key/decrypt/secret*' denies /v1/key/decrypt/ but not \
                   /v1/key/bulk/decrypt/, which this policy allows and which decrypts the same ciphertexts; to deny \
                   that too, run:\n  keyraft policy edit app --deny '/v1/key/bulk/decrypt/secret*'\n";
    let create = ["policy", "create", "app", "--allow", "/v1/key/*", "--deny", "/v1/key/decrypt/secret*"];
    let created = admin.run(&create);
    assert_eq!((created.code, created.error.as_str()), (0, warning));
    let again = admin.run(&create);
    assert_eq!((again.code, again.error.contains("Warning")), (1, false), "the server has not taken it: {again:?}");
    let replaced = admin.run(&[&create[..], &["--replace", "--json"]].concat());
    let object: serde_json::Value = serde_json::from_str(&replaced.error).unwrap();
    assert!(object["warning"]["message"].as_str().unwrap().starts_with("policy 'app': "), "{object}");

    let edited = admin.run(&["policy", "edit", "app", "--deny", "/v1/key/delete/*"]);
    assert_eq!((edited.code, edited.error.as_str()), (0, warning));
    // The advised command works.
    let closed = admin.run(&["policy", "edit", "app", "--deny", "/v1/key/bulk/decrypt/secret*"]);
    assert_eq!((closed.code, closed.error.as_str()), (0, ""));
}

/// If an edit lost a deny, the policy would allow more than its admins believe.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_edits_of_a_policy_are_all_kept() {
    let cluster = Processes::start().await;
    let admin = Shell::of(&cluster);
    admin.json(&["policy", "create", "race", "--allow", "/v1/key/*"]);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let admin = &admin;
            scope.spawn(move || {
                admin.json(&["policy", "edit", "race", "--deny", &format!("/v1/key/delete/x{number}")]);
            });
        }
    });
    let denied = admin.json(&["policy", "show", "race"])["deny"].as_object().map(serde_json::Map::len);
    assert_eq!(denied, Some(8));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_cluster_has_metrics_and_dev_prints_commands_that_work() {
    let cluster = Processes::start().await;
    let admin = Shell::of(&cluster);
    let text = admin.run(&["metric", "http_request"]);
    assert!(text.output.contains("# TYPE kes_http_request_active gauge"), "{text:?}");
    let samples = admin.json(&["metric", "--json", "--cluster"]);
    assert!(samples.as_array().is_some_and(|samples| !samples.is_empty()));

    let away = admin.run(&["key", "ls", "--server", "127.0.0.1:1,127.0.0.1:2"]);
    assert_eq!(away.code, 3);
    assert!(away.error.contains("127.0.0.1:1: ") && away.error.contains("127.0.0.1:2: "), "{away:?}");

    // The commands that `dev` prints work.
    let dir = Shell::folder(&cluster);
    let advice = admin.json(&["dev", "--prepare", "--dir", dir.to_str().unwrap()]);
    let commands = ["first_steps", "first_policy"].iter().flat_map(|part| advice[part].as_array().unwrap());
    let script: Vec<&str> = commands.map(|command| command.as_str().unwrap()).collect();
    let script = format!("set -e\n. {}\n{}", dir.join("env").display(), script.join("\n"));
    let ended = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(ended.status.success(), "{script}\n{ended:?}");
    let last = String::from_utf8(ended.stdout).unwrap();
    assert!(last.lines().last().unwrap().contains(r#""policy":"my-app""#), "{last}");
}
