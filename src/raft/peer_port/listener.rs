//! The peer listener: accepts connections on the peer port, and requires mutual TLS and a preface.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use super::admission::{Admission, ConnectionPlace};
use super::connection::{ConnectedPeer, PeerConnection};
use super::refusals::Refusals;
use super::service::PeerService;
use crate::policy::Identity;
use crate::raft::peers::links::{Links, MAX_MESSAGE_BYTES};
use crate::raft::preface::content::ConnectionSide;
use crate::raft::preface::exchange::{self, PrefaceError};
use crate::raft::protocol::wire::peer_server::PeerServer;
use crate::socket::{self, Opening};
use crate::tls::{PeerStream, PeerTls, Port, Refused, RefusedLog};

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
    let port = PeerPort { tls, links: Arc::clone(&service.links), refusals: Arc::clone(&service.refusals) };
    let accepting = tokio::spawn(accept(listener, admission, Arc::new(port), accepted));
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

/// What the listener needs to admit a connection.
struct PeerPort {
    tls: Arc<PeerTls>,
    links: Arc<Links>,
    refusals: Arc<Refusals>,
}

/// Admits each connection in a task of its own. Closes a connection beyond the limits at once: a peer then
/// tries again, and need not wait for others to finish.
async fn accept(
    listener: TcpListener,
    admission: Arc<Admission>,
    port: Arc<PeerPort>,
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
        let (port, accepted, refused) = (Arc::clone(&port), accepted.clone(), Arc::clone(&refused));
        tokio::spawn(async move {
            match port.admit(tcp, place).await {
                // A stopped server no longer receives. The connection ends with it.
                Ok(Some(connection)) => drop(accepted.send(Ok(connection)).await),
                Ok(None) => {}
                Err(why) => refused.add(from, &why),
            }
        });
    }
}

impl PeerPort {
    /// Shakes hands and exchanges prefaces. `None` after a refusal, which is in the log then.
    async fn admit(&self, tcp: TcpStream, mut place: ConnectionPlace) -> Result<Option<PeerConnection>, Refused> {
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.shake_hands(tcp)).await;
        let (mut stream, key) = handshake.unwrap_or(Err(Refused::Slow(HANDSHAKE_TIMEOUT)))?;
        let own = self.links.own_preface().now(ConnectionSide::Acceptor);
        let preface = match exchange::accept(&mut stream, &own).await {
            Ok(preface) => Arc::new(preface),
            Err(error) => return self.refused(key, &error).map(|()| None),
        };
        self.links.note_accepted(key, &preface);
        place.handshake_done();
        Ok(Some(PeerConnection::new(stream, ConnectedPeer { key, preface }, place)))
    }

    async fn shake_hands(&self, tcp: TcpStream) -> Result<(PeerStream, Identity), Refused> {
        tcp.set_nodelay(true)?;
        match socket::opening(&tcp).await? {
            Opening::Tls => Ok(self.tls.accept(tcp).await?),
            Opening::Text => Err(Refused::PlainText),
            Opening::Nothing => Err(Refused::Silent),
        }
    }

    /// Logs a refusal, but not each time: a refused node tries again several times a second.
    fn refused(&self, identity: Identity, error: &PrefaceError) -> Result<(), Refused> {
        match error {
            PrefaceError::Refused(refusal) => self.refusals.log_connection(identity, &refusal.reason),
            PrefaceError::RefusedByPeer(refusal) => self.refusals.log_refused_by(identity, &refusal.reason),
            PrefaceError::Closed | PrefaceError::Slow | PrefaceError::Connection(_) => {
                return Err(Refused::Preface(error.to_string()));
            }
        }
        Ok(())
    }
}
