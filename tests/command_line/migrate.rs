//! `migrate` copies what a real KES stored, and the new server opens what KES sealed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::shell::Shell;
use crate::support::processes::Processes;

#[derive(Deserialize)]
struct Stored {
    file: String,
    content: String,
    algorithm: String,
    hmac_of_m: Option<String>,
    created_at: Option<String>,
}

#[derive(Deserialize)]
struct Sealed {
    cipher: String,
    form: String,
    context: String,
    plaintext: String,
    ciphertext: String,
}

fn stored() -> Vec<Stored> {
    serde_json::from_str(include_str!("../vectors/stored_keys.json")).unwrap()
}

fn sealed() -> Vec<Sealed> {
    let mut all: Value = serde_json::from_str(include_str!("../vectors/ciphertexts.json")).unwrap();
    serde_json::from_value(all["ciphertexts"].take()).unwrap()
}

fn keystore(folder: &Path) {
    for key in stored() {
        fs::write(folder.join(&key.file), &key.content).unwrap();
    }
    fs::write(folder.join(".lock"), "").unwrap();
}

fn outcome<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["keys"].as_array().unwrap().iter().find(|key| key["name"] == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keystore_is_copied_whole_and_proven() {
    let cluster = Processes::start().await;
    let (admin, folder) = (Shell::of(&cluster), tempfile::tempdir().unwrap());
    keystore(folder.path());
    let dir = folder.path().to_str().unwrap();

    let dry = admin.run(&["migrate", "keystore", dir, "--dry-run"]);
    assert_eq!((dry.code, admin.json(&["key", "ls"])["names"].as_array().unwrap().len()), (6, 0), "{dry:?}");

    // The server has one of them already, as after a migration that stopped halfway. The old server verifies all.
    let old = format!("https://{}", admin.server());
    let one = tempfile::tempdir().unwrap();
    fs::copy(folder.path().join("vec-aes"), one.path().join("vec-aes")).unwrap();
    admin.json(&["migrate", "keystore", one.path().to_str().unwrap()]);
    let report = admin.json(&["migrate", "keystore", dir, "--verify", &old]);
    assert_eq!(outcome(&report, "vec-aes")["outcome"], "there already");
    assert_eq!(*outcome(&report, "vec-cha"), json!({"name": "vec-cha", "outcome": "imported", "verified": true}));
    assert_eq!(outcome(&report, ".lock")["outcome"], "skipped");

    for key in stored() {
        let described = admin.json(&["key", "info", &key.file]);
        assert_eq!(described["algorithm"], key.algorithm.as_str());
        // A key without a date gets neither date nor maker.
        let created_at = key.created_at.unwrap_or_else(|| "0001-01-01T00:00:00Z".to_owned());
        assert_eq!(described["created_at"], created_at.as_str(), "{}", key.file);
        if created_at.starts_with("0001") {
            assert_eq!(described["created_by"], Value::Null, "{}", key.file);
        }
        let hmac = admin.run(&["key", "hmac", &key.file, "m"]);
        match key.hmac_of_m {
            Some(expected) => assert!(hmac.output.contains(&expected), "{}: {hmac:?}", key.file),
            None => assert!(hmac.error.contains("does not support HMAC"), "{}: {hmac:?}", key.file),
        }
    }
    for sealed in sealed() {
        let name = if sealed.cipher == "AES256" { "vec-aes" } else { "vec-cha" };
        let opened = admin.run_with_input(&["key", "decrypt", name, "-", &sealed.context], &sealed.ciphertext);
        let opened: Value =
            serde_json::from_str(&opened.output).unwrap_or_else(|_| panic!("{}: {opened:?}", sealed.form));
        assert_eq!(opened["plaintext"], sealed.plaintext.as_str(), "{}", sealed.form);
    }

    // The old material still proves a key after a rotation.
    admin.json(&["key", "rotate", "vec-aes"]);
    let again = admin.json(&["migrate", "keystore", dir]);
    assert!(again["keys"].as_array().unwrap().iter().all(|key| key["outcome"] != "imported"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_verifies_keys_or_ends_the_migration() {
    let (old_cluster, new_cluster) = tokio::join!(Processes::start(), Processes::start());
    let (old, new, folder) = (Shell::of(&old_cluster), Shell::of(&new_cluster), tempfile::tempdir().unwrap());
    let dir = folder.path().to_str().unwrap();
    let content = stored().into_iter().find(|key| key.file == "vec-aes").unwrap().content;
    for number in 0..20 {
        fs::write(folder.path().join(format!("key-{number:02}")), &content).unwrap();
    }
    old.json(&["migrate", "keystore", dir]);
    let (url, ca) = (format!("https://{}", old.server()), old.variable("KEYRAFT_CA").to_owned());
    let verify = ["migrate", "keystore", dir, "--verify", &url, "--verify-ca", &ca];

    // An old server that is away ends the command before it changes anything.
    for more in [&["--dry-run"][..], &[]] {
        let away = ["migrate", "keystore", dir, "--verify", "https://127.0.0.1:1", "--verify-ca", &ca];
        let ended = new.run(&[&away[..], more].concat());
        assert_eq!((ended.code, ended.error.contains("the old server: ")), (3, true), "{ended:?}");
    }
    assert_eq!(new.json(&["key", "ls"])["names"], json!([]));

    // So does one that refuses the caller, or whose certificate is not trusted. The advice is about that server.
    let (_, stranger) = old.someone(&[]);
    let stranger = new.with("KEYRAFT_VERIFY_API_KEY", stranger.variable("MINIO_KES_API_KEY"));
    for more in [&["--dry-run"][..], &[]] {
        let ended = stranger.run(&[&verify[..], more].concat());
        assert_eq!((ended.code, ended.output.as_str()), (4, ""), "{ended:?}");
        assert!(
            ended.error.contains("KEYRAFT_VERIFY_API_KEY") && ended.error.contains("/v1/key/encrypt/"),
            "{ended:?}"
        );
        let ended = stranger.run(&[&verify[..5], more].concat());
        assert_eq!((ended.code, ended.error.contains("--verify-ca")), (3, true), "{ended:?}");
    }
    assert_eq!(new.json(&["key", "ls"])["names"], json!([]));

    // With credentials that the old server accepts, the command verifies. The variable alone does not make it verify.
    let known = new.with("KEYRAFT_VERIFY_API_KEY", old.variable("MINIO_KES_API_KEY"));
    let report = known.json(&verify);
    assert!(report["keys"].as_array().unwrap().iter().all(|key| key["verified"] == true), "{report}");
    known.json(&["migrate", "keystore", dir]);
    new.json(&["key", "rotate", "key-00"]);
    let report = known.json(&verify);
    let rotated = outcome(&report, "key-00");
    assert_eq!((&rotated["outcome"], &rotated["verified"]), (&json!("there already"), &json!(true)), "{rotated}");
    assert!(rotated["reason"].as_str().unwrap().starts_with("rotated on the new server"), "{rotated}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_files_in_the_keystore_are_skipped_or_fail() {
    let cluster = Processes::start().await;
    let (admin, folder) = (Shell::of(&cluster), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name);
    keystore(folder.path());
    fs::create_dir(at("nested")).unwrap();
    keystore(&at("nested"));
    std::os::unix::fs::symlink("vec-aes", at("linked")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("astray")).unwrap();
    std::os::unix::fs::symlink("circle", at("circle")).unwrap();
    let maker = at("by-nobody");
    fs::write(&maker, r#"{"bytes": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "created_by": "root"}"#).unwrap();
    let (fifo, owner) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), fifo, owner, 0).unwrap();
    fs::write(at("closed"), "secret").unwrap();
    fs::set_permissions(at("closed"), fs::Permissions::from_mode(0o000)).unwrap();

    let ended = admin.run(&["migrate", "keystore", folder.path().to_str().unwrap()]);
    assert_eq!((ended.code, ended.error.contains("3 keys need a look")), (1, true), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.output).unwrap();
    for (name, expected) in [
        ("vec-aes", "imported"),
        ("linked", "imported"),
        ("by-nobody", "imported"),
        ("nested", "skipped"),
        ("pipe", "skipped"),
        ("astray", "failed"),
        ("circle", "failed"),
        ("closed", "failed"),
    ] {
        assert_eq!(outcome(&report, name)["outcome"], expected, "{name}: {report}");
    }
    assert!(outcome(&report, "by-nobody")["reason"].as_str().unwrap().contains("its creator"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_of_the_same_name_is_reported_and_not_overwritten() {
    let cluster = Processes::start().await;
    let (admin, folder) = (Shell::of(&cluster), tempfile::tempdir().unwrap());
    keystore(folder.path());
    fs::write(folder.path().join("broken"), "not a key").unwrap();
    admin.json(&["key", "create", "vec-aes"]);
    let before = admin.json(&["key", "encrypt", "vec-aes", "mine"])["ciphertext"].as_str().unwrap().to_owned();

    let ended = admin.run(&["migrate", "keystore", folder.path().to_str().unwrap()]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.error.contains("2 keys need a look"), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!(outcome(&report, "vec-aes")["outcome"], "different");
    assert_eq!(outcome(&report, "broken")["outcome"], "failed");
    assert_eq!(outcome(&report, "vec-cha")["outcome"], "imported");
    assert_eq!(admin.run(&["key", "decrypt", "vec-aes", &before, "--raw"]).output, "mine");

    let material = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let secret = admin.with("MINIO_KMS_SECRET_KEY", &format!("minio-key:{material}"));
    assert_eq!(outcome(&secret.json(&["migrate", "static"]), "minio-key")["outcome"], "imported");
    let from_input = admin.run_with_input(&["migrate", "static", "-"], &format!("minio-key:{material}\n"));
    assert!(from_input.output.contains("there already") && !from_input.output.contains("AAECAw"), "{from_input:?}");
    let other = admin.with("MINIO_KMS_SECRET_KEY", &format!("minio-key:{}", material.replace("AAEC", "BBEC")));
    assert_eq!(other.run(&["migrate", "static"]).code, 1);

    // A caller who is not an admin cannot keep the keys' dates.
    admin.json(&["policy", "create", "carrier", "--allow", "/v1/key/*"]);
    let (identity, carrier) = admin.someone(&["--policy", "carrier"]);
    admin.json(&["key", "rm", "vec-cha", "--force"]);
    let ended = carrier.run(&["migrate", "keystore", folder.path().to_str().unwrap()]);
    assert!(ended.error.contains("only an admin"), "{ended:?}");
    assert_eq!(admin.json(&["key", "info", "vec-cha"])["created_by"], identity.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_and_identities_of_a_kes_configuration_are_copied() {
    let cluster = Processes::start().await;
    let (admin, folder) = (Shell::of(&cluster), tempfile::tempdir().unwrap());
    let path = folder.path().join("kes.yml");
    let (old_admin, app) = ("8bc7c801".repeat(8), "8087b18d".repeat(8));
    let text = format!(
        "version: v1\naddress: 0.0.0.0:7373\nadmin: {{identity: {old_admin}}}\ntls: {{key: a, cert: b}}\npolicy:\n  \
         my-app: {{allow: [/v1/key/create/*], identities: [{app}]}}\nkeystore: {{fs: {{path: /keys}}}}\n"
    );
    fs::write(&path, text).unwrap();
    let file = path.to_str().unwrap();
    let dry = admin.run(&["migrate", "config", file, "--dry-run"]);
    assert_eq!((dry.code, dry.error.contains("Skipped: keystore: line 7: ")), (6, true), "{dry:?}");
    let ended = admin.run(&["migrate", "config", file, "--yes"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.error.contains(&format!("keyraft identity create {old_admin} --admin")), "{ended:?}");
    assert_eq!(admin.json(&["identity", "info", &app])["policy"], "my-app");
    admin.json(&["identity", "create", &old_admin, "--admin"]);
    let again = admin.run(&["migrate", "config", file, "--yes"]);
    let notes = again.error.lines().filter(|line| !line.starts_with("Skipped: "));
    assert_eq!((again.code, notes.count()), (0, 0), "{again:?}");
}
