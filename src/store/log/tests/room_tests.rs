//! A log on a disk that is full: its flush waits for room, and nothing is lost. The tests need root, because they mount
//! a small file system in memory.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::Command;

use super::*;
use crate::config::StorageConfig;

/// A disk without a reserve. Dropping it unmounts the disk.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where this process may not mount.
    fn mounted() -> Option<Self> {
        let disk = Self(tempfile::tempdir().unwrap());
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs"]).arg(disk.0.path()).output();
        let is_mounted = mounted.is_ok_and(|mounted| mounted.status.success());
        if !is_mounted {
            println!("SKIPPED: this process may not mount a file system");
        }
        is_mounted.then_some(disk)
    }

    fn data(&self) -> PathBuf {
        let data = self.0.path().join("data");
        fs::create_dir_all(&data).unwrap();
        data
    }

    fn fill(&self) {
        let mut filler = OpenOptions::new().create(true).append(true).open(self.filler()).unwrap();
        while filler.write_all(&[1; 4096]).is_ok() {}
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The log may still be closing its files.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn with_room(disk: &SmallDisk) -> LogStore {
    let log = open(&disk.data());
    let config = StorageConfig { low: Some(1 << 20), reserve: Some(0), ..StorageConfig::default() };
    log.keep_room(Arc::new(DiskRoom::open(&disk.data(), config).unwrap()));
    log
}

/// An entry that needs more room than the log has allocated.
fn large(index: u64) -> (LogId, Bytes) {
    (id(index), Bytes::from(vec![7; 1 << 20]))
}

/// Appends an entry, and returns who learns whether it is durable.
fn append_one(log: &LogStore, entry: (LogId, Bytes)) -> mpsc::Receiver<io::Result<()>> {
    let (sender, durable) = mpsc::sync_channel(1);
    log.append([entry], Box::new(move |result| SyncSender::send(&sender, result).unwrap())).unwrap();
    durable
}

#[test]
fn small_entries_go_to_a_full_disk_and_a_large_one_waits_for_room() {
    let Some(disk) = SmallDisk::mounted() else { return };
    let log = with_room(&disk);
    append(&log, 0..1);
    disk.fill();
    append(&log, 1..20);
    let waits = append_one(&log, large(20));
    let waits_too = append_one(&log, entry(21));
    log.use_room().unwrap();
    assert!(log.waits_for_room() && waits.try_recv().is_err() && waits_too.try_recv().is_err());
    assert_eq!(log.read(20..22).unwrap(), [large(20), entry(21)], "they can be read");
    disk.empty();
    log.use_room().unwrap();
    waits.recv().unwrap().unwrap();
    waits_too.recv().unwrap().unwrap();
    assert!(!log.waits_for_room());
    append(&log, 22..23);
    log.close();
    assert_eq!(open_again(&disk.data()).unwrap().state().unwrap().last, Some(id(22)));
}

#[test]
fn a_log_that_is_closed_while_a_flush_waits_has_what_was_durable() {
    let Some(disk) = SmallDisk::mounted() else { return };
    let log = with_room(&disk);
    append(&log, 0..3);
    disk.fill();
    let waits = append_one(&log, large(3));
    log.give_up_held();
    waits.recv().unwrap().expect_err("it never became durable");
    log.close();
    disk.empty();
    assert_eq!(open_again(&disk.data()).unwrap().state().unwrap().last, Some(id(2)));
}
