//! Files and folders that only this node's user can read, and renames that survive a power cut.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
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
