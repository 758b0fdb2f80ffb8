//! Reads the bodies of requests within their limits (wire contract, "Endpoints" and "Bodies and headers").

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Version};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::timeout;

use crate::http::error::ApiError;

/// How many bytes beyond the limit the server reads and discards, so that a client that has sent them can read the
/// answer.
const OVERRUN: usize = 1 << 20;

/// How long discarding a body may take.
const LINGER: Duration = Duration::from_secs(1);

/// Reads a body to its end, with or without a declared length.
///
/// # Errors
/// The body is longer than `limit`, or breaks off.
pub async fn read<B>(mut body: B, limit: usize) -> Result<Bytes, ApiError>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > (limit + OVERRUN) as u64 {
        return Err(ApiError::BodyTooLarge);
    }
    let first = next(&mut body).await?.unwrap_or_default();
    if body.is_end_stream() && first.len() <= limit {
        return Ok(first);
    }
    Box::pin(gather(body, first, limit)).await
}

/// Reads a body to its end, checks its length, and keeps nothing of it.
///
/// # Errors
/// The body is longer than `limit`, or breaks off.
pub async fn skip<B>(body: &mut B, limit: usize) -> Result<(), ApiError>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > (limit + OVERRUN) as u64 {
        return Err(ApiError::BodyTooLarge);
    }
    let mut length = 0;
    while let Some(part) = next(body).await? {
        length += part.len();
        if length > limit + OVERRUN {
            break;
        }
    }
    if length > limit { Err(ApiError::BodyTooLarge) } else { Ok(()) }
}

/// Reads and discards the rest of the body after an error, for a short time and up to `limit` and the overrun.
///
/// A connection that is closed with unread bytes is reset, and a client that is still sending then sees no answer (RFC
/// 9112, section 9.6). It would take the error for a dead server, and go to the next one. Over HTTP/2 a stream ends
/// without its connection, and a client that waits for `100 Continue` has sent nothing.
pub async fn discard<B>(parts: &Parts, body: &mut B, limit: usize)
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.is_end_stream() || parts.version > Version::HTTP_11 || parts.headers.contains_key(EXPECT) {
        return;
    }
    let rest = async {
        let mut length = 0;
        while let Ok(Some(part)) = next(body).await {
            length += part.len();
            if length > limit + OVERRUN {
                break;
            }
        }
    };
    // A body that takes longer stays unread.
    let _ = timeout(LINGER, rest).await;
}

async fn gather<B>(mut body: B, first: Bytes, limit: usize) -> Result<Bytes, ApiError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut length = first.len();
    let mut whole = BytesMut::from(first);
    while let Some(part) = next(&mut body).await? {
        length += part.len();
        if length > limit + OVERRUN {
            break;
        }
        if length <= limit {
            whole.extend_from_slice(&part);
        }
    }
    if length > limit { Err(ApiError::BodyTooLarge) } else { Ok(whole.freeze()) }
}

async fn next<B>(body: &mut B) -> Result<Option<Bytes>, ApiError>
where
    B: Body<Data = Bytes> + Unpin,
{
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(_)) => return Err(ApiError::Body),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Whether the request itself says that it has no body.
///
/// An empty body alone does not say so. A client that sends a request again, to another server, may have lost the body
/// on the way. Taking that for "no context" would bind a data key to the wrong context (wire contract, "Bodies and
/// headers").
pub fn is_declared_empty(version: Version, headers: &HeaderMap) -> bool {
    match headers.get(CONTENT_LENGTH) {
        Some(length) => length.as_bytes() == b"0",
        None => version == Version::HTTP_11 && !headers.contains_key(TRANSFER_ENCODING),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn parts(parts: &[&'static [u8]]) -> impl Body<Data = Bytes> + Unpin {
        let frames: Vec<_> =
            parts.iter().map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from_static(part)))).collect();
        StreamBody::new(stream::iter(frames))
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        assert_eq!(read(Full::from("12345"), 5).await.unwrap(), "12345");
        assert_eq!(read(Full::from("123456"), 5).await, Err(ApiError::BodyTooLarge));
        assert_eq!(read(Full::from(""), 0).await.unwrap(), "");
        assert_eq!(read(parts(&[b"123", b"", b"45"]), 5).await.unwrap(), "12345");
        assert_eq!(read(parts(&[b"123", b"456"]), 5).await, Err(ApiError::BodyTooLarge));
        assert_eq!(read(parts(&[]), 5).await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_skipped_body_is_counted_and_not_kept() {
        assert_eq!(skip(&mut parts(&[b"123", b"", b"45"]), 5).await, Ok(()));
        assert_eq!(skip(&mut parts(&[]), 0).await, Ok(()));
        assert_eq!(skip(&mut parts(&[b"123", b"456"]), 5).await, Err(ApiError::BodyTooLarge));
        // When `skip` reads the next part, a weak reference shows whether it kept the last one.
        let last = std::cell::RefCell::new(std::sync::Weak::<[u8; 4]>::new());
        let frames = std::iter::repeat_with(|| {
            assert_eq!(last.borrow().strong_count(), 0, "the last part is dropped");
            let part = std::sync::Arc::new([0; 4]);
            *last.borrow_mut() = std::sync::Arc::downgrade(&part);
            Ok::<_, Infallible>(Frame::data(Bytes::from_owner(Shared(part))))
        });
        assert_eq!(skip(&mut StreamBody::new(stream::iter(frames.take(1000))), 4000).await, Ok(()));
    }

    struct Shared(std::sync::Arc<[u8; 4]>);

    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            &*self.0
        }
    }

    #[tokio::test]
    async fn an_endless_body_is_refused() {
        let zeros = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 1024])));
        let endless = StreamBody::new(stream::iter(std::iter::repeat_with(zeros)));
        assert_eq!(read(endless, 5).await, Err(ApiError::BodyTooLarge));
        let mut endless = StreamBody::new(stream::iter(std::iter::repeat_with(zeros)));
        assert_eq!(skip(&mut endless, 5).await, Err(ApiError::BodyTooLarge));
    }

    #[tokio::test]
    async fn discarding_reads_a_bounded_body_over_http_1_only() {
        let request = |version, header: Option<(&str, &str)>| {
            let mut request = http::Request::builder().version(version);
            if let Some((name, value)) = header {
                request = request.header(name, value);
            }
            request.body(()).unwrap().into_parts().0
        };
        for (version, header, left) in [
            (Version::HTTP_11, None, 0),
            (Version::HTTP_10, None, 0),
            (Version::HTTP_2, None, 3),
            (Version::HTTP_11, Some(("expect", "100-continue")), 3),
        ] {
            let mut body = parts(&[b"123"]);
            discard(&request(version, header), &mut body, 10).await;
            assert_eq!(read(&mut body, 10).await.unwrap().len(), left, "{version:?} {header:?}");
        }
        let zeros = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 1024])));
        let mut endless = StreamBody::new(stream::iter(std::iter::repeat_with(zeros)));
        discard(&request(Version::HTTP_11, None), &mut endless, 10).await;
    }

    #[test]
    fn a_body_is_absent_only_if_the_request_says_so() {
        let headers = |name: Option<(&'static str, &str)>| -> HeaderMap {
            name.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        for (version, header, expected) in [
            (Version::HTTP_11, Some(("content-length", "0")), true),
            (Version::HTTP_2, Some(("content-length", "0")), true),
            (Version::HTTP_11, None, true),
            (Version::HTTP_10, None, false),
            (Version::HTTP_10, Some(("content-length", "0")), true),
            (Version::HTTP_2, None, false),
            (Version::HTTP_11, Some(("transfer-encoding", "chunked")), false),
            (Version::HTTP_11, Some(("content-length", "17")), false),
        ] {
            assert_eq!(is_declared_empty(version, &headers(header)), expected, "{version:?} {header:?}");
        }
    }
}
