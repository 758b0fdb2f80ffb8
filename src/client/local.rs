//! A node's local socket: a Unix socket in its data folder that answers even while the node is sealed or starting.

use std::io;
use std::path::Path;
use std::time::Duration;

use hyper::Method;
use tokio::net::UnixStream;

use super::connection::Connection;
use super::exchange::{Answer, Call, read};
use super::{ClusterStatus, Endpoint, Error, listing};
use crate::policy::ClusterAction;

const SOCKET: &str = "keyraft.sock";
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the node with this data folder, which must run on this machine, for its view of the cluster.
///
/// # Errors
/// [`Error::Socket`] if no node answers there.
pub async fn local_cluster_status(data: &Path) -> Result<ClusterStatus, Error> {
    let path = data.join(SOCKET);
    let call = Call::new(Method::GET, listing::path(ClusterAction::Status, ""));
    let broken = |source| Error::Socket { path: path.clone(), source };
    let asked = tokio::time::timeout(TIMEOUT, ask(&path, &call)).await;
    asked.map_err(|_| broken(io::ErrorKind::TimedOut.into()))?.map_err(broken)??.parse(&call.path)
}

async fn ask(path: &Path, call: &Call) -> io::Result<Result<Answer, Error>> {
    let stream = UnixStream::connect(path).await?;
    let mut connection = Connection::http1(stream).await.map_err(io::Error::other)?;
    let host = Endpoint { host: "localhost".to_owned(), port: 0 };
    let request = call.request(&host, false).map_err(io::Error::other)?;
    let response = connection.send(request).await.map_err(io::Error::other)?;
    read(response, call).await.map_err(io::Error::other)
}
