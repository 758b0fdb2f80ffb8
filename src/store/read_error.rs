//! Why a keystore or a snapshot cannot be read.

use std::any::Any;
use std::io;
use std::path::Path;

use thiserror::Error;

use super::damage::Damage;
use super::file_error::{at, is_system_failure};
use super::level::UnreadableLevel;

/// How sled begins the text of a lock that another one holds.
const SLED_IN_USE: &str = "could not acquire lock";

/// Why a keystore or a snapshot cannot be read. Only damage may set it aside.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Its bytes are not those that a node wrote.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// It is whole, but another version of Keyraft must read it.
    #[error(transparent)]
    Level(#[from] UnreadableLevel),
    /// The file system failed, and the bytes may be whole.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for ReadError {
    /// A parser that finds senseless bytes, or their end too early, makes an error without a number of the system.
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
        match error.kind() {
            _ if is_system_failure(&error) => Self::Io(error),
            UnexpectedEof => Damage::Unreadable("it ends too early".to_owned()).into(),
            InvalidData | InvalidInput | Other => Damage::Unreadable(error.to_string()).into(),
            _ => Self::Io(error),
        }
    }
}

impl From<sled::Error> for ReadError {
    fn from(error: sled::Error) -> Self {
        match error {
            // Another process has the folder open, or this one has yet to close it.
            sled::Error::Io(error) if error.to_string().starts_with(SLED_IN_USE) => Self::Io(error),
            sled::Error::Io(error) => error.into(),
            damage => Damage::Sled(damage).into(),
        }
    }
}

/// A failure of sled as one of the file system, with its kind. To be used where nothing on the disk can be to blame.
pub(super) fn sled_failure(error: sled::Error) -> io::Error {
    ReadError::from(error).into()
}

impl From<prost::DecodeError> for ReadError {
    fn from(error: prost::DecodeError) -> Self {
        Damage::Message(error).into()
    }
}

impl ReadError {
    /// The same, with the file or folder that the file system refused.
    pub(super) fn at(self, path: &Path) -> Self {
        match self {
            Self::Io(error) => Self::Io(at(path)(error)),
            other => other,
        }
    }

    /// Why code of sled panicked while this node was doing something. Sled also panics when the system refuses a file or a
    /// thread, and that is not damage.
    pub(super) fn of_panic(doing: &str, payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref().copied());
        match text.and_then(number_in) {
            Some(number) => Self::Io(io::Error::from_raw_os_error(number)),
            None => Damage::Unreadable(format!("{doing} panicked")).into(),
        }
    }
}

/// The number of the system's error in the text of a panic, which has it as `(os error 28)` or as `Os { code: 28, …`.
fn number_in(text: &str) -> Option<i32> {
    let (_, after) = text.split_once("(os error ").or_else(|| text.split_once("Os { code: "))?;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => error,
            other => Self::other(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bytes_that_make_no_sense_are_damage() {
        let damaged = |error: io::Error| matches!(ReadError::from(error), ReadError::Damaged(_));
        for kind in [io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidData] {
            assert!(damaged(kind.into()), "{kind}");
        }
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::StorageFull, io::ErrorKind::OutOfMemory] {
            assert!(!damaged(kind.into()), "{kind}");
        }
        // Too many open files, a failed disk, an invalid argument.
        for number in [24, 5, 22] {
            assert!(!damaged(io::Error::from_raw_os_error(number)), "{number}");
        }
        let (bug, text): (&(dyn Any + Send), _) = (&"a promise was never fulfilled", "reading it");
        assert!(matches!(ReadError::of_panic(text, bug), ReadError::Damaged(_)));
        for refused in ["Too many open files (os error 24)", "called `unwrap()`: Os { code: 24, kind: Uncategorized }"]
        {
            let ReadError::Io(error) = ReadError::of_panic(text, &refused.to_owned()) else { panic!("{refused}") };
            assert_eq!(error.raw_os_error(), Some(24));
        }
        assert!(matches!(ReadError::from(sled::Error::Unsupported(String::new())), ReadError::Damaged(_)));
        let in_use = sled::Error::Io(io::Error::other("could not acquire lock on \"db\""));
        assert!(matches!(ReadError::from(in_use), ReadError::Io(_)));
        let full = sled::Error::Io(io::ErrorKind::StorageFull.into());
        assert!(matches!(ReadError::from(full), ReadError::Io(_)));
    }
}
