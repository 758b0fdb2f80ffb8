//! The seal: where the root key comes from, and when a sealed node tries again.

use std::path::Path;
use std::time::Duration;

use tokio::sync::Notify;
use zeroize::Zeroizing;

use crate::config::SealConfig;
use crate::crypto::{BootstrapKey, RootKey};
use crate::file::{self, Named};
use crate::kms::SealError;

/// The first pause of a sealed node. Each further one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The byte order mark that Windows puts before text in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";
const ROOT_KEY_BYTES: usize = 32;

/// The pauses between a sealed node's attempts to open its seal.
pub(super) struct Pauses(Duration);

impl Pauses {
    /// The pauses of a node that has just found itself sealed.
    pub fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    /// Waits until the next attempt. A notification of `asked` ends the pause at once.
    pub async fn wait(&mut self, asked: &Notify) {
        // Either way the node tries again.
        drop(tokio::time::timeout(self.next(), asked.notified()).await);
    }

    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

/// Reads the root key that the configuration names.
///
/// # Errors
/// The root key is missing or malformed. The node stays sealed and says so.
pub(super) fn root_key(seal: &SealConfig) -> Result<RootKey, SealError> {
    let content = match seal {
        SealConfig::File(path) => file::read(path, Named::BySetting).map_err(|error| missing(error.to_string()))?,
        SealConfig::Env(name) => Zeroizing::new(
            std::env::var(name).map_err(|_| missing(format!("the variable {name} is not set")))?.into_bytes(),
        ),
    };
    let text = std::str::from_utf8(content.strip_prefix(MARK).unwrap_or(&content)).unwrap_or_default();
    text.parse().map_err(|_| missing(format!("{} {}", source(seal), instead(&content))))
}

/// Returns the key with which the nodes of a new cluster prove that they belong together: the one in this file, or else the
/// one that the root key yields.
///
/// # Errors
/// The file cannot be read, or does not hold a random key.
pub(super) fn bootstrap_key(file: Option<&Path>, root: &RootKey) -> Result<BootstrapKey, SealError> {
    let Some(path) = file else { return Ok(BootstrapKey::of_root_key(root)) };
    let content = file::read(path, Named::BySetting).map_err(|error| SealError::NoBootstrapKey(error.to_string()))?;
    let text = std::str::from_utf8(content.strip_prefix(MARK).unwrap_or(&content)).unwrap_or_default();
    let key: Option<BootstrapKey> = text.parse().ok();
    let wrong = || SealError::NoBootstrapKey(format!("{} does not hold 32 random bytes in base64", path.display()));
    key.filter(|_| is_random(text)).ok_or_else(wrong)
}

/// Whether the bytes in this base64 differ, as random ones do.
fn is_random(text: &str) -> bool {
    let letters: std::collections::BTreeSet<_> = text.trim().bytes().collect();
    letters.len() > 8
}

/// Says what stands in place of a root key, without showing any of it.
fn instead(content: &[u8]) -> &'static str {
    let content = content.trim_ascii();
    if content.is_empty() {
        "is empty"
    } else if content.starts_with(b"kes:") {
        "holds an API key instead of a root key"
    } else if content.starts_with(b"-----BEGIN ") {
        "holds PEM instead of a root key, which is 32 bytes in base64"
    } else if content.len() == ROOT_KEY_BYTES && std::str::from_utf8(content).is_err() {
        "holds 32 bytes as they are: a root key is those bytes in base64, as `base64` writes them"
    } else {
        "does not hold a root key, which is 32 bytes in base64"
    }
}

/// Says why a node is sealed: the setting, what is wrong, and what to do.
pub(super) fn reason(seal: &SealConfig, error: &SealError) -> String {
    match seal {
        _ if matches!(error, SealError::NoBootstrapKey(_)) => format!(
            "cluster.bootstrap_key: {error}. Put the same 32 random bytes in base64 there on every node of the new cluster, or \
             remove the setting on every node: the node tries again every minute, and at once on SIGHUP"
        ),
        // Never advise to overwrite a file that exists: its content may be needed.
        SealConfig::File(path) if path.symlink_metadata().is_ok() => format!(
            "seal.file: {error}. In seal.file, name the file that holds the root key of this cluster instead of {}, and \
             send SIGHUP",
            path.display()
        ),
        SealConfig::File(path) => format!(
            "seal.file: {error}. Put the root key of this cluster into {}: the node tries again every minute, and at \
             once on SIGHUP",
            path.display()
        ),
        SealConfig::Env(name) => {
            format!("seal.env: {error}. Start the node again with the root key of this cluster in the variable {name}")
        }
    }
}

fn source(seal: &SealConfig) -> String {
    match seal {
        SealConfig::File(path) => path.display().to_string(),
        SealConfig::Env(name) => format!("the variable {name}"),
    }
}

fn missing(why: String) -> SealError {
    SealError::NoRootKey(why)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_sealed_node_tries_again_soon_and_then_less_often() {
        let mut pauses = Pauses::new();
        let seconds: Vec<_> = (0..6).map(|_| pauses.next().as_secs()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 60, 60]);
    }

    #[tokio::test]
    async fn a_notification_ends_the_pause() {
        let (mut pauses, asked) = (Pauses::new(), Notify::new());
        assert!(pauses.wait(&asked).now_or_never().is_none());
        asked.notify_one();
        assert!(pauses.wait(&asked).now_or_never().is_some());
    }

    #[test]
    fn a_root_key_may_begin_with_a_byte_order_mark() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        fs::write(&path, [MARK, b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"].concat()).unwrap();
        assert!(root_key(&SealConfig::File(path)).is_ok());
    }

    #[test]
    fn every_reason_names_the_setting_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let file = SealConfig::File(path.clone());
        let said = |seal: &SealConfig| reason(seal, &root_key(seal).unwrap_err());
        let shown = path.display().to_string();
        assert!(said(&file).starts_with(&format!("seal.file: cannot read {shown}: No such file")), "{}", said(&file));
        let words = "Put the root key of this cluster into ";
        assert!(said(&file).contains(words), "{}", said(&file));
        let table: [(&[u8], &str); 8] = [
            (b"\n", "is empty."),
            (b"\xef\xbb\xbf", "does not hold a root key, which is 32 bytes in base64."),
            (b"c2hvcnQ=", "does not hold a root key, which is 32 bytes in base64."),
            (b"\xff\xfe", "does not hold a root key, which is 32 bytes in base64."),
            (b"kes:v1:x", "holds an API key instead of a root key."),
            (b"-----BEGIN PRIVATE KEY-----\n", "holds PEM instead of a root key, which is 32 bytes in base64."),
            (&[0xff; 32], "holds 32 bytes as they are: a root key is those bytes in base64, as `base64` writes them."),
            (&[b'x'; 32], "does not hold a root key, which is 32 bytes in base64."),
        ];
        for (bad, why) in table {
            fs::write(&path, bad).unwrap();
            let whole = format!(
                "seal.file: {shown} {why} In seal.file, name the file that holds the root key of this cluster instead of \
                 {shown}, and send SIGHUP"
            );
            assert_eq!(said(&file), whole);
        }
        let device = SealConfig::File("/dev/zero".into());
        let words = "seal.file: cannot read /dev/zero: it is a device; name a regular file. In seal.file, name";
        assert!(said(&device).starts_with(words), "{}", said(&device));
        let env = SealConfig::Env("KEYRAFT_TEST_UNSET".to_owned());
        let words = "seal.env: the variable KEYRAFT_TEST_UNSET is not set. Start the node again";
        assert!(said(&env).starts_with(words), "{}", said(&env));
    }

    #[test]
    fn a_bootstrap_key_is_random_and_its_own_file_comes_before_the_root_key() {
        let folder = tempfile::tempdir().unwrap();
        let (path, root) = (folder.path().join("bootstrap.key"), RootKey::random());
        let of_root = BootstrapKey::of_root_key(&root);
        assert_eq!(bootstrap_key(None, &root), Ok(of_root.clone()));
        let refused = |seal: &SealConfig| {
            let error = bootstrap_key(Some(&path), &root).unwrap_err();
            reason(seal, &error)
        };
        let seal = SealConfig::Env("ROOT".to_owned());
        assert!(refused(&seal).starts_with("cluster.bootstrap_key: cannot read "), "{}", refused(&seal));
        for weak in ["", "c2hvcnQ=", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] {
            fs::write(&path, weak).unwrap();
            assert!(refused(&seal).contains("does not hold 32 random bytes in base64. Put the same"), "{weak}");
        }
        fs::write(&path, &*RootKey::random().to_base64()).unwrap();
        let own = bootstrap_key(Some(&path), &root).unwrap();
        assert_ne!(own, of_root);
        assert_eq!(bootstrap_key(Some(&path), &RootKey::random()), Ok(own));
    }
}
