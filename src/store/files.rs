//! Files and folders that only this node's user can read, and renames that survive a power cut.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::Access;

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

/// Makes an empty file with mode 0600.
///
/// # Errors
/// The file system refused.
pub fn make_private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
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
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&temporary)?;
    // Another process that waits here has this file open. Once it is renamed, that process finds it at `path`.
    file.lock()?;
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
}
