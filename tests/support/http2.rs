//! HTTP/2, frame by frame, with one request on each connection. Libraries above it would add a `Content-Length`.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client;
use h2::{RecvStream, SendStream};
use hyper::{HeaderMap, Request as Head, Response as Answer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::http::{Error, Framing, Request, Response};

/// Sends a request and reads the answer.
///
/// # Errors
/// The connection ended before the answer did, or the stream was reset.
pub async fn send<S>(stream: S, address: SocketAddr, request: &Request) -> Result<Response, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = client::handshake(stream).await.map_err(refused)?;
    let connection = tokio::spawn(connection);
    let mut sender = sender.ready().await.map_err(refused)?;
    let ends = request.framing == Framing::None;
    let (answer, body) = sender.send_request(head(request, address)?, ends).map_err(refused)?;
    // A server may answer and reset before it has read everything. Its answer counts, even if writing failed.
    let _ = send_body(body, request);
    let response = read(answer.await.map_err(refused)?).await.map_err(broken);
    connection.abort();
    response
}

fn head(request: &Request, address: SocketAddr) -> Result<Head<()>, Error> {
    let uri = format!("https://{address}{}", request.target);
    let mut head = Head::builder().method(request.method.as_str()).uri(uri);
    for (name, value) in &request.headers {
        head = head.header(name, value);
    }
    if request.framing == Framing::Length {
        head = head.header("content-length", request.body.len());
    }
    head.body(()).map_err(broken)
}

/// Sends the body in two frames or more, or in an empty one. The connection keeps to the window.
fn send_body(mut stream: SendStream<Bytes>, request: &Request) -> Result<(), h2::Error> {
    if request.framing == Framing::None {
        return Ok(());
    }
    let mut rest = Bytes::from(request.body.clone());
    let first = rest.split_to(rest.len() / 2);
    if !first.is_empty() {
        stream.send_data(first, false)?;
    }
    stream.send_data(rest, true)
}

async fn read(answer: Answer<RecvStream>) -> Result<Response, h2::Error> {
    let (head, mut stream) = answer.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    Ok(Response { status: head.status.as_u16(), headers: headers(&head.headers), body })
}

fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))).collect()
}

fn refused(error: h2::Error) -> Error {
    if error.is_reset() { broken(error) } else { Error::Refused(error.to_string()) }
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::Broken(error.to_string())
}
