//! What stops a node: the first broken invariant, for whoever must end the process.

use tokio::sync::watch;

/// Reports and awaits the node's end. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Failure {
    first: watch::Sender<Option<String>>,
}

impl Default for Failure {
    fn default() -> Self {
        Self { first: watch::Sender::new(None) }
    }
}

impl Failure {
    /// Reports a broken invariant; the node must stop.
    pub fn report(&self, reason: &str) {
        let is_first = self.first.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert_with(|| reason.to_owned());
            is_first
        });
        if is_first {
            tracing::error!(reason, "the node must stop");
        }
    }

    /// Waits for the first report.
    pub async fn reported(&self) -> String {
        let mut first = self.first.subscribe();
        let reported = first.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reported {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }
}
