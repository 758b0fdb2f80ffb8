//! A node's disk does not open a key without the root key: log, keystore and snapshots hold sealed entries.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::cluster;
use super::snapshot_install::snapshots_early;

const KEY: [u8; 32] = *b"these bytes must not hit a disk!";

#[tokio::test(flavor = "multi_thread")]
async fn key_bytes_never_reach_a_disk() {
    let mut cluster = cluster(3, snapshots_early).await;
    let user = cluster.admin();
    let body = json!({ "key": BASE64_STANDARD.encode(KEY), "cipher": "AES256" });
    user.ask(cluster.follower().await, "PUT", "/v1/key/import/known", Some(&body)).await.expect("the key is new");
    let data_key = user.generate(0, "known").await.expect("the key is there");
    user.create_many("other", 240).await;
    for node in 0..3 {
        let snapshots = cluster.data(node).join("snapshots");
        cluster.wait_for("a snapshot", async || fs::read_dir(&snapshots).ok()?.flatten().next().map(drop)).await;
    }
    let data: Vec<_> = (0..3).map(|node| cluster.data(node).to_owned()).collect();
    cluster.stop_all().await;
    let data_key = BASE64_STANDARD.decode(&data_key.plaintext).expect("a data key is base64");
    let secrets = [&KEY[..], &data_key, &[0x5a; 32]];
    for folder in data {
        let mut kinds = Vec::new();
        for file in files(&folder) {
            let content = fs::read(&file).expect("the file is readable");
            assert_has_none_of(&file, &content, &secrets);
            let kind = file.strip_prefix(&folder).expect("it is below").components().next();
            kinds.extend(kind.map(|kind| kind.as_os_str().to_owned()));
        }
        for kind in ["log", "keystore", "snapshots"] {
            assert!(kinds.iter().any(|found| found == kind), "{} holds files", folder.join(kind).display());
        }
    }
}

/// Fails if the file contains a secret: as it is, in base64 at any alignment, or in hexadecimal.
fn assert_has_none_of(file: &Path, content: &[u8], secrets: &[&[u8]]) {
    for secret in secrets {
        let hex = hex::encode(secret);
        let base64 = (0..3).map(|shift| {
            let whole = BASE64_STANDARD.encode([&vec![0; shift][..], secret].concat());
            // Only the characters in the middle do not depend on the bytes around the secret.
            whole.as_bytes()[4..40].to_vec()
        });
        let forms = base64.chain([secret.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()]);
        for form in forms {
            let found = content.windows(form.len()).any(|window| window == form);
            assert!(!found, "{} holds {}", file.display(), String::from_utf8_lossy(&form));
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is readable").flatten().map(|entry| entry.path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.is_file())
        .collect()
}
