//! A node's TLS for its peers: from the files in `cluster.tls`, or from a key that the node makes itself and keeps in its
//! data folder.

use std::io;
use std::path::{Path, PathBuf};

use super::error::NodeError;
use crate::config::ClusterConfig;
use crate::file::{self, Named, UnreadableReason};
use crate::store::{ClusterFile, DataFolder, make_file_once};
use crate::tls::{PeerKey, PeerTls, SettingError, TlsError};

/// The setting whose folder has the key.
const SETTING: &str = "cluster.data";

/// Returns the file of the key that a node makes itself.
pub(super) fn key_file(data: &Path) -> PathBuf {
    data.join("peer.key")
}

/// Reads the files that `cluster.tls` names. Without that section it reads the node's own key, and makes it at the first
/// start. The data folder must exist then.
pub(super) fn load(config: &ClusterConfig) -> Result<PeerTls, NodeError> {
    if let Some(files) = &config.tls {
        return Ok(PeerTls::load(files)?);
    }
    let key = match own_key(&config.data)? {
        Some(key) => key,
        None => make_key(&config.data)?,
    };
    PeerTls::of_own_key(&key).map_err(NodeError::PeerKey)
}

/// Reads the node's own key. `None` if it has yet to make one.
///
/// # Errors
/// The file is damaged or cannot be read. Or it is missing, although the cluster knows the node by that key.
pub(super) fn own_key(data: &Path) -> Result<Option<PeerKey>, SettingError> {
    let path = key_file(data);
    let content = match file::read(&path, Named::BySetting) {
        Ok(content) => content,
        Err(error) if is_missing(&error.why) => {
            return if knows_cluster(data) { Err(in_data(TlsError::LostPeerKey(path))) } else { Ok(None) };
        }
        Err(error) => return Err(in_data(TlsError::UnreadablePeerKey(error))),
    };
    PeerKey::from_pem(&content).map(Some).map_err(|_| in_data(TlsError::DamagedPeerKey(path)))
}

fn is_missing(why: &UnreadableReason) -> bool {
    matches!(why, UnreadableReason::Io(error) if error.kind() == io::ErrorKind::NotFound)
}

/// Whether the node has been part of a cluster. If what would say so cannot be read, it may have been.
fn knows_cluster(data: &Path) -> bool {
    let is_named = ClusterFile::open(data).map_or(true, |file| file.facts().is_some() || file.damaged_slots() > 0);
    is_named || DataFolder::has_parts(data).unwrap_or(true)
}

fn make_key(data: &Path) -> Result<PeerKey, NodeError> {
    let path = key_file(data);
    let new = PeerKey::generate().map_err(NodeError::PeerKey)?;
    make_file_once(&path, new.pem().as_bytes()).map_err(|error| NodeError::File { setting: SETTING, path, error })?;
    tracing::info!(file = %key_file(data).display(), "the node made the key by which the other nodes will know it");
    // Another process may have made the file first.
    Ok(own_key(data)?.unwrap_or(new))
}

fn in_data(error: TlsError) -> SettingError {
    SettingError { setting: SETTING, error }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::store::CLUSTER_FILE;

    fn refused(data: &Path) -> TlsError {
        own_key(data).unwrap_err().error
    }

    #[test]
    fn a_node_makes_its_key_once_and_keeps_it() {
        let data = tempfile::tempdir().unwrap();
        assert!(own_key(data.path()).unwrap().is_none());
        let made = make_key(data.path()).unwrap();
        assert_eq!(key_file(data.path()).metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let pem = fs::read(key_file(data.path())).unwrap();
        assert_eq!(make_key(data.path()).unwrap().pem(), made.pem());
        assert_eq!(own_key(data.path()).unwrap().unwrap().pem(), made.pem());
        assert_eq!(fs::read(key_file(data.path())).unwrap(), pem);
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_cannot_be_used_stays_as_it_is_and_ends_the_start() {
        let data = tempfile::tempdir().unwrap();
        let path = key_file(data.path());
        let whole = PeerKey::generate().unwrap().pem();
        for damaged in [&whole[..whole.len() / 2], "", "text"] {
            fs::write(&path, damaged).unwrap();
            let error = refused(data.path());
            assert!(matches!(error, TlsError::DamagedPeerKey(_)), "{error}");
            assert!(error.to_string().contains("Never delete it"), "{error}");
            assert!(make_key(data.path()).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(refused(data.path()), TlsError::UnreadablePeerKey(_)));
        assert!(NodeError::from(own_key(data.path()).unwrap_err()).is_lasting());
    }

    #[test]
    fn a_key_that_a_failing_disk_does_not_read_is_no_reason_to_stay_down() {
        let data = tempfile::tempdir().unwrap();
        // Reading the beginning of this file fails with EIO.
        std::os::unix::fs::symlink("/proc/self/mem", key_file(data.path())).unwrap();
        let error = NodeError::from(own_key(data.path()).unwrap_err());
        assert!(!error.is_lasting() && error.to_string().contains("os error 5"), "{error}");
    }

    #[test]
    fn a_node_that_lost_its_key_and_may_belong_to_a_cluster_makes_no_other_one() {
        let data = tempfile::tempdir().unwrap();
        // Nobody can say any more whether this node knew a cluster. `tests/cluster/peer_keys.rs` has one that does.
        fs::write(data.path().join(CLUSTER_FILE), vec![7; 32 * 1024]).unwrap();
        let error = refused(data.path());
        assert!(error.to_string().contains("peer.key is missing"), "{error}");
        assert!(!key_file(data.path()).exists());
        // cluster.id is lost, too, but the log is not.
        fs::remove_file(data.path().join(CLUSTER_FILE)).unwrap();
        assert!(own_key(data.path()).unwrap().is_none());
        fs::create_dir(data.path().join("log")).unwrap();
        fs::write(data.path().join("log/LOCK"), "").unwrap();
        let error = refused(data.path());
        assert!(error.to_string().contains("peer.key is missing"), "{error}");
    }
}
