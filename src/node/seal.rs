//! The seal: where the root key comes from, and when a sealed node tries again.

use std::fs;
use std::time::Duration;

use tokio::sync::Notify;
use zeroize::Zeroizing;

use crate::config::SealConfig;
use crate::crypto::RootKey;
use crate::kms::SealError;

/// The first pause of a sealed node; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The pauses between a sealed node's attempts to open its seal.
pub(super) struct Pauses(Duration);

impl Pauses {
    pub fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    /// Waits for the next attempt; `asked` brings it at once.
    pub async fn wait(&mut self, asked: &Notify) {
        // Either way it is time.
        drop(tokio::time::timeout(self.next(), asked.notified()).await);
    }

    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

/// The root key that the configuration names.
///
/// # Errors
/// It is not there, or is no root key; the node stays sealed and says so.
pub(super) fn root_key(seal: &SealConfig) -> Result<RootKey, SealError> {
    let text = match seal {
        SealConfig::File(path) => Zeroizing::new(
            fs::read_to_string(path).map_err(|error| missing(format!("cannot read {}: {error}", path.display())))?,
        ),
        SealConfig::Env(name) => {
            Zeroizing::new(std::env::var(name).map_err(|_| missing(format!("the variable {name} is not set")))?)
        }
    };
    text.parse().map_err(|_| missing(format!("{} holds no root key, which is 32 bytes in base64", source(seal))))
}

/// What a sealed node says: the setting, what is wrong, and what to do.
pub(super) fn reason(seal: &SealConfig, error: &SealError) -> String {
    match seal {
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
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_sealed_node_tries_again_soon_and_then_less_often() {
        let mut pauses = Pauses::new();
        let seconds: Vec<_> = (0..6).map(|_| pauses.next().as_secs()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 60, 60]);
    }

    #[tokio::test]
    async fn an_attempt_that_is_asked_for_comes_at_once() {
        let (mut pauses, asked) = (Pauses::new(), Notify::new());
        assert!(pauses.wait(&asked).now_or_never().is_none());
        asked.notify_one();
        assert!(pauses.wait(&asked).now_or_never().is_some());
    }

    #[test]
    fn every_reason_names_the_setting_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let file = SealConfig::File(path.clone());
        let said = |seal: &SealConfig| reason(seal, &root_key(seal).unwrap_err());
        let shown = path.display().to_string();
        assert!(said(&file).starts_with(&format!("seal.file: cannot read {shown}: No such file")), "{}", said(&file));
        for bad in ["", "c2hvcnQ=", "kes:v1:x"] {
            fs::write(&path, bad).unwrap();
            let begins = format!("seal.file: {shown} holds no root key, which is 32 bytes in base64. Put the root key");
            assert!(said(&file).starts_with(&begins), "{}", said(&file));
        }
        let env = SealConfig::Env("KEYRAFT_TEST_UNSET".to_owned());
        let words = "seal.env: the variable KEYRAFT_TEST_UNSET is not set. Start the node again";
        assert!(said(&env).starts_with(words), "{}", said(&env));
    }
}
