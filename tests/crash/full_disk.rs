//! Three nodes whose disk fills up, while another program takes every byte that it gets back.
//!
//! The test needs root, because it mounts a small file system in memory.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::processes::Processes;
use crate::support::status;

const SIZE: &str = "size=256m,mode=700";

/// A disk of its own. Dropping it unmounts the disk.
struct Disk(tempfile::TempDir);

impl Disk {
    /// `None` where this process may not mount.
    fn mounted() -> Option<Self> {
        let disk = Self(tempfile::tempdir().expect("a folder can be made"));
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(disk.0.path()).output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then_some(disk)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The nodes have ended, but something may still look at a file.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// A program that takes all room, also what others give back. Dropping it gives everything back.
struct Filler {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    file: PathBuf,
}

impl Filler {
    /// Returns once the disk is full.
    fn start(disk: &Disk) -> Self {
        let (ends, file) = (Arc::new(AtomicBool::new(false)), disk.path().join("filler"));
        let mut open = OpenOptions::new().create(true).append(true).open(&file).expect("the disk has room");
        let mut fill = move || {
            for size in [1 << 20, 4096, 1] {
                while open.write_all(&vec![1; size]).is_ok() {}
            }
        };
        fill();
        let end = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                fill();
                thread::park_timeout(Duration::from_millis(1));
            }
        });
        Self { ends, thread: Some(thread), file }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // If the thread panicked, the test has failed anyway.
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = std::fs::remove_file(&self.file);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_on_full_disks_serve_and_delete_keys_also_after_restarts_and_take_changes_again() {
    let Some(disk) = Disk::mounted() else {
        println!("SKIPPED: this process may not mount a file system");
        return;
    };
    let mut processes =
        Processes::start_in(disk.path(), &[("election_min:", "400ms"), ("election_max:", "800ms")]).await;
    let admin = processes.admin();
    let keys = admin.create_many("before", 4).await;
    let filler = Filler::start(&disk);
    let refused = async || {
        let name = format!("new-{}", rand::random::<u64>());
        let refusal = admin.create(0, &name).await.err()?;
        refusal.message.starts_with("the disks of most nodes lack room").then_some(())
    };
    status::wait_for("a refusal for lack of room", &[], refused).await;
    for node in 0..3 {
        admin.assert_decrypts(node, &keys).await;
    }
    admin.delete(1, "before-3").await.expect("a deletion needs no room");
    for _ in 0..2 {
        let leader = processes.leader().await;
        processes.kill(leader);
        processes.start_all().await;
        for node in 0..3 {
            admin.assert_decrypts(node, &keys[..3]).await;
        }
    }
    for node in 0..3 {
        processes.kill(node);
    }
    processes.start_all().await;
    for node in 0..3 {
        admin.assert_decrypts(node, &keys[..3]).await;
        assert!(!processes.has_ended(node));
    }
    admin.delete(2, "before-2").await.expect("a deletion needs no room");
    drop(filler);
    admin.create_somewhere(0, "after").await;
    status::assert_equal_digests(&processes.data_folders()).await;
}
