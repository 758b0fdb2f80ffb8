//! The hash chain of an audit file: every line has its number and the SHA-256 of the line before it, and checkpoints
//! are signed.
//!
//! A line is one JSON object. Its last field is `chain`. In a checkpoint, `signature` follows, over every byte before
//! it. Nobody without the key can change, remove, add or move a line before a checkpoint and hide it.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::crypto::{SigningKey, VerifyingKey};

/// The signed bytes of a checkpoint begin with this, so that its signature cannot be used for anything else.
const SIGNED: &[u8] = b"keyraft audit checkpoint v1\n";
/// Separates the signed bytes from the signature.
const SIGNATURE: &str = r#","signature":""#;

/// The SHA-256 of a line without its `\n`.
pub type LineHash = [u8; 32];

/// The number and the hash of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainLink {
    /// The number, from 1.
    pub number: u64,
    /// The hash of the line.
    pub hash: LineHash,
}

/// The link before the first line.
pub const START: ChainLink = ChainLink { number: 0, hash: [0; 32] };

/// The fields of a line that the chain needs. The hash covers all others.
#[derive(Debug, Deserialize)]
pub struct ChainLine {
    /// When the node wrote the line, in RFC 3339.
    #[serde(default)]
    pub time: String,
    /// Its position in the chain.
    pub chain: ChainPosition,
    /// In the record of a request: the answer.
    pub response: Option<ResponseField>,
    /// In a line with which a node begins to write.
    pub opened: Option<OpenedRecord>,
    /// In a line that records torn bytes before it.
    pub torn: Option<TornRecord>,
    /// In a line that records that the file does not end as the node had left it.
    pub broken: Option<BrokenRecord>,
    /// In a checkpoint.
    pub checkpoint: Option<CheckpointRecord>,
    /// The checkpoint's signature, in hexadecimal.
    pub signature: Option<String>,
}

/// The answer to a request.
#[derive(Debug, Deserialize)]
pub struct ResponseField {
    /// How long the request took, in nanoseconds.
    #[serde(default)]
    pub time: u64,
}

/// The position of a line in the chain.
#[derive(Debug, Deserialize)]
pub struct ChainPosition {
    /// The line's number.
    pub number: u64,
    /// The hash of the line before it, in hexadecimal.
    pub prev: String,
}

/// Why a node began to write here.
#[derive(Debug, Deserialize)]
pub struct OpenedRecord {
    /// The node's name.
    pub node: String,
    /// What happened before, such as `start` or `rotation`.
    pub after: String,
    /// Whether the file held no line before.
    #[serde(default)]
    pub begins: bool,
}

/// Bytes of a line that a crash or a full disk cut off.
#[derive(Debug, Deserialize)]
pub struct TornRecord {
    /// Their number.
    pub bytes: u64,
    /// Their hash, in hexadecimal.
    pub sha256: String,
}

/// A line that the node had made durable, and did not find again.
#[derive(Debug, Deserialize)]
pub struct BrokenRecord {
    /// The number of the line.
    pub expected: u64,
    /// The last line that it found.
    pub found: u64,
}

/// A signed position in the chain.
#[derive(Debug, Deserialize)]
pub struct CheckpointRecord {
    /// The key that verifies the signature, in hexadecimal.
    pub key: String,
}

impl ChainLink {
    /// Makes the object at the end of `out` the next line of the chain, and moves on to it.
    ///
    /// The object begins at `start`. It must have at least one field and its closing brace.
    pub fn append(&mut self, out: &mut String, start: usize) {
        self.place(out);
        self.end(out, start);
    }

    /// Makes a checkpoint at the end of `out` the next line of the chain, and signs it with `key`.
    pub fn append_signed(&mut self, out: &mut String, start: usize, key: &SigningKey) {
        self.place(out);
        out.pop();
        let signature = key.sign(&[SIGNED, &out.as_bytes()[start..]].concat());
        out.extend([SIGNATURE, &hex::encode(signature), "\"}"]);
        self.end(out, start);
    }

    fn place(&self, out: &mut String) {
        out.pop();
        let (number, prev) = (self.number + 1, hex::encode(self.hash));
        out.push_str(&format!(r#","chain":{{"number":{number},"prev":"{prev}"}}}}"#));
    }

    fn end(&mut self, out: &mut String, start: usize) {
        *self = Self { number: self.number + 1, hash: hash(&out.as_bytes()[start..]) };
        out.push('\n');
    }

    /// Whether a line at that position follows this one.
    pub fn is_followed_by(&self, place: &ChainPosition) -> bool {
        place.number == self.number + 1 && place.prev == hex::encode(self.hash)
    }
}

/// Hashes a line, which must come without its `\n`.
pub fn hash(line: &[u8]) -> LineHash {
    Sha256::digest(line).into()
}

/// Parses a line. Returns `None` for bytes that are not a line of an audit file.
pub fn parse(line: &[u8]) -> Option<ChainLine> {
    serde_json::from_slice(line).ok()
}

impl ChainLine {
    /// Returns the link that the next line must refer to.
    pub fn link(&self, line: &[u8]) -> ChainLink {
        ChainLink { number: self.chain.number, hash: hash(line) }
    }

    /// Verifies a checkpoint, every byte of it, and returns the key that signed it. Returns `None` for any other line.
    ///
    /// # Errors
    /// The key that the checkpoint names did not sign it.
    pub fn signed_by(&self, line: &[u8]) -> Result<Option<VerifyingKey>, BadSignature> {
        let (key, signature) = match (&self.checkpoint, &self.signature) {
            (None, None) => return Ok(None),
            (Some(checkpoint), Some(signature)) => (checkpoint.key.parse::<VerifyingKey>(), signature),
            _ => return Err(BadSignature),
        };
        let end = [SIGNATURE, signature, "\"}"].concat();
        let signed = line.strip_suffix(end.as_bytes()).ok_or(BadSignature)?;
        let mut bytes = [0; 64];
        hex::decode_to_slice(signature, &mut bytes).map_err(|_| BadSignature)?;
        let is_lower = !signature.bytes().any(|byte| byte.is_ascii_uppercase());
        let key = key.map_err(|_| BadSignature)?;
        let verified = is_lower && key.verifies(&[SIGNED, signed].concat(), &bytes);
        verified.then_some(Some(key)).ok_or(BadSignature)
    }
}

/// The key that a checkpoint names did not make its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadSignature;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_linked_and_checkpoints_signed() {
        let (mut link, mut out, key) = (START, String::new(), SigningKey::random());
        out.push_str(r#"{"time":"t"}"#);
        link.append(&mut out, 0);
        let start = out.len();
        out.push_str(&format!(r#"{{"time":"t","checkpoint":{{"key":"{}"}}}}"#, key.verifying_key()));
        link.append_signed(&mut out, start, &key);
        let lines: Vec<_> = out.lines().map(str::as_bytes).collect();
        let [first, second] = [parse(lines[0]).unwrap(), parse(lines[1]).unwrap()];
        assert!(START.is_followed_by(&first.chain) && first.link(lines[0]).is_followed_by(&second.chain));
        assert_eq!((first.signed_by(lines[0]), second.signed_by(lines[1])), (Ok(None), Ok(Some(key.verifying_key()))));
        assert_eq!(second.link(lines[1]), link);
    }
}
