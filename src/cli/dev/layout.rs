//! The files and ports of a development cluster. Only this file knows them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Peer ports are this far above API ports.
const PEER_PORT_OFFSET: u16 = 100;
/// The longest path of a data folder: a Unix socket's path has at most 107 bytes, and ends with the socket's name.
const MAX_DATA_PATH: usize = 107 - "/keyraft.sock".len();

/// The options with which a cluster was made; a file in its folder keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Port of the first node's API.
    pub port: u16,
    /// How many nodes.
    pub nodes: u16,
    /// The KES configuration that it borrowed settings from, if any.
    pub config: Option<BorrowedFrom>,
    /// A key name for programs that need one.
    pub key_name: String,
}

/// A KES configuration file, and what it contained at the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BorrowedFrom {
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of its content in hexadecimal.
    pub sha256: String,
}

/// The paths and addresses of a cluster.
#[derive(Debug, Clone)]
pub struct Layout {
    dir: PathBuf,
    origin: Origin,
}

impl Layout {
    /// The layout of a cluster in `dir`, an absolute path.
    pub fn new(dir: PathBuf, origin: Origin) -> Self {
        Self { dir, origin }
    }

    /// The file that keeps the origin of a cluster in `dir`.
    pub fn origin_file(dir: &Path) -> PathBuf {
        dir.join("dev.json")
    }

    /// The options with which it was made.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The numbers of its nodes, from 1.
    pub fn numbers(&self) -> impl Iterator<Item = u16> + use<> {
        1..=self.origin.nodes
    }

    /// The cluster's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The CA of the API's certificates.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// The admin's certificate.
    pub fn admin_certificate(&self) -> PathBuf {
        self.dir.join("admin.crt")
    }

    /// The admin's private key.
    pub fn admin_key(&self) -> PathBuf {
        self.dir.join("admin.key")
    }

    /// The file to source in a shell.
    pub fn environment(&self) -> PathBuf {
        self.dir.join("env")
    }

    /// The root key, which all nodes share.
    pub fn root_key(&self) -> PathBuf {
        self.dir.join("root.key")
    }

    /// A node's name.
    pub fn node_name(&self, number: u16) -> String {
        format!("node-{number}")
    }

    /// A node's folder.
    pub fn node_dir(&self, number: u16) -> PathBuf {
        self.dir.join(self.node_name(number))
    }

    /// A node's configuration.
    pub fn node_config(&self, number: u16) -> PathBuf {
        self.node_dir(number).join("config.yml")
    }

    /// The file with a node's standard output and error.
    pub fn node_log(&self, number: u16) -> PathBuf {
        self.node_dir(number).join("keyraft.log")
    }

    /// A node's data folder.
    pub fn node_data(&self, number: u16) -> PathBuf {
        self.node_dir(number).join("data")
    }

    /// Where a node's API listens.
    pub fn api_address(&self, number: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.origin.port + number - 1)
    }

    /// Where a node's peer listener listens.
    pub fn peer_address(&self, number: u16) -> SocketAddr {
        let api = self.api_address(number);
        SocketAddr::new(api.ip(), api.port() + PEER_PORT_OFFSET)
    }

    /// Whether the nodes' local sockets have short enough paths.
    pub fn fits_sockets(&self) -> bool {
        self.node_data(self.origin.nodes).as_os_str().len() <= MAX_DATA_PATH
    }

    /// The same layout in another folder. Files are written there before that folder gets its final name.
    pub fn moved_to(&self, dir: PathBuf) -> Self {
        Self { dir, origin: self.origin.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_each_other_and_sockets_must_fit() {
        let origin = Origin { port: 7373, nodes: 3, config: None, key_name: "k".into() };
        let layout = Layout::new("/tmp/x".into(), origin);
        assert_eq!(layout.api_address(3).port(), 7375);
        assert_eq!(layout.peer_address(1).port(), 7473);
        assert!(layout.fits_sockets());
        assert!(!layout.moved_to(format!("/{}", "x".repeat(90)).into()).fits_sockets());
    }
}
