//! The local socket in the data folder. It shows the cluster's status to the node's own user, in every state of the
//! node.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use serde_json::Value;
use tokio::net::{UnixListener, UnixStream};

use crate::error_code::{self, ErrorCode};
use crate::policy::{ActionKind, ClusterAction};

/// How long an earlier server may take to end.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// How often this looks whether the earlier server has ended.
const POLL: Duration = Duration::from_millis(50);

/// The name of the socket in the data folder.
pub const LOCAL_SOCKET: &str = "keyraft.sock";

/// Makes the status that the socket answers with.
pub type LocalStatus = Arc<dyn Fn() -> Value + Send + Sync>;

/// Serves `GET /v1/cluster/status` on a Unix socket, over plain HTTP/1.1, until dropped.
///
/// # Errors
/// The node cannot make the socket, or the socket fails.
#[expect(
    clippy::disallowed_methods,
    reason = "only the node's own user reaches this socket, so a slow head harms nobody"
)]
pub async fn serve_local(path: &Path, status: LocalStatus) -> io::Result<()> {
    let answer = move || async move { ([(CONTENT_TYPE, "application/json")], status().to_string()) };
    let refuse = |status, code: ErrorCode| async move { (status, [(error_code::HEADER, code.as_str())]) };
    let router = Router::new()
        .route(ActionKind::from(ClusterAction::Status).path(), get(answer))
        .fallback(move || refuse(StatusCode::NOT_FOUND, ErrorCode::UnknownPath))
        .method_not_allowed_fallback(move || refuse(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::MethodNotAllowed));
    wait_for_earlier_server(path).await?;
    axum::serve(listen(path)?, router).await
}

/// Waits for an earlier server to end. If another process goes on serving there, it has this data folder open, and
/// keeps its socket.
async fn wait_for_earlier_server(path: &Path) -> io::Result<()> {
    let deadline = Instant::now() + MAX_WAIT;
    while UnixStream::connect(path).await.is_ok() {
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// A socket that only its owner may use. It replaces one that an earlier process left behind.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn get(path: &Path, target: &str) -> String {
        answer_to(path, "GET", target).await
    }

    async fn answer_to(path: &Path, method: &str, target: &str) -> String {
        let mut stream = UnixStream::connect(path).await.unwrap();
        let request = format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_socket_that_another_process_serves_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyraft.sock");
        let _other = listen(&path).unwrap();
        let refused = tokio::time::timeout(MAX_WAIT * 6, serve_local(&path, Arc::new(|| Value::Null))).await.unwrap();
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn the_socket_shows_the_status_to_its_owner_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyraft.sock");
        for round in 0..2 {
            let status: LocalStatus = Arc::new(move || serde_json::json!({ "round": round }));
            let server = tokio::spawn({
                let path = path.clone();
                async move { serve_local(&path, status).await }
            });
            while UnixStream::connect(&path).await.is_err() {
                tokio::task::yield_now().await;
            }
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(get(&path, "/v1/cluster/status").await.ends_with(&format!(r#"{{"round":{round}}}"#)));
            for (method, target, refused) in [
                ("GET", "/v1/key/list/", ("HTTP/1.1 404 ", "unknown-path")),
                ("PUT", "/v1/cluster/status", ("HTTP/1.1 405 ", "method-not-allowed")),
            ] {
                let answer = answer_to(&path, method, target).await;
                let code = format!("\r\nkeyraft-error: {}\r\n", refused.1);
                assert!(answer.starts_with(refused.0) && answer.contains(&code), "{answer}");
            }
            server.abort();
            let _ = server.await;
        }
    }
}
