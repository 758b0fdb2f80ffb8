//! Files and folders that only this node's user can read, and renames that survive a power cut.
//!
//! Nothing here waits for a pipe that stands in the place of a file, or writes through a link to a file elsewhere.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Access, OFlags};

/// No file that the node reads as a whole is nearly this large.
const MOST_BYTES: u64 = 64 << 20;
/// How long one process waits for another one that makes the same file.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// Makes a folder, and the missing ones above it, with mode 0700.
///
/// # Errors
/// The file system refused.
pub fn make_private_folder(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Makes a folder if it does not exist, and checks that this process can make files in it.
///
/// # Errors
/// The file system refused, or this process may not read and write in the folder.
pub fn make_usable_folder(dir: &Path) -> io::Result<()> {
    match dir.metadata() {
        Ok(found) if !found.is_dir() => return Err(io::ErrorKind::NotADirectory.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && dir.symlink_metadata().is_ok() => {
            return Err(io::Error::new(error.kind(), "it is a link to a folder that does not exist"));
        }
        _ => {}
    }
    make_private_folder(dir)?;
    Ok(rustix::fs::access(dir, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Makes an empty file with mode 0600, in the place of what a crash may have left there.
///
/// # Errors
/// The file system refused.
pub fn make_private_file(path: &Path) -> io::Result<File> {
    // Opening what stands there could truncate another file, which is linked here, or leave its mode as it is.
    remove_if_there(path)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Opens a file as these options say. If something else stands there, this fails at once. A pipe would wait for the process
/// at its other end.
///
/// # Errors
/// The file system refused, or something else stands there. That is no damage of the file's content.
pub(super) fn open_file(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.custom_flags(flags(OFlags::NONBLOCK)?).open(path)?;
    check_kind(path, &file.metadata()?)?;
    Ok(file)
}

/// Reads a whole file, and fails at once if something else stands there, or far more than the node writes.
///
/// # Errors
/// As for [`open_file`].
pub(super) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let (file, mut content) = (open_file(path, OpenOptions::new().read(true))?, Vec::new());
    file.take(MOST_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is too large", path.display())));
    }
    Ok(content)
}

/// Fails if a folder holds anything but files and folders. A library that opens its files would wait for a pipe.
///
/// # Errors
/// It does, or the file system refused.
pub(super) fn check_folder(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        match path.metadata() {
            Ok(found) if !found.is_dir() => check_kind(&path, &found)?,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn check_kind(path: &Path, found: &Metadata) -> io::Result<()> {
    let kind = match found {
        file if file.is_file() => return Ok(()),
        folder if folder.is_dir() => io::ErrorKind::IsADirectory,
        _ => io::ErrorKind::NotSeekable,
    };
    Err(io::Error::new(kind, format!("{} is not a regular file", path.display())))
}

fn flags(flags: OFlags) -> io::Result<i32> {
    i32::try_from(flags.bits()).map_err(io::Error::other)
}

/// Replaces the file `path` in one step: a reader sees the old content or the new one, also after a power cut.
///
/// # Errors
/// The file system refused. Then `path` is unchanged.
pub fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = make_private_file(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    rename_durably(&temporary, path)
}

/// Makes the file `path` with this content, unless it exists. A power cut leaves the whole file or none. If two processes
/// make it at the same time, both then find the same content.
///
/// # Errors
/// The file system refused.
pub fn make_file_once(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags(OFlags::NOFOLLOW)?);
    let mut file = options.open(&temporary)?;
    // Another process that waits here has this file open. Once it is renamed, that process finds it at `path`.
    lock_soon(&file)?;
    if path.try_exists()? {
        return remove_if_there(&temporary);
    }
    // A crash may have left a part of the content here.
    file.set_len(0)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()?;
    rename_durably(&temporary, path)
}

/// Locks a file that other processes lock for a moment only.
fn lock_soon(file: &File) -> io::Result<()> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::park_timeout(LOCK_PAUSE),
            locked => return Ok(locked?),
        }
    }
}

/// Removes a file, if it exists.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Renames a file within its folder, and makes that durable.
///
/// # Errors
/// The file system refused.
pub fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder(to.parent().unwrap_or(Path::new(".")))
}

/// Makes the names in a folder durable.
///
/// # Errors
/// The file system refused.
pub fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The bytes of all files in a folder and the folders below it. A file that is removed meanwhile does not count.
pub fn folder_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_that_make_a_file_one_decides_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peer.key");
        // A crash left this behind.
        fs::write(folder.path().join("peer.new"), "a part of something longer than all the contents").unwrap();
        std::thread::scope(|scope| {
            for number in 0..16 {
                let path = &path;
                scope.spawn(move || {
                    let own = number.to_string().repeat(8);
                    make_file_once(path, own.as_bytes()).unwrap();
                    let found = fs::read(path).unwrap();
                    make_file_once(path, b"later").unwrap();
                    assert_eq!(fs::read(path).unwrap(), found);
                });
            }
        });
        let content = fs::read_to_string(&path).unwrap();
        assert!((0..16).any(|number: u8| number.to_string().repeat(8) == content), "{content}");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_in_the_place_of_a_temporary_file_leads_to_no_write_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "untouched").unwrap();
        fs::set_permissions(&elsewhere, Permissions::from_mode(0o666)).unwrap();
        let path = folder.path().join("cluster.id");
        let links: [fn(&Path, &Path) -> io::Result<()>; 2] =
            [|from, to| std::os::unix::fs::symlink(from, to), |from, to| fs::hard_link(from, to)];
        for link in links {
            link(&elsewhere, &path.with_extension("tmp")).unwrap();
            replace_file(&path, b"content").unwrap();
            assert_eq!(
                (fs::read(&path).unwrap(), fs::read(&elsewhere).unwrap()),
                (b"content".into(), b"untouched".into())
            );
            assert_eq!(path.symlink_metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        let key = folder.path().join("peer.key");
        std::os::unix::fs::symlink(&elsewhere, key.with_extension("new")).unwrap();
        make_file_once(&key, b"secret").unwrap_err();
        assert_eq!(fs::read(&elsewhere).unwrap(), b"untouched");
    }
}
