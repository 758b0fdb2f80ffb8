//! The peer listener: accepts connections on the peer port and requires mutual TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use super::admission::{Admission, ConnectionPlace};
use super::connection::PeerConnection;
use super::service::PeerService;
use crate::raft::peers::links::MAX_MESSAGE_BYTES;
use crate::raft::protocol::wire::peer_server::PeerServer;
use crate::socket::{self, Opening};
use crate::tls::{PeerTls, Port, Refused, RefusedLog};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How many connections may wait for the server to take them.
const BACKLOG: usize = 64;
/// The pause between two pings of a connection, and how long one may stay unanswered. A peer that lost its power does
/// not close its connections, and they count towards the limit.
const PING: Duration = Duration::from_secs(10);

/// Serves the peer service until `stop` resolves, on the connections that `admission` admits.
pub(in crate::raft) async fn serve(
    listener: TcpListener,
    admission: Arc<Admission>,
    tls: Arc<PeerTls>,
    service: PeerService,
    stop: impl Future<Output = ()> + Send,
) {
    let (accepted, incoming) = mpsc::channel(BACKLOG);
    let accepting = tokio::spawn(accept(listener, admission, tls, accepted));
    let service = PeerServer::new(service)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let server = Server::builder()
        .http2_adaptive_window(Some(true))
        .http2_keepalive_interval(Some(PING))
        .http2_keepalive_timeout(Some(PING))
        .add_service(service);
    if let Err(error) = server.serve_with_incoming_shutdown(ReceiverStream::new(incoming), stop).await {
        tracing::error!(%error, "the peer listener ended: the other nodes cannot reach this node until it restarts");
    }
    accepting.abort();
}

/// Shakes hands with each connection in a task of its own. Closes a connection beyond the limits at once: a peer then
/// tries again, and need not wait for others to finish.
async fn accept(
    listener: TcpListener,
    admission: Arc<Admission>,
    tls: Arc<PeerTls>,
    accepted: mpsc::Sender<io::Result<PeerConnection>>,
) {
    let refused = RefusedLog::new(Port::Peer);
    loop {
        let (tcp, from) = match listener.accept().await {
            Ok((tcp, from)) => (tcp, SocketAddr::new(from.ip().to_canonical(), from.port())),
            Err(error) => {
                tracing::warn!(%error, "the node cannot accept a connection of a peer");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let place = match admission.enter(from.ip()) {
            Ok(place) => place,
            Err(full) => {
                refused.add(from, &Refused::Full(full.to_string()));
                continue;
            }
        };
        let (tls, accepted, refused) = (Arc::clone(&tls), accepted.clone(), Arc::clone(&refused));
        tokio::spawn(async move {
            let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, shake_hands(tcp, &tls, place)).await;
            match handshake.unwrap_or(Err(Refused::Slow(HANDSHAKE_TIMEOUT))) {
                // A stopped server no longer receives. The connection ends with it.
                Ok(connection) => drop(accepted.send(Ok(connection)).await),
                Err(why) => refused.add(from, &why),
            }
        });
    }
}

async fn shake_hands(tcp: TcpStream, tls: &PeerTls, mut place: ConnectionPlace) -> Result<PeerConnection, Refused> {
    tcp.set_nodelay(true)?;
    match socket::opening(&tcp).await? {
        Opening::Tls => {}
        Opening::Text => return Err(Refused::PlainText),
        Opening::Nothing => return Err(Refused::Silent),
    }
    let (stream, identity) = tls.accept(tcp).await?;
    place.handshake_done();
    Ok(PeerConnection::new(stream, identity, place))
}
