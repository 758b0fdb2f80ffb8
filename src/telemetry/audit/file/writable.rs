//! Checks that the node can write its audit file, without writing. Otherwise the first client would find out.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use rustix::fs::Access;

/// Checks that this process could write audit records to this file, and changes nothing.
///
/// # Errors
/// The path is not a regular file, the folder above it does not exist, or this process may not write there.
pub fn check_audit_file(path: &Path) -> io::Result<()> {
    match path.metadata() {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if found.is_file() => OpenOptions::new().append(true).read(true).open(path).map(drop),
        // The node reads the last record back, and makes its bytes durable. Pipes and devices cannot do both.
        Ok(_) => Err(io::Error::other("it is a pipe, a socket or a device; name a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => check_folder_above(path),
        Err(error) => Err(error),
    }
}

fn check_folder_above(path: &Path) -> io::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(rustix::fs::access(above, Access::WRITE_OK | Access::EXEC_OK)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_check_accepts_a_file_that_it_could_create_and_creates_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        check_audit_file(&path).unwrap();
        assert!(!path.exists());
        fs::write(&path, "line\n").unwrap();
        check_audit_file(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"line\n");
    }

    #[test]
    fn the_check_refuses_paths_that_cannot_become_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let cases = [
            (folder.path().to_owned(), io::ErrorKind::IsADirectory),
            (folder.path().join("missing/audit.log"), io::ErrorKind::NotFound),
            (file.join("audit.log"), io::ErrorKind::NotADirectory),
        ];
        let device = check_audit_file(Path::new("/dev/null")).expect_err("it keeps nothing");
        assert!(device.to_string().ends_with("a device; name a regular file"), "{device}");
        for (path, kind) in cases {
            let error = check_audit_file(&path).expect_err("no such file can be made");
            assert_eq!(error.kind(), kind, "{}", path.display());
        }
    }
}
