//! What somebody finds who can read a data folder, and copies of such folders.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use keyraft::crypto::{ClusterKeys, RootKey};
use keyraft::kms;
use keyraft::state::ClusterState;
use keyraft::store::{ClusterFacts, ClusterFile};
use tempfile::TempDir;

/// A copy of a data folder.
pub struct Copied {
    folder: TempDir,
}

impl Copied {
    /// Copies the folder of a node that does not run.
    pub fn of(data: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        copy(data, &folder.path().join("data"));
        Self { folder }
    }

    /// The path of the copy.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Puts the copy in the place of a folder.
    pub fn put_back(&self, data: &Path) {
        fs::remove_dir_all(data).expect("the folder is there");
        copy(&self.path(), data);
    }
}

/// Copies files and folders, but no sockets.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("the folder is writable");
    for entry in fs::read_dir(from).expect("the folder is readable").map(|entry| entry.expect("it is readable")) {
        let (path, kind) = (entry.path(), entry.file_type().expect("it is there"));
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy(&path, &target);
        } else if kind.is_file() {
            fs::copy(&path, &target).expect("the folder is writable");
        }
    }
}

/// Empties a data folder except for the node's TLS key.
pub fn remove_all_but_peer_key(data: &Path) {
    let key = fs::read(data.join("peer.key")).expect("the node made its key");
    fs::remove_dir_all(data).expect("the folder is there");
    fs::create_dir(data).expect("the folder is writable");
    fs::write(data.join("peer.key"), key).expect("the folder is writable");
    fs::set_permissions(data.join("peer.key"), fs::Permissions::from_mode(0o600)).expect("the file is ours");
}

/// What `cluster.id` in a data folder says. Everybody who reads the folder can see it.
pub fn facts(data: &Path) -> ClusterFacts {
    let file = ClusterFile::open(data).expect("cluster.id can be read");
    file.facts().expect("the node knows its cluster").clone()
}

/// The keys of the cluster, which only its root key opens.
pub fn opened_keys(data: &Path, root_key: &Path) -> ClusterKeys {
    keys_of(&facts(data).cluster, root_key)
}

/// The keys of this cluster, which only its root key opens.
pub fn keys_of(cluster: &ClusterState, root_key: &Path) -> ClusterKeys {
    let root = fs::read_to_string(root_key).expect("the root key is there").trim().parse::<RootKey>();
    kms::open_cluster(cluster, &root.expect("a root key")).expect("the root key opens it")
}

/// The sled folder of the keystore in a data folder.
pub fn sled_folder(data: &Path) -> PathBuf {
    let keystore = data.join("keystore");
    keystore.join(fs::read_to_string(keystore.join("CURRENT")).expect("a keystore names its folder"))
}

/// The snapshots in a data folder.
pub fn snapshots(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data.join("snapshots")).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|end| end == "snapshot")).collect()
}
