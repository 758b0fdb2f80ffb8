//! Why a keystore or a snapshot cannot be read.

use std::io;

use thiserror::Error;

use super::damage::Damage;
use super::level::UnreadableLevel;

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
            _ if error.raw_os_error().is_some() => Self::Io(error),
            UnexpectedEof => Damage::Unreadable("it ends too early".to_owned()).into(),
            InvalidData | InvalidInput | Other => Damage::Unreadable(error.to_string()).into(),
            _ => Self::Io(error),
        }
    }
}

impl From<sled::Error> for ReadError {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) => error.into(),
            damage => Damage::Sled(damage).into(),
        }
    }
}

impl From<prost::DecodeError> for ReadError {
    fn from(error: prost::DecodeError) -> Self {
        Damage::Message(error).into()
    }
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
        assert!(matches!(ReadError::from(sled::Error::Unsupported(String::new())), ReadError::Damaged(_)));
        let full = sled::Error::Io(io::ErrorKind::StorageFull.into());
        assert!(matches!(ReadError::from(full), ReadError::Io(_)));
    }
}
