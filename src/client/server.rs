//! The routes about the server itself.

use hyper::Method;

use super::exchange::Call;
use super::{Api, Client, ClusterStatus, Error, Status, Version};

impl Client {
    /// The server's version.
    ///
    /// # Errors
    /// No certificate, or no answer.
    pub async fn version(&self) -> Result<Version, Error> {
        self.fetch(&Call::new(Method::GET, "/version")).await
    }

    /// Whether the server is ready to serve.
    ///
    /// # Errors
    /// It is not, or gives no answer.
    pub async fn ready(&self) -> Result<(), Error> {
        self.exchange(&Call::new(Method::GET, "/v1/ready")).await.map(drop)
    }

    /// The server's figures.
    ///
    /// # Errors
    /// 403, or no answer.
    pub async fn status(&self) -> Result<Status, Error> {
        self.fetch(&Call::new(Method::GET, "/v1/status")).await
    }

    /// The server's routes.
    ///
    /// # Errors
    /// 403, or no answer.
    pub async fn apis(&self) -> Result<Vec<Api>, Error> {
        self.fetch(&Call::new(Method::GET, "/v1/api")).await
    }

    /// The cluster, as the node that answers sees it.
    ///
    /// # Errors
    /// 404 from a server that has no cluster, 403, or no answer.
    pub async fn cluster_status(&self) -> Result<ClusterStatus, Error> {
        self.fetch(&Call::new(Method::GET, "/v1/cluster/status")).await
    }
}
