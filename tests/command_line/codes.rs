//! Exit codes (docs/command-line.md): scripts decide by them.

use std::fs;

use crate::shell::Shell;
use crate::support::processes::Processes;

#[test]
fn wrong_usage_and_an_unreachable_server_have_different_codes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let missing = at("missing");
    let missing = missing.as_str();
    let misspelt = at("misspelt.json");
    fs::write(&misspelt, r#"{"allow": ["/v1/*"], "denny": ["/v1/key/delete/*"]}"#).unwrap();
    let (dev, empty) = (at("dev"), at("empty"));
    fs::create_dir(&empty).unwrap();
    let (there, key) = (at("there"), at("key"));
    fs::write(&there, "").unwrap();
    let table: [(&[&str], i32); 28] = [
        (&["key", "create"], 2),
        (&["key", "ls", "--server", "a b"], 2),
        (&["key", "ls", "--ca", missing], 2),
        (&["key", "ls", "--api-key", "kes:v1:x"], 2),
        (&["key", "encrypt", "k", "!", "--base64"], 2),
        (&["server", "--config", missing], 2),
        (&["dev", "--dir", &dev, "--config", missing], 2),
        (&["policy", "create", "x", missing], 2),
        (&["policy", "create", "x", &misspelt], 2),
        (&["policy", "create", "x", "--allow", "v1"], 2),
        (&["policy", "create", "x"], 2),
        (&["policy", "create", "x", "-"], 2),
        (&["identity", "new", "--cert", &there, "--key", &key], 2),
        (&["identity", "new", "--cert", &at("none/crt"), "--key", &key], 2),
        (&["policy", "edit", "x"], 2),
        (&["policy", "apply", missing], 2),
        (&["identity", "of", missing], 2),
        (&["identity", "of"], 2),
        (&["identity", "info", ""], 2),
        (&["identity", "rm", ""], 2),
        (&["key", "import", "k", "--cipher", "aes256"], 2),
        (&["identity", "create", &"ab".repeat(32)], 2),
        (&["migrate", "keystore", missing], 2),
        (&["migrate", "static", missing], 2),
        (&["migrate", "config", missing], 2),
        (&["migrate", "keystore", &empty], 3),
        (&["audit", "verify", missing], 1),
        (&["key", "ls"], 3),
    ];
    for (words, code) in table {
        let ended = Shell::of_nobody().run(words);
        assert_eq!(ended.code, code, "keyraft {}: {ended:?}", words.join(" "));
        assert!(!ended.error.is_empty() && ended.output.is_empty(), "keyraft {}: {ended:?}", words.join(" "));
    }
    assert!(!fs::exists(key).unwrap(), "a private key without its certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_credentials_are_reported_first() {
    let cluster = Processes::start().await;
    let admin = Shell::of(&cluster);
    // `dev` also sets the variables that MinIO reads.
    let of_minio = admin.with("MINIO_KES_API_KEY", "");
    assert_eq!(of_minio.run(&["key", "ls"]).code, 0);
    let nobody = of_minio.with("MINIO_KMS_KES_API_KEY", "");
    for words in [&["key", "ls"][..], &["identity", "info"], &["cluster", "status"], &["log", "error"]] {
        let ended = nobody.run(words);
        assert!(ended.error.starts_with("Error: no API key and no certificate is set: "), "{words:?}: {ended:?}");
        assert!(
            ended.error.contains("MINIO_KES_CERT_FILE") && !ended.error.contains("is the server running"),
            "{ended:?}"
        );
        assert!(ended.code == 3 || ended.code == 1, "{words:?}: {ended:?}");
    }
    let away = Shell::of_nobody().run(&["key", "ls"]);
    assert!(away.error.contains("MINIO_KES_API_KEY") && away.error.contains("is the server running"), "{away:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_a_server_have_codes_of_their_own() {
    let cluster = Processes::start().await;
    let admin = Shell::of(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policies.yml");
    fs::write(&file, "policy: {app: {allow: [/v1/status]}}\n").unwrap();
    let file = file.to_str().unwrap();
    admin.json(&["key", "create", "there"]);
    let (_, nobody) = admin.someone(&[]);
    let table: [(&Shell, &[&str], i32); 9] = [
        (&admin, &["key", "ls"], 0),
        (&admin, &["key", "create", "there"], 1),
        (&admin, &["key", "info", "none"], 5),
        (&admin, &["key", "rm", "none"], 5),
        (&admin, &["policy", "show", "none"], 5),
        (&nobody, &["key", "ls"], 4),
        (&nobody, &["key", "rm", "there"], 4),
        (&admin, &["policy", "apply", file, "--dry-run"], 6),
        (&admin, &["policy", "apply", file], 2),
    ];
    for (shell, words, code) in table {
        let ended = shell.run(words);
        assert_eq!(ended.code, code, "keyraft {}: {ended:?}", words.join(" "));
    }
}
