//! Tests of data folders with something that a start could wait for: a pipe in the place of a file, or a lock.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::store::{ClusterFile, DataFolder};

/// Far longer than any of these starts takes.
const SOON: Duration = Duration::from_secs(30);

/// The folder of a node that stopped, with every file that a node has.
fn stopped() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    drop(DataFolder::open(dir.path(), OWNER).unwrap());
    let (log, snapshots, keystore) = filled(open(dir.path()), 30);
    keystore.begin_snapshot().run(&snapshots).unwrap();
    keystore.checkpoint().run().unwrap();
    drop(keystore);
    log.close();
    dir
}

fn put_pipe(path: &Path) {
    fs::remove_file(path).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
}

/// What the work returns, unless it hangs.
fn soon<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(SOON).unwrap_or_else(|_| panic!("{what}: it hangs"))
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

#[test]
fn a_start_never_waits_for_a_pipe_in_the_place_of_a_file() {
    let names = {
        let dir = stopped();
        let folders = ["", "log", "keystore", "keystore/sled-1", "snapshots"].map(|folder| dir.path().join(folder));
        let relative = |path: PathBuf| path.strip_prefix(dir.path()).unwrap().to_owned();
        folders.iter().flat_map(|folder| files(folder)).map(relative).collect::<Vec<_>>()
    };
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        let dir = stopped();
        put_pipe(&dir.path().join(&name));
        let (what, path) = (name.display().to_string(), dir.path().to_owned());
        // Either the start says which file it cannot use, or the node makes the file again from what is whole.
        let opened = soon(&what, move || {
            drop(DataFolder::open(&path, OWNER)?);
            open_again(&path).map(|store| store.keystore)
        });
        let shown = opened.map(drop).map_err(|error| error.to_string());
        assert!(
            shown.is_ok()
                || shown.is_err_and(|error| error.contains("not a regular file") || error.contains("keyraft.lock")),
            "{what}"
        );
    }
}

#[test]
fn a_running_node_never_waits_for_a_pipe() {
    let dir = stopped();
    let store = open_again(dir.path()).unwrap();
    let mut file = ClusterFile::open(dir.path()).unwrap();
    for name in ["cluster.id", "99999999999999999999-00000000000000000001.snapshot"] {
        let path = if name == "cluster.id" { dir.path().join(name) } else { dir.path().join("snapshots").join(name) };
        fs::write(&path, b"").unwrap();
        put_pipe(&path);
    }
    let newest = soon("snapshots", move || store.snapshots.newest().unwrap());
    assert_eq!(newest.unwrap().header.applied.last, Some(id(30)));
    let facts = crate::store::ClusterFacts {
        owner: OWNER,
        cluster: crate::test_vectors::cluster(),
        membership: Bytes::new(),
        admission: Bytes::new(),
        founding: None,
    };
    let keys = store_keys(ClusterId([1; 16])).integrity;
    assert!(soon("cluster.id", move || file.write(facts, &keys)).is_err());
}
