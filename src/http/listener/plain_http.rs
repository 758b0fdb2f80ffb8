//! The answer to plain HTTP on the port for HTTPS, so that the client learns why it fails (RFC 9110, section 15.5.1).

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The answer of Go's servers, which clients of KES know, and the code that every error answer has.
const ANSWER: &[u8] = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\
                        Keyraft-Error: tls-required\r\n\r\n\
                        Client sent an HTTP request to an HTTPS server.\n";
/// How many bytes of a request the server discards before it closes the connection. A connection that is closed with
/// unread bytes is reset, and then the client may never see the answer.
const MAX_DISCARDED: u64 = 1 << 20;
/// How long answering and discarding may take.
const LINGER: Duration = Duration::from_secs(1);

/// Answers 400 to any bytes, and closes the connection.
pub async fn refuse(mut tcp: TcpStream) {
    let answered = async {
        tcp.write_all(ANSWER).await?;
        tcp.shutdown().await?;
        tokio::io::copy(&mut (&mut tcp).take(MAX_DISCARDED), &mut tokio::io::sink()).await
    };
    // The connection closes without the answer if the client does not take it, or does not stop sending.
    let _ = timeout(LINGER, answered).await;
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
    use std::sync::Arc;

    use tokio::sync::mpsc;

    use super::*;
    use crate::error_code::{self, ErrorCode};
    use crate::http::listener::client::ConnectedClient;
    use crate::http::listener::server::ApiServer;
    use crate::http::testing::{LIMITS, connect, tls};
    use crate::http::wire::answers;

    async fn answer_to(address: SocketAddr, sent: &[u8]) -> String {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(sent).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("the connection is closed, not reset");
        answer
    }

    #[tokio::test]
    async fn plain_http_is_answered_for_every_method_and_tls_still_works() {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = ApiServer::bind_with(here, tls().0, LIMITS, |_, _| async { answers::empty() }).unwrap();
        let address = server.local_address();
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "PRI", "PATCH", "X-ODD", "get"] {
            let request = format!("{method} /v1/ready HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n");
            let answer = answer_to(address, &[request.as_bytes(), &vec![b'x'; 100_000]].concat()).await;
            assert_eq!(answer.as_bytes(), ANSWER, "{method}");
        }
        let mut secure = connect(address, false).await.unwrap();
        secure.write_all(b"GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        secure.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }

    #[test]
    fn the_answer_is_complete() {
        let answer = String::from_utf8(ANSWER.to_vec()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 400 Bad Request\r\n"));
        assert!(head.contains("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close"));
        let code = format!("\r\n{}: {}", error_code::HEADER, ErrorCode::TlsRequired.as_str());
        assert!(head.to_lowercase().ends_with(&code), "{head}");
        assert_eq!(body, "Client sent an HTTP request to an HTTPS server.\n");
    }

    #[tokio::test]
    async fn a_client_over_ipv4_has_an_ipv4_address_on_every_listener() {
        let (sender, mut seen) = mpsc::channel(1);
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let server = ApiServer::bind_with(any, tls().0, LIMITS, move |client: Arc<_>, _| {
            let client: &ConnectedClient = &client;
            sender.try_send(client.ip).unwrap();
            async { answers::empty() }
        })
        .unwrap();
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, server.local_address().port()));
        let mut client = connect(here, false).await.unwrap();
        client.write_all(b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert_eq!(seen.recv().await.unwrap(), Some(here.ip()));
    }
}
