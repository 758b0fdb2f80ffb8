//! A command as nodes send and store it: a header that every version can read, and a body of one feature level.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

/// 128 random bits that make a command take effect once, however often it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub [u8; 16]);

/// A command as bytes, with its header read.
///
/// Layout, integers big-endian: feature level `u32`, request id `[16]`, seen index `u64`, body. The body is the message
/// `Command` of that level. The header is the same at every level, so that a node remembers and answers a command whose
/// body it cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedCommand {
    level: u32,
    request_id: RequestId,
    seen_index: u64,
    bytes: Bytes,
}

impl EncodedCommand {
    /// The length of the header, in bytes.
    pub const HEADER_BYTES: usize = 4 + 16 + 8;

    /// A command with this body.
    pub fn new(level: u32, request_id: RequestId, seen_index: u64, body: &[u8]) -> Self {
        let mut bytes = Self::header(level, request_id, seen_index, body.len());
        bytes.put_slice(body);
        Self { level, request_id, seen_index, bytes: bytes.freeze() }
    }

    /// A command whose body is this message.
    pub(super) fn of_message(level: u32, request_id: RequestId, seen_index: u64, body: &impl Message) -> Self {
        let mut bytes = Self::header(level, request_id, seen_index, body.encoded_len());
        body.encode(&mut bytes).expect("a growing buffer has room");
        Self { level, request_id, seen_index, bytes: bytes.freeze() }
    }

    fn header(level: u32, request_id: RequestId, seen_index: u64, body: usize) -> BytesMut {
        let mut bytes = BytesMut::with_capacity(Self::HEADER_BYTES + body);
        bytes.put_u32(level);
        bytes.put_slice(&request_id.0);
        bytes.put_u64(seen_index);
        bytes
    }

    /// Reads the header. `None` if the bytes are shorter than that.
    pub fn of_bytes(bytes: Bytes) -> Option<Self> {
        let mut header = bytes.get(..Self::HEADER_BYTES)?;
        let level = header.get_u32();
        let mut request_id = [0; 16];
        header.copy_to_slice(&mut request_id);
        Some(Self { level, request_id: RequestId(request_id), seen_index: header.get_u64(), bytes })
    }

    /// The feature level at which the command was made.
    pub fn level(&self) -> u32 {
        self.level
    }

    /// The same on every retry, so that the command takes effect once.
    pub fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// The index up to which its node had applied the log when it made the command.
    pub fn seen_index(&self) -> u64 {
        self.seen_index
    }

    /// The body, which only `apply` reads.
    pub fn body(&self) -> &[u8] {
        &self.bytes[Self::HEADER_BYTES..]
    }

    /// Header and body.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_stands_before_the_body() {
        let command = EncodedCommand::new(0x0102_0304, RequestId([7; 16]), 9, b"body");
        let bytes = [&[1, 2, 3, 4][..], &[7; 16], &[0, 0, 0, 0, 0, 0, 0, 9], b"body"].concat();
        assert_eq!(command.bytes(), &bytes);
        assert_eq!(command.body(), b"body");
        assert_eq!(EncodedCommand::of_bytes(bytes.clone().into()), Some(command));
        for length in 0..EncodedCommand::HEADER_BYTES {
            assert_eq!(EncodedCommand::of_bytes(Bytes::copy_from_slice(&bytes[..length])), None, "{length}");
        }
    }
}
