//! The routes about the server itself.

use hyper::Method;

use super::exchange::Call;
use super::listing::path;
use super::{ApiClient, ApiRoute, ClusterStatus, Error, Status, Version};
use crate::policy::{ActionKind, ClusterAction, SystemAction};

impl ApiClient {
    /// The server's version.
    ///
    /// # Errors
    /// No certificate, or no answer.
    pub async fn version(&self) -> Result<Version, Error> {
        self.fetch(&Call::new(Method::GET, path(SystemAction::Version, ""))).await
    }

    /// Whether the server is ready to serve.
    ///
    /// # Errors
    /// It is not ready, or gives no answer.
    pub async fn ready(&self) -> Result<(), Error> {
        self.exchange(&Call::new(Method::GET, path(SystemAction::Ready, ""))).await.map(drop)
    }

    /// The server's version, machine and load.
    ///
    /// # Errors
    /// 403, or no answer.
    pub async fn status(&self) -> Result<Status, Error> {
        self.fetch(&Call::new(Method::GET, path(SystemAction::Status, ""))).await
    }

    /// The server's routes.
    ///
    /// # Errors
    /// 403, or no answer.
    pub async fn apis(&self) -> Result<Vec<ApiRoute>, Error> {
        self.fetch(&Call::new(Method::GET, path(SystemAction::Api, ""))).await
    }

    /// The state of the cluster, as the node that answers sees it.
    ///
    /// # Errors
    /// 404 from a server without a cluster, 403, or no answer.
    pub async fn cluster_status(&self) -> Result<ClusterStatus, Error> {
        self.fetch(&Call::new(Method::GET, path(ClusterAction::Status, ""))).await
    }

    /// The server's metrics in the Prometheus text format: those that KES has, or those of the cluster and its storage.
    ///
    /// # Errors
    /// 404 from a server without a cluster, 403, or no answer.
    pub async fn metrics(&self, of_cluster: bool) -> Result<String, Error> {
        let metrics = if of_cluster { ClusterAction::Metrics.into() } else { ActionKind::from(SystemAction::Metrics) };
        let path = path(metrics, "");
        let answer = self.exchange(&Call { accept: "*/*", ..Call::new(Method::GET, path.as_str()) }).await?;
        String::from_utf8(answer.body.to_vec()).map_err(|error| Error::Malformed { path, reason: error.to_string() })
    }
}
