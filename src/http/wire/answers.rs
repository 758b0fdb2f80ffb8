//! Answers: status, headers and body. Each JSON body is written in one pass.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::BoxStream;
use http::header::{ACCEPT, ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{Either, Full, StreamBody};
use hyper::body::{Body, Frame};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::error_code;
use crate::http::error::ApiError;
use crate::kms::Behind;

/// An answer on its way to the client.
pub type Answer = Response<AnswerBody>;

/// The body of an answer: one piece, or a stream of pieces.
pub type AnswerBody = Either<Full<Bytes>, StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>>;

/// The header of an error answer with the error's code.
const ERROR_CODE: HeaderName = HeaderName::from_static(error_code::HEADER);
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// 200 without a body, and with the length 0 in its header.
pub fn empty() -> Answer {
    let mut answer = Response::new(Either::Left(Full::default()));
    answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    answer
}

/// 200 without a body after a revocation. The audit record will name the nodes that had not applied it.
pub fn revoked(behind: Behind) -> Answer {
    let mut answer = empty();
    answer.extensions_mut().insert(behind);
    answer
}

/// 200 with a value as JSON. The values of this API can always be written as JSON; `null` stands for one that could
/// not.
pub fn json(value: &impl Serialize) -> Answer {
    full(StatusCode::OK, JSON, serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec()).into())
}

/// 200 with a body that is JSON already.
pub fn written_json(body: impl Into<Bytes>) -> Answer {
    full(StatusCode::OK, JSON, body.into())
}

/// 200 with JSON that is wiped after it is sent.
pub fn secret_json(body: WipedBytes) -> Answer {
    full(StatusCode::OK, JSON, Bytes::from_owner(body))
}

/// 200 with a stream of JSON lines, in batches.
pub fn lines(batches: BoxStream<'static, io::Result<Frame<Bytes>>>) -> Answer {
    let mut answer = Response::new(Either::Right(StreamBody::new(batches)));
    answer.headers_mut().insert(CONTENT_TYPE, NDJSON);
    answer
}

/// 200 with metrics in Prometheus text.
pub fn metrics(text: String) -> Answer {
    full(StatusCode::OK, METRICS, text.into())
}

/// The answer that an error causes: its message is the body, and a header has its code.
pub fn error(error: &ApiError) -> Answer {
    let (status, code, text) = error.answer();
    let mut answer = match error {
        ApiError::UnknownPath => full(status, TEXT, text.into_owned().into()),
        _ => full(status, JSON, message(&text).into()),
    };
    answer.headers_mut().insert(ERROR_CODE, HeaderValue::from_static(code.as_str()));
    if let ApiError::Method { want, allowed, .. } = error {
        // KES names the method in `Accept`; HTTP asks for `Allow` (RFC 9110, section 15.5.6).
        answer.headers_mut().insert(ACCEPT, HeaderValue::from_static(want.as_str()));
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    }
    answer
}

/// The answer to HEAD: every header of this answer, and no body.
pub fn without_body(answer: Answer) -> Answer {
    let (mut parts, body) = answer.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(parts, Either::Left(Full::default()))
}

fn full(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

fn message(text: &str) -> Vec<u8> {
    let mut body = b"{\"message\":".to_vec();
    body.extend(serde_json::to_vec(text).unwrap_or_default());
    body.push(b'}');
    body
}

/// The bytes of an answer that holds plaintext. They are wiped when dropped.
pub struct WipedBytes(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for WipedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Writes JSON objects whose values are base64 and versions. It never moves the bytes that it has written, so it leaves
/// no copy of a plaintext behind.
pub struct JsonWriter {
    out: Zeroizing<Vec<u8>>,
    opening: u8,
}

impl JsonWriter {
    /// Begins an object whose base64 fields hold `lengths` bytes.
    pub fn object(lengths: &[usize]) -> Self {
        Self::with_room(lengths.iter().map(|length| 4 * length.div_ceil(3) + FIELD).sum(), b'{')
    }

    /// Begins an array of `count` objects with one base64 field each, of `length` bytes together.
    pub fn array(count: usize, length: usize) -> Self {
        let mut writer = Self::with_room(4 * length.div_ceil(3) + count * (FIELD + 4), b'{');
        writer.out.push(b'[');
        writer
    }

    fn with_room(room: usize, opening: u8) -> Self {
        Self { out: Zeroizing::new(Vec::with_capacity(room + FIELD + VERSION)), opening }
    }

    /// Adds a field with these bytes as base64.
    pub fn base64(&mut self, name: &str, bytes: &[u8]) {
        self.name(name);
        let start = self.out.len();
        self.out.resize(start + 4 * bytes.len().div_ceil(3), 0);
        let written = STANDARD.encode_slice(bytes, &mut self.out[start..]);
        debug_assert_eq!(written, Ok(self.out.len() - start), "base64 has four digits for three bytes");
        self.out.push(b'"');
    }

    /// Adds the version if the request named one. A valid version needs no escapes.
    pub fn version(&mut self, version: Option<&str>) {
        if let Some(version) = version {
            self.name("version");
            self.out.extend_from_slice(version.as_bytes());
            self.out.push(b'"');
        }
    }

    /// Ends an object of an array. The next field begins another object.
    pub fn next_object(&mut self) {
        self.out.extend_from_slice(b"},");
        self.opening = b'{';
    }

    /// Ends the object.
    pub fn finish(mut self) -> WipedBytes {
        self.out.push(b'}');
        WipedBytes(self.out)
    }

    /// Ends the array.
    pub fn finish_array(mut self) -> WipedBytes {
        if self.out.last() == Some(&b',') {
            self.out.pop();
        }
        self.out.push(b']');
        WipedBytes(self.out)
    }

    fn name(&mut self, name: &str) {
        self.out.push(std::mem::replace(&mut self.opening, b','));
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":\"");
    }
}

/// Room for the name of a field and its punctuation.
const FIELD: usize = 20;
/// Room for a version.
const VERSION: usize = 12;

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::http::pipeline::routes::Method;

    fn text(answer: &Answer) -> String {
        match answer.body() {
            Either::Left(full) => {
                let mut full = full.clone();
                let frame = futures::executor::block_on(full.frame());
                String::from_utf8(frame.map_or_else(Vec::new, |f| f.unwrap().into_data().unwrap().to_vec())).unwrap()
            }
            Either::Right(_) => panic!("a stream"),
        }
    }

    #[test]
    fn objects_are_written_without_growing() {
        let mut writer = JsonWriter::object(&[32, 76]);
        let room = writer.out.capacity();
        writer.base64("plaintext", &[0; 32]);
        writer.base64("ciphertext", &[255; 76]);
        writer.version(Some("v4294967295"));
        assert_eq!(writer.out.capacity(), room, "a buffer that grows leaves plaintext behind");
        let written: serde_json::Value = serde_json::from_slice(writer.finish().as_ref()).unwrap();
        let expected = serde_json::json!({
            "plaintext": STANDARD.encode([0; 32]), "ciphertext": STANDARD.encode([255; 76]), "version": "v4294967295",
        });
        assert_eq!(written, expected);
    }

    #[test]
    fn arrays_are_written_without_growing() {
        for plaintexts in [vec![], vec![vec![]; 1000], vec![vec![1], vec![2; 100]], vec![vec![7]; 1000]] {
            let mut writer = JsonWriter::array(plaintexts.len(), plaintexts.iter().map(Vec::len).sum());
            let room = writer.out.capacity();
            for plaintext in &plaintexts {
                writer.base64("plaintext", plaintext);
                writer.next_object();
            }
            assert_eq!(writer.out.capacity(), room);
            let written: serde_json::Value = serde_json::from_slice(writer.finish_array().as_ref()).unwrap();
            let expected: Vec<_> =
                plaintexts.iter().map(|p| serde_json::json!({"plaintext": STANDARD.encode(p)})).collect();
            assert_eq!(written, serde_json::json!(expected));
        }
    }

    #[test]
    fn an_error_is_a_message_and_an_unknown_path_a_line_of_text() {
        let method = error(&ApiError::Method { got: "\"".to_owned(), want: Method::Put, allowed: "PUT, POST" });
        assert_eq!(text(&method), r#"{"message":"received method '\"' expected 'PUT'"}"#);
        assert_eq!(
            (&method.headers()["accept"], &method.headers()["allow"]),
            (&"PUT".parse().unwrap(), &"PUT, POST".parse().unwrap())
        );
        assert_eq!(method.headers()["content-type"], "application/json");
        assert_eq!(method.headers()["keyraft-error"], "method-not-allowed");
        let unknown = error(&ApiError::UnknownPath);
        assert_eq!((text(&unknown).as_str(), unknown.status().as_u16()), ("404 page not found\n", 404));
        assert_eq!(unknown.headers()["content-type"], "text/plain; charset=utf-8");
        assert_eq!(unknown.headers()["keyraft-error"], "unknown-path");
        assert!(!empty().headers().contains_key("keyraft-error"));
    }

    #[test]
    fn the_answer_to_head_has_the_headers_only() {
        let head = without_body(error(&ApiError::UnknownPath));
        assert_eq!((text(&head).as_str(), &head.headers()["content-length"]), ("", &HeaderValue::from(19)));
        assert_eq!(head.headers()["keyraft-error"], "unknown-path");
    }
}
