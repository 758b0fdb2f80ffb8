//! Reports why the node must stop, such as a failed disk, to the code that ends the process.

use std::fmt;

use tokio::sync::watch;

/// The first reason why the node must stop. All clones share it.
#[derive(Clone)]
pub struct Failure {
    first: watch::Sender<Option<StopReason>>,
}

/// Why a node must stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReason {
    /// What happened, and what to do.
    pub text: String,
    /// Whether a restart alone does not help: somebody must act first.
    pub is_lasting: bool,
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Default for Failure {
    fn default() -> Self {
        Self { first: watch::Sender::new(None) }
    }
}

impl Failure {
    /// Reports that the node must stop, and why. Its next start may go on. Only the first report counts.
    pub fn report(&self, reason: &str) {
        self.stop(StopReason { text: reason.to_owned(), is_lasting: false });
    }

    /// Reports the same, where somebody must act before the next start can go on.
    pub fn report_lasting(&self, reason: &str) {
        self.stop(StopReason { text: reason.to_owned(), is_lasting: true });
    }

    fn stop(&self, reason: StopReason) {
        self.first.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                // Log before the waiting code sees the report, because it ends the process.
                tracing::error!(reason = reason.text, "the node must stop");
                *first = Some(reason);
            }
            is_first
        });
    }

    /// Reports that the log or the keystore failed, usually because of the disk.
    pub fn report_storage(&self, what: &str, error: &dyn std::fmt::Display) {
        self.report(&format!(
            "{what} failed: {error}. The node stops before it can lose what it acknowledged. If the disk of \
             cluster.data is full or broken, give it room or repair it, and start the node again"
        ));
    }

    /// The first report, if somebody has made one.
    pub fn now(&self) -> Option<StopReason> {
        self.first.borrow().clone()
    }

    /// Waits for the first report.
    pub async fn reported(&self) -> StopReason {
        let mut first = self.first.subscribe();
        let reported = first.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reported {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_first_report_counts() {
        let failure = Failure::default();
        failure.report_storage("the log", &"No space left on device");
        failure.report_lasting("consensus has panicked");
        let heard = failure.reported().await;
        assert!(heard.text.starts_with("the log failed: No space left on device") && !heard.is_lasting, "{heard}");
        assert_eq!(failure.now(), Some(heard));
    }
}
