//! Room for the records of a full disk, for a node that serves nobody without a record.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::StorageConfig;
use crate::disk::{Reserve, allocate_behind, disk_space, is_lack_of_room};

/// How much room is kept. A small disk keeps a fiftieth of its size.
const MOST: u64 = 16 << 20;
/// Above `storage.low`, the disk must have so many times what is missing, before the node keeps room again.
const TIMES: u64 = 4;
/// How much of it a write takes at once.
const STEP: u64 = 256 << 10;
/// The pause between two looks whether the disk has room again.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The room that is kept for one audit file: a file beside it.
pub(super) struct KeptRoom {
    folder: PathBuf,
    reserve: Reserve,
    looked: Option<Instant>,
}

impl KeptRoom {
    /// The room for this audit file.
    pub fn beside(path: &Path) -> Self {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Its name begins with a dot, so that `audit.log*` means audit files only.
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".reserve");
        Self { folder: folder.to_owned(), reserve: Reserve::at(folder.join(name)), looked: None }
    }

    /// Keeps as much room as it should, if the disk has it. Looks at the disk once in a while only.
    pub fn fill(&mut self) {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        if let Err(error) = self.try_fill() {
            tracing::debug!(%error, "the node cannot keep room for audit records");
        }
    }

    fn try_fill(&self) -> io::Result<()> {
        let space = disk_space(&self.folder)?;
        let wanted = MOST.min(space.size / 50);
        let missing = wanted.saturating_sub(self.reserve.held());
        // A node that lacks room must not lack it because of this.
        let low = StorageConfig::default().on_disk_of(space.size).low;
        if missing > 0 && space.free >= low.saturating_add(missing.saturating_mul(TIMES)) {
            self.reserve.resize(wanted)?;
        }
        Ok(())
    }

    /// Appends to the audit file, which has `length` bytes, either all or nothing. On a full disk, it uses the room that was
    /// kept.
    ///
    /// # Errors
    /// The disk does not take the bytes. Then the file is as it was.
    pub fn append(kept: Option<&Self>, file: &mut File, length: u64, bytes: &[u8]) -> io::Result<()> {
        loop {
            let Err(error) = file.write_all(bytes) else { return Ok(()) };
            // If even this fails, the node finds and records the torn line when it opens the file again.
            let cut = file.set_len(length);
            let Some(kept) = kept.filter(|_| is_lack_of_room(&error) && cut.is_ok()) else { return Err(error) };
            let step = STEP.max(bytes.len() as u64);
            if !kept.reserve.give_back(step)? {
                return Err(error);
            }
            // Before somebody else takes what was given back. If that fails, the write may find room all the same.
            let _ = allocate_behind(file, length, step);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    #[test]
    fn the_room_is_kept_beside_the_file_and_used_when_the_disk_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = KeptRoom::beside(&dir.path().join("audit.log"));
        kept.fill();
        let held = kept.reserve.held();
        assert_eq!(dir.path().join(".audit.log.reserve").metadata().unwrap().len(), held);
        assert!(held > STEP);
        // This device is always full, and cannot be cut.
        let mut full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert!(KeptRoom::append(Some(&kept), &mut full, 0, b"line\n").is_err());
        let path = dir.path().join("audit.log");
        let mut file = fs::File::create(&path).unwrap();
        KeptRoom::append(Some(&kept), &mut file, 0, b"line\n").unwrap();
        assert_eq!((fs::read(&path).unwrap(), kept.reserve.held()), (b"line\n".to_vec(), held));
    }

    /// A disk of this size. Dropping it unmounts the disk. `None` where this process may not mount: the test needs root.
    struct SmallDisk(tempfile::TempDir);

    impl SmallDisk {
        fn mounted() -> Option<Self> {
            let disk = Self(tempfile::tempdir().unwrap());
            let mut mount = Command::new("mount");
            let mounted = mount.args(["-t", "tmpfs", "-o", "size=64m,mode=700", "tmpfs"]).arg(disk.0.path()).output();
            let is_mounted = mounted.is_ok_and(|mounted| mounted.status.success());
            if !is_mounted {
                println!("SKIPPED: this process may not mount a file system");
            }
            is_mounted.then_some(disk)
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
        }
    }

    #[test]
    fn a_full_disk_takes_as_much_as_was_kept_and_then_leaves_the_file_as_it_was() {
        const LINES: [u8; 4096] = [b'x'; 4096];
        let Some(disk) = SmallDisk::mounted() else { return };
        let path = disk.0.path().join("audit.log");
        let mut kept = KeptRoom::beside(&path);
        kept.fill();
        let held = kept.reserve.held();
        assert_eq!(held, (64 << 20) / 50);
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        KeptRoom::append(Some(&kept), &mut file, 0, &LINES).unwrap();
        let filler = disk.0.path().join("filler");
        let mut full = fs::File::create(&filler).unwrap();
        while full.write_all(&LINES).is_ok() {}
        let mut length = LINES.len() as u64;
        while KeptRoom::append(Some(&kept), &mut file, length, &LINES).is_ok() {
            length += LINES.len() as u64;
        }
        assert!(length >= held && kept.reserve.held() == 0, "{length} bytes");
        assert_eq!(path.metadata().unwrap().len(), length, "nothing of the last lines is there");
        fs::remove_file(&filler).unwrap();
        drop(full);
        KeptRoom::append(Some(&kept), &mut file, length, &LINES).unwrap();
        kept.try_fill().unwrap();
        assert_eq!(kept.reserve.held(), held);
    }
}
