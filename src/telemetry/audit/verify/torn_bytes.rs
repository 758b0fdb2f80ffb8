//! Bytes in an audit file that are no line, and may yet be recorded as what a crash left of one.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::telemetry::audit::chain::TornRecord;

/// Bytes that are no line, in pieces.
pub struct TornBytes {
    /// Where the first of them stands.
    pub place: (PathBuf, u64),
    hash: Sha256,
    bytes: u64,
    /// The last piece had an end, which belongs to them only if more comes.
    ended: bool,
}

impl TornBytes {
    /// None yet.
    pub fn new(place: (PathBuf, u64)) -> Self {
        Self { place, hash: Sha256::new(), bytes: 0, ended: false }
    }

    /// Some more, up to the end of a line or of what is read at a time.
    pub fn add(&mut self, piece: &[u8]) {
        let body = piece.strip_suffix(b"\n").unwrap_or(piece);
        if self.ended {
            self.hash.update(b"\n");
        }
        self.hash.update(body);
        self.bytes += u64::from(self.ended) + body.len() as u64;
        self.ended = body.len() < piece.len();
    }

    /// Whether a line speaks of these.
    pub fn is(&self, torn: &TornRecord) -> bool {
        torn.bytes == self.bytes && torn.sha256 == hex::encode(self.hash.clone().finalize())
    }
}
