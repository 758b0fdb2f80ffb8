//! The life of a key.

use crate::shell::Shell;
use crate::support::processes::Processes;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rotated_and_deleted_only_by_force_while_in_use() {
    let cluster = Processes::start().await;
    let admin = Shell::of(&cluster);
    admin.json(&["key", "create", "k", "unused"]);
    let sealed = admin.json(&["key", "encrypt", "k", "hello"])["ciphertext"].as_str().unwrap().to_owned();
    assert_eq!(admin.json(&["key", "rotate", "k"])["version"], "v2");
    assert_eq!(admin.run(&["key", "decrypt", "k", &sealed, "--raw"]).output, "hello");

    admin.json(&["key", "disable", "k", "v1"]);
    let disabled = admin.run(&["key", "decrypt", "k", &sealed]);
    assert_eq!((disabled.code, disabled.error.contains("keyraft key enable")), (1, true), "{disabled:?}");
    let versions = admin.json(&["key", "versions", "k"]);
    assert_eq!(versions["versions"][0]["state"], "disabled", "{versions}");
    admin.json(&["key", "enable", "k", "v1"]);
    assert_eq!(admin.run(&["key", "decrypt", "k", &sealed, "--raw"]).output, "hello");
    assert_eq!(admin.run(&["key", "disable", "k", "v3"]).code, 5);

    // The same server for both: the others hear of a use only later.
    let server = admin.server();
    admin.json(&["key", "encrypt", "k", "again", "--server", &server]);
    let used = admin.run(&["key", "rm", "k", "--server", &server]);
    assert_eq!((used.code, used.error.contains("--force")), (1, true), "{used:?}");
    assert!(used.error.contains("keyraft key restore k") && !used.error.contains("never"), "{used:?}");
    admin.json(&["key", "rm", "unused"]);

    admin.json(&["policy", "create", "cleaner", "--allow", "/v1/key/delete/*"]);
    let (_, cleaner) = admin.someone(&["--policy", "cleaner"]);
    let blind = cleaner.run(&["key", "rm", "k"]);
    assert_eq!((blind.code, blind.error.contains("does not allow /v1/key/versions/k")), (4, true), "{blind:?}");
    assert!(blind.error.contains("--force deletes the key without this check"), "{blind:?}");
    cleaner.json(&["key", "rm", "k", "--force"]);
    assert_eq!(admin.json(&["key", "ls"])["names"], serde_json::json!([]));
    assert_eq!(admin.run(&["key", "restore", "k"]).code, 5);
    assert_eq!(admin.run(&["key", "purge", "k"]).code, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_key_waits_and_is_restored_or_purged() {
    let cluster = Processes::start_with(&[("deletion_window:", "1h")]).await;
    let admin = Shell::of(&cluster);
    admin.json(&["key", "create", "a", "b", "c"]);
    let sealed = admin.json(&["key", "encrypt", "a", "hello"])["ciphertext"].as_str().unwrap().to_owned();
    let deleted = admin.run(&["key", "rm", "a", "b", "--force"]);
    let lines: Vec<_> = deleted.output.lines().collect();
    assert_eq!((deleted.code, &lines[..]), (0, &[r#"{"deleted":"a"}"#, r#"{"deleted":"b"}"#][..]), "{deleted:?}");
    assert_eq!(admin.json(&["key", "ls"])["names"], serde_json::json!(["c"]));
    assert_eq!(admin.run(&["key", "decrypt", "a", &sealed]).code, 5);
    let taken = admin.run(&["key", "create", "a"]);
    assert_eq!((taken.code, taken.error.contains("restore it, or use another name")), (1, true), "{taken:?}");

    assert_eq!(admin.json(&["key", "restore", "a"])["restored"], "a");
    assert_eq!(admin.run(&["key", "decrypt", "a", &sealed, "--raw"]).output, "hello");
    assert_eq!(admin.run(&["key", "restore", "a"]).code, 5, "the key is not deleted any more");
    assert_eq!(admin.json(&["key", "purge", "b"])["purged"], "b");
    assert_eq!(admin.run(&["key", "restore", "b"]).code, 5);
    admin.json(&["key", "create", "b"]);
    let none = admin.run(&["key", "purge", "c"]);
    assert_eq!(none.code, 5, "a key that was not deleted is not purged: {none:?}");
    assert!(none.error.contains("keyraft key info c"), "{none:?}");

    let some = admin.run(&["key", "rm", "c", "none", "b", "more"]);
    assert_eq!((some.code, some.output.as_str()), (5, "{\"deleted\":\"c\"}\n"), "{some:?}");
    assert!(some.error.contains("none: key does not exist") && some.error.contains("Not tried: b more\n"), "{some:?}");
    for words in [["policy", "rm", "p", "q"], ["identity", "rm", "ab", "q"], ["key", "restore", "x", "q"]] {
        let none = admin.run(&words);
        let says = none.error.contains(&format!("{}: ", words[2])) && none.error.contains("Not tried: q\n");
        assert!(none.code != 0 && says, "{none:?}");
    }
}
