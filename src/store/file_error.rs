//! Failures of the file system: which file or folder they are about, and what an operator can do.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A failure of the file system at a file or folder.
#[derive(Debug, Error)]
#[error("{}: {error}", path.display())]
struct FileError {
    path: PathBuf,
    #[source]
    error: io::Error,
}

/// The numbers of the system's errors that have no [`io::ErrorKind`].
const IO: i32 = 5;
const FILES_OF_SYSTEM: i32 = 23;
const FILES_OF_PROCESS: i32 = 24;

/// Adds the file or folder to a failure of the file system. What a parser found stays as it is.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| match error.raw_os_error() {
        Some(_) => io::Error::new(error.kind(), FileError { path: path.to_owned(), error }),
        None => error,
    }
}

/// The number of the system's error. `None` if a parser made the error.
pub(super) fn system_number(error: &io::Error) -> Option<i32> {
    let with_path = || error.get_ref()?.downcast_ref::<FileError>()?.error.raw_os_error();
    error.raw_os_error().or_else(with_path)
}

/// Whether the system refused, so that the bytes on the disk may be whole and the same call may succeed later.
pub(super) fn is_system_failure(error: &io::Error) -> bool {
    use io::ErrorKind::{OutOfMemory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    // Sled and others keep the kind of a failure only.
    let kinds = [OutOfMemory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull];
    system_number(error).is_some() || kinds.contains(&error.kind())
}

/// Whether the same call may succeed once an operator has given the disk room, access or another remedy. The configuration
/// can stay as it is.
pub fn may_pass(error: &io::Error) -> bool {
    !advice(error).is_empty()
}

/// Says what to do about a failure of the file system: the end of a sentence, or nothing.
pub fn advice(error: &io::Error) -> &'static str {
    match (error.kind(), system_number(error)) {
        (io::ErrorKind::StorageFull, _) => ". The disk is full: give it room",
        (io::ErrorKind::QuotaExceeded, _) => ". The quota of this user is used up: raise it",
        (io::ErrorKind::PermissionDenied, _) => ". Give the user of this process access to it",
        (io::ErrorKind::ReadOnlyFilesystem, _) => {
            ". Mount it writable. The system also makes a file system read-only when its disk fails: look into the kernel log"
        }
        (io::ErrorKind::OutOfMemory, _) => ". Give the machine memory, or stop what takes it",
        (_, Some(FILES_OF_PROCESS)) => {
            ". Raise the limit of open files of this process (LimitNOFILE= in its systemd unit)"
        }
        (_, Some(FILES_OF_SYSTEM)) => ". Raise the limit of open files of this machine (sysctl fs.file-max)",
        (_, Some(IO)) => ". The disk failed: look into the kernel log",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_its_file_and_keeps_its_kind_and_number() {
        for number in [28, 13, 30, 12, 24, 23, 5] {
            let error = at(Path::new("/data/x"))(io::Error::from_raw_os_error(number));
            assert_eq!(
                (error.kind(), system_number(&error)),
                (io::Error::from_raw_os_error(number).kind(), Some(number))
            );
            assert!(error.to_string().starts_with("/data/x: ") && is_system_failure(&error), "{error}");
            assert!(may_pass(&error), "{error}");
        }
    }

    #[test]
    fn a_missing_folder_does_not_come_by_itself() {
        assert!(!may_pass(&io::Error::from_raw_os_error(2)));
    }

    #[test]
    fn what_a_parser_found_is_not_a_failure_of_the_system() {
        let found = at(Path::new("/data/x"))(io::Error::new(io::ErrorKind::InvalidData, "crc32 checksum mismatch"));
        assert_eq!(found.to_string(), "crc32 checksum mismatch");
        assert!(!is_system_failure(&found) && !may_pass(&found));
    }
}
