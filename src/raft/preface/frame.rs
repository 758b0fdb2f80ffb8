//! The frames in which nodes exchange prefaces.
//!
//! Layout: length of the content `u16` (big-endian), type `u8`, content (protobuf).

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The length of the length and the type.
const HEADER_BYTES: usize = 3;
/// The largest frame, with its header.
const MAX_FRAME_BYTES: usize = 4 * 1024;
/// The longest content.
const MAX_CONTENT_BYTES: usize = MAX_FRAME_BYTES - HEADER_BYTES;

/// What a frame contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameType {
    Preface = 1,
    Accepted = 2,
    Refusal = 3,
    Hello = 4,
}

/// Why a frame cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a frame of {0} bytes, which is more than {MAX_FRAME_BYTES}")]
    TooLong(usize),
    #[error("a frame of the unknown type {0}")]
    UnknownType(u8),
    /// The connection broke or ended.
    #[error(transparent)]
    Connection(#[from] io::Error),
}

impl FrameType {
    fn from_number(number: u8) -> Option<Self> {
        [Self::Preface, Self::Accepted, Self::Refusal, Self::Hello].into_iter().find(|known| *known as u8 == number)
    }
}

/// Reads one frame and not a byte more, because HTTP/2 follows the last one. Refuses a frame by its header, before it
/// reserves memory for the content.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<(FrameType, Bytes), FrameError> {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).await?;
    let length = usize::from(u16::from_be_bytes([header[0], header[1]]));
    let frame_type = FrameType::from_number(header[2]).ok_or(FrameError::UnknownType(header[2]))?;
    if length > MAX_CONTENT_BYTES {
        return Err(FrameError::TooLong(HEADER_BYTES + length));
    }
    let mut content = vec![0; length];
    stream.read_exact(&mut content).await?;
    Ok((frame_type, content.into()))
}

/// Sends one frame.
///
/// # Errors
/// The connection broke, or the content is too long.
pub(super) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    frame_type: FrameType,
    content: &[u8],
) -> io::Result<()> {
    let length = u16::try_from(content.len()).ok().filter(|_| content.len() <= MAX_CONTENT_BYTES);
    let length = length.ok_or_else(|| io::Error::other("the content of a frame is too long"))?;
    let [high, low] = length.to_be_bytes();
    stream.write_all(&[&[high, low, frame_type as u8], content].concat()).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_is_read_as_it_was_written_and_what_follows_stays() {
        for content in [Vec::new(), vec![7; MAX_CONTENT_BYTES]] {
            let mut sent = Vec::new();
            write(&mut sent, FrameType::Refusal, &content).await.unwrap();
            assert!(sent.len() <= MAX_FRAME_BYTES);
            sent.extend(b"PRI * HTTP/2.0");
            let mut rest = &sent[..];
            assert_eq!(read(&mut rest).await.unwrap(), (FrameType::Refusal, content.into()));
            assert_eq!(rest, b"PRI * HTTP/2.0");
        }
    }

    #[tokio::test]
    async fn the_layout_is_length_type_and_content() {
        let mut sent = Vec::new();
        write(&mut sent, FrameType::Preface, b"abc").await.unwrap();
        assert_eq!(sent, [0, 3, 1, b'a', b'b', b'c']);
    }

    #[tokio::test]
    async fn a_frame_that_is_too_long_or_of_an_unknown_type_is_refused_by_its_header() {
        let refused = async |mut bytes: &[u8]| read(&mut bytes).await.unwrap_err().to_string();
        assert_eq!(refused(&[0x0f, 0xfe, 1]).await, "a frame of 4097 bytes, which is more than 4096");
        assert_eq!(refused(&[0xff, 0xff, 3]).await, "a frame of 65538 bytes, which is more than 4096");
        for unknown in [0, 5, 255] {
            assert_eq!(refused(&[0, 0, unknown]).await, format!("a frame of the unknown type {unknown}"));
        }
        assert!(write(&mut Vec::new(), FrameType::Preface, &[0; MAX_CONTENT_BYTES + 1]).await.is_err());
    }

    #[tokio::test]
    async fn a_frame_that_is_cut_short_is_not_read() {
        for cut in [&[][..], &[0], &[0, 3], &[0, 3, 1], &[0, 3, 1, b'a', b'b']] {
            let error = read(&mut &*cut).await.unwrap_err();
            assert!(matches!(error, FrameError::Connection(error) if error.kind() == io::ErrorKind::UnexpectedEof));
        }
    }
}
