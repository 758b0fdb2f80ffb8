//! The status that nodes report on the local sockets in their data folders, in every state.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;
use tokio::net::UnixStream;

use super::http::Request;
use super::http1;

/// How often a test looks for what it awaits, every [`PAUSE`]. After that the cluster counts as stuck.
const ATTEMPTS: usize = 3_000;
const PAUSE: Duration = Duration::from_millis(20);

/// The status of the node with this data folder.
///
/// # Errors
/// The node does not answer.
pub async fn of(data: &Path) -> io::Result<Value> {
    let socket = UnixStream::connect(data.join("keyraft.sock")).await?;
    let answer = http1::send(socket, &Request::new("GET", "/v1/cluster/status", None)).await;
    Ok(answer.map_err(|error| io::Error::other(error.to_string()))?.json())
}

/// The statuses of the nodes with these data folders.
///
/// # Errors
/// One of them does not answer.
pub async fn of_all(nodes: &[PathBuf]) -> io::Result<Vec<Value>> {
    join_all(nodes.iter().map(|data| of(data))).await.into_iter().collect()
}

/// Waits until `look` finds something.
///
/// # Panics
/// It found nothing for too long.
pub async fn wait_for<T>(what: &str, nodes: &[PathBuf], look: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..ATTEMPTS {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("waited in vain for {what}; the nodes report: {:#?}", of_all(nodes).await);
}

/// Waits until a node reports this state, and returns its status.
pub async fn wait_for_state(data: &Path, state: &str) -> Value {
    let look = async || of(data).await.ok().filter(|status| status["node"]["state"] == state);
    wait_for(state, &[data.to_owned()], look).await
}

/// Waits until a node waits for something whose text has all of these words.
pub async fn wait_for_words(data: &Path, words: &[&str]) {
    let look = async || {
        let status = of(data).await.ok()?;
        let waits = status["waiting_for"].to_string();
        words.iter().all(|word| waits.contains(word)).then_some(())
    };
    wait_for(&format!("a node to wait for {words:?}"), &[data.to_owned()], look).await;
}

/// Waits until nodes have applied the same entries, and fails if their states differ then.
pub async fn assert_equal_digests(nodes: &[PathBuf]) {
    let look = async || {
        let seen = of_all(nodes).await.ok()?;
        let applied = seen.first()?["applied"].as_u64()?;
        let same = seen.iter().all(|status| status["applied"] == applied && status["committed"] == applied);
        same.then_some(seen)
    };
    let statuses = wait_for("every node to have applied the same", nodes, look).await;
    let digest = &statuses[0]["digest"];
    assert!(digest.is_string(), "a status has a digest: {}", statuses[0]);
    assert!(statuses.iter().all(|status| status["digest"] == *digest), "the states differ: {statuses:#?}");
}
