//! HTTP/1.1 by hand. It sends the bytes of a request as a test wrote them.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::http::{Error, Framing, Request, Response};

/// The largest chunk of a body. It is small, so that even small bodies have several.
const CHUNK: usize = 16 * 1024;

/// Sends a request and reads the answer.
///
/// # Errors
/// The connection ended before the answer did, or the bytes that came are not an answer.
pub async fn send(stream: impl AsyncRead + AsyncWrite, request: &Request) -> Result<Response, Error> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let bytes = encode(request);
    // A server may answer and close before it has read everything. Its answer counts, even if writing failed.
    let write = async {
        let _ = writer.write_all(&bytes).await;
        let _ = writer.flush().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = read(&mut reader, request.method == "HEAD") => answer,
        () = write => unreachable!("a pending future never ends"),
    }
}

/// Sends a request and does not wait for its answer.
///
/// # Errors
/// The connection has ended.
pub async fn begin(stream: &mut (impl AsyncWrite + Unpin), request: &Request) -> io::Result<()> {
    stream.write_all(&encode(request)).await?;
    stream.flush().await
}

/// Reads the answer to what was sent with [`begin`].
///
/// # Errors
/// The connection ended before the answer did, or the bytes that came are not an answer.
pub async fn finish(stream: &mut (impl AsyncRead + Unpin)) -> Result<Response, Error> {
    read(stream, false).await
}

fn encode(request: &Request) -> Vec<u8> {
    let Request { method, target, headers, body, framing } = request;
    let mut lines = vec![format!("{method} {target} HTTP/1.1"), "Host: localhost".into(), "Connection: close".into()];
    lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
    let body = match framing {
        Framing::Length => {
            lines.push(format!("Content-Length: {}", body.len()));
            body.clone()
        }
        Framing::Chunked => {
            lines.push("Transfer-Encoding: chunked".into());
            chunked(body)
        }
        Framing::None => {
            assert!(body.is_empty(), "a body needs a framing");
            Vec::new()
        }
    };
    [(lines.join("\r\n") + "\r\n\r\n").into_bytes(), body].concat()
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let size = CHUNK.min(body.len() / 2 + 1);
    let mut bytes = Vec::with_capacity(body.len() + 64);
    for chunk in body.chunks(size) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

async fn read(reader: &mut (impl AsyncRead + Unpin), without_body: bool) -> Result<Response, Error> {
    let mut received = Vec::new();
    loop {
        let ended = match reader.read_buf(&mut received).await {
            Ok(count) => (count == 0).then(|| "the connection was closed".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(response) = decode(&received, without_body, ended.is_some()).map_err(Error::Broken)? {
            return Ok(response);
        }
        match ended {
            Some(reason) if received.is_empty() => return Err(Error::Refused(reason)),
            Some(reason) => return Err(Error::Broken(format!("{reason} within the answer"))),
            None => {}
        }
    }
}

/// Decodes the answer from the bytes received so far. `None` until it is whole.
fn decode(received: &[u8], without_body: bool, ended: bool) -> Result<Option<Response>, String> {
    let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&received[..end]);
    let (first, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|line| line.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| format!("not a status line: '{first}'"))?;
    let headers = rest.lines().map(header).collect::<Result<Vec<_>, _>>()?;
    let mut response = Response { status, headers, body: Vec::new() };
    if without_body {
        return Ok(Some(response));
    }
    let body = body(&received[end + 4..], &response, ended)?;
    Ok(body.map(|body| {
        response.body = body;
        response
    }))
}

fn header(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once(':').ok_or_else(|| format!("not a header: '{line}'"))?;
    Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
}

fn body(received: &[u8], response: &Response, ended: bool) -> Result<Option<Vec<u8>>, String> {
    if response.header("transfer-encoding") == Some("chunked") {
        return unchunked(received);
    }
    let Some(length) = response.header("content-length") else { return Ok(ended.then(|| received.to_vec())) };
    let length: usize = length.parse().map_err(|_| format!("not a length: '{length}'"))?;
    match received.len() {
        count if count > length => Err(format!("{} bytes follow the answer", count - length)),
        count => Ok((count == length).then(|| received.to_vec())),
    }
}

fn unchunked(mut rest: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|bytes| bytes == b"\r\n") else { return Ok(None) };
        let size = String::from_utf8_lossy(&rest[..end]).into_owned();
        let size = usize::from_str_radix(&size, 16).map_err(|_| format!("not a chunk size: '{size}'"))?;
        let Some(chunk) = rest.get(end + 2..end + 4 + size) else { return Ok(None) };
        if size == 0 {
            return Ok(Some(body));
        }
        body.extend_from_slice(&chunk[..size]);
        rest = &rest[end + 4 + size..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(answer: &str) -> Result<Option<Response>, String> {
        decode(answer.as_bytes(), false, true)
    }

    #[test]
    fn a_request_goes_out_as_it_was_written() {
        let mut request = Request::new("get", "//a%zz?x", None);
        request.headers.push(("kes-Enclave".into(), "x".into()));
        let expected = "get //a%zz?x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nkes-Enclave: x\r\n\r\n";
        assert_eq!(String::from_utf8(encode(&request)).unwrap(), expected);
    }

    #[test]
    fn every_framing_marks_the_end_of_a_body() {
        let framed = |framing, body| encode(&Request { framing, ..Request::new("PUT", "/", Some(body)) });
        assert!(framed(Framing::Length, "{}").ends_with(b"Content-Length: 2\r\n\r\n{}"));
        assert!(framed(Framing::Length, "").ends_with(b"Content-Length: 0\r\n\r\n"));
        assert!(framed(Framing::Chunked, "{}{}").ends_with(b"chunked\r\n\r\n3\r\n{}{\r\n1\r\n}\r\n0\r\n\r\n"));
        assert!(framed(Framing::Chunked, "").ends_with(b"chunked\r\n\r\n0\r\n\r\n"));
        assert!(framed(Framing::None, "").ends_with(b"close\r\n\r\n"));
    }

    #[test]
    fn an_answer_is_read_whole() {
        let sized = exchange("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y \r\n\r\n{}").unwrap().unwrap();
        assert_eq!((sized.status, sized.text().as_str(), sized.header("x")), (200, "{}", Some("y")));
        let pieces = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n";
        assert_eq!(exchange(pieces).unwrap().unwrap().text(), "{}");
        assert_eq!(exchange("HTTP/1.1 200 OK\r\n\r\nto the end").unwrap().unwrap().text(), "to the end");
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        for cut in ["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", "HTTP/1.1 200 OK\r\n", ""] {
            assert!(exchange(cut).unwrap().is_none(), "{cut}");
        }
        for broken in ["HTTP/1.1 2x0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}"] {
            assert!(exchange(broken).is_err(), "{broken}");
        }
    }
}
