//! A value of the replicated state together with the bytes that stand for it in digests, on disk and in snapshots.

use bytes::Bytes;

/// A value and the bytes as which it is stored.
///
/// `apply` decides on the bytes, and nothing encodes the value again: another version may encode it in another way, and
/// two nodes whose bytes differ have different digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<T> {
    /// The value.
    pub value: T,
    /// Its bytes.
    pub bytes: Bytes,
}
