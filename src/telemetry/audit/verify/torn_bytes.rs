//! Bytes in an audit file that are not a line. A later line may record them as torn by a crash.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::telemetry::audit::chain::TornRecord;

/// The length and hash of such bytes, which arrive in pieces.
pub struct TornBytes {
    /// The file and line of the first byte.
    pub place: (PathBuf, u64),
    hash: Sha256,
    bytes: u64,
    /// Whether the last piece ended with `\n`. That byte belongs to the torn bytes only if another piece follows.
    ended: bool,
}

impl TornBytes {
    /// Makes an empty run of bytes, which begins at this file and line.
    pub fn new(place: (PathBuf, u64)) -> Self {
        Self { place, hash: Sha256::new(), bytes: 0, ended: false }
    }

    /// Adds a piece, which ends with a line or with the reader's buffer.
    pub fn add(&mut self, piece: &[u8]) {
        let body = piece.strip_suffix(b"\n").unwrap_or(piece);
        if self.ended {
            self.hash.update(b"\n");
        }
        self.hash.update(body);
        self.bytes += u64::from(self.ended) + body.len() as u64;
        self.ended = body.len() < piece.len();
    }

    /// Whether a line records exactly these bytes.
    pub fn are_recorded_by(&self, torn: &TornRecord) -> bool {
        torn.bytes == self.bytes && torn.sha256 == hex::encode(self.hash.clone().finalize())
    }
}
