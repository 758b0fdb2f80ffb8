//! The hash chain of an audit file: every line carries its number and the SHA-256 of the line before it, and
//! checkpoints are signed.
//!
//! A line is one JSON object. Its last field is `chain`, save that a checkpoint has its `signature` after it, over
//! every byte before. Whoever changes, removes, adds or moves a line before a checkpoint needs the key to hide it.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::crypto::{SigningKey, VerifyingKey};

/// What a checkpoint's signature is over begins with this, so that it can stand for nothing else.
const SIGNED: &[u8] = b"keyraft audit checkpoint v1\n";
/// Between what is signed and the signature.
const SIGNATURE: &str = r#","signature":""#;

/// The SHA-256 of a line, without its end.
pub type LineHash = [u8; 32];

/// A line's place: its number, and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainLink {
    /// Counts from 1.
    pub number: u64,
    /// Of the line.
    pub hash: LineHash,
}

/// Before the first line.
pub const START: ChainLink = ChainLink { number: 0, hash: [0; 32] };

/// What a line says of the chain; the rest of it is covered by its hash.
#[derive(Debug, Deserialize)]
pub struct ChainLine {
    /// When it was written, in RFC 3339.
    #[serde(default)]
    pub time: String,
    /// Its place.
    pub chain: ChainPosition,
    /// It is a request's record, and this is what the client got.
    pub response: Option<ResponseField>,
    /// It begins a file, or a node's writing.
    pub opened: Option<OpenedRecord>,
    /// It tells of bytes before it that are no line.
    pub torn: Option<TornRecord>,
    /// It tells that what the node had written before is not what it found.
    pub broken: Option<BrokenRecord>,
    /// It is a checkpoint.
    pub checkpoint: Option<CheckpointRecord>,
    /// The checkpoint's signature, in hexadecimal.
    pub signature: Option<String>,
}

/// The answer to a request.
#[derive(Debug, Deserialize)]
pub struct ResponseField {
    /// How long it took, in nanoseconds.
    #[serde(default)]
    pub time: u64,
}

/// Where a line stands.
#[derive(Debug, Deserialize)]
pub struct ChainPosition {
    /// Its number.
    pub number: u64,
    /// The hash of the line before it, in hexadecimal.
    pub prev: String,
}

/// Why a node began to write here.
#[derive(Debug, Deserialize)]
pub struct OpenedRecord {
    /// Its name.
    pub node: String,
    /// What came before.
    pub after: String,
    /// The file held no line before.
    #[serde(default)]
    pub begins: bool,
}

/// Bytes that a crash or a full disk left of a line.
#[derive(Debug, Deserialize)]
pub struct TornRecord {
    /// How many.
    pub bytes: u64,
    /// Their hash, in hexadecimal.
    pub sha256: String,
}

/// What a node had last made durable, and did not find.
#[derive(Debug, Deserialize)]
pub struct BrokenRecord {
    /// The number of that line.
    pub expected: u64,
    /// The last line that it found.
    pub found: u64,
}

/// A signed place.
#[derive(Debug, Deserialize)]
pub struct CheckpointRecord {
    /// Checks the signature, in hexadecimal.
    pub key: String,
}

impl ChainLink {
    /// Ends `out`, which begins with the object that is to be the next line, as that line; and goes on to it.
    ///
    /// `start` is where the object begins; it has at least one field, and its closing brace.
    pub fn append(&mut self, out: &mut String, start: usize) {
        self.place(out);
        self.end(out, start);
    }

    /// The same for a checkpoint, which `key` signs.
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

    /// Whether a line that says so of itself follows this one.
    pub fn is_followed_by(&self, place: &ChainPosition) -> bool {
        place.number == self.number + 1 && place.prev == hex::encode(self.hash)
    }
}

/// The hash of a line, given without its end.
pub fn hash(line: &[u8]) -> LineHash {
    Sha256::digest(line).into()
}

/// What a line says of the chain; none when it is no line.
pub fn parse(line: &[u8]) -> Option<ChainLine> {
    serde_json::from_slice(line).ok()
}

impl ChainLine {
    /// The line's own place.
    pub fn link(&self, line: &[u8]) -> ChainLink {
        ChainLink { number: self.chain.number, hash: hash(line) }
    }

    /// The key of a checkpoint that it signed, every byte of it; none for a record.
    ///
    /// # Errors
    /// It is a checkpoint that is not signed by the key it names.
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

/// A checkpoint whose signature is not of its key.
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
