//! The peer listener: accepts connections on the peer port, and requires mutual TLS and a preface.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use super::admission::{Admission, ConnectionPlace};
use super::connection::{ConnectedPeer, PeerConnection};
use super::refusals::{Caller, Refusals};
use super::service::PeerService;
use crate::raft::peers::links::{Links, MAX_MESSAGE_BYTES};
use crate::raft::preface::exchange::{self, PrefaceError, ProvenPeer};
use crate::raft::preface::proof::TlsBinding;
use crate::raft::protocol::wire::peer_server::PeerServer;
use crate::socket::Opening;
use crate::socket::peer::{self, Listener, Stream};
use crate::tls::{PeerSession, PeerTls, Port, Refused, RefusedLog};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How many connections may wait for the server to take them.
const BACKLOG: usize = 64;
/// The pause between two pings of a connection, and how long one may stay unanswered. A peer that lost its power does
/// not close its connections, and they count towards the limit.
const PING: Duration = Duration::from_secs(10);

/// Serves the peer service until `stop` resolves, on the connections that `admission` admits. TLS handshakes run on
/// `handshakes`, a runtime apart from the one of consensus: anybody can make this node shake hands as often as they like.
pub(in crate::raft) async fn serve(
    listener: Listener,
    admission: Arc<Admission>,
    tls: Arc<PeerTls>,
    handshakes: Handle,
    service: PeerService,
    stop: impl Future<Output = ()> + Send,
) {
    let (accepted, incoming) = mpsc::channel(BACKLOG);
    let (links, refusals) = (Arc::clone(&service.links), Arc::clone(&service.refusals));
    let port = PeerPort { tls, handshakes, links, refusals };
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
    handshakes: Handle,
    links: Arc<Links>,
    refusals: Arc<Refusals>,
}

/// Admits each connection in a task of its own. Closes a connection beyond the limits at once: a peer then
/// tries again, and need not wait for others to finish.
async fn accept(
    listener: Listener,
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
    async fn admit(&self, tcp: Stream, mut place: ConnectionPlace) -> Result<Option<PeerConnection>, Refused> {
        let tls = Arc::clone(&self.tls);
        let shaking = async move { tokio::time::timeout(HANDSHAKE_TIMEOUT, shake_hands(tls, tcp)).await };
        let handshake = self.handshakes.spawn(shaking).await.map_err(io::Error::other)?;
        let PeerSession { mut stream, key, exporter } = handshake.unwrap_or(Err(Refused::Slow(HANDSHAKE_TIMEOUT)))?;
        let (own, members) = (self.links.own_preface(), self.links.members());
        let binding = TlsBinding { exporter, acceptor: self.links.own_key(), connector: key };
        let peer = match exchange::accept(&mut stream, &binding, own, &members).await {
            Ok(peer) => peer,
            Err(error) => {
                let caller = Caller { key, is_stranger: !self.links.is_member(key) };
                return self.refused(caller, &error).map(|()| None);
            }
        };
        let stream = self.links.accepted(key, place.listed_address(), &peer, stream)?;
        place.handshake_done();
        let ProvenPeer { purpose, preface } = peer;
        let peer = ConnectedPeer { key, purpose, preface: Arc::new(preface), has_wraps: Arc::default() };
        Ok(Some(PeerConnection::new(stream, peer, place)))
    }

    /// Logs a refusal, but not each time: a refused node tries again several times a second.
    fn refused(&self, caller: Caller, error: &PrefaceError) -> Result<(), Refused> {
        match error {
            PrefaceError::Refused(refusal) => self.refusals.log_connection(caller, &refusal.to_string()),
            PrefaceError::Untimely(refusal) => self.refusals.log_untimely(caller, &refusal.to_string()),
            PrefaceError::RefusedByPeer(refusal) => self.refusals.log_refused_by(caller, &refusal.to_string()),
            PrefaceError::CannotProve(_) | PrefaceError::Starts(_) => {
                self.refusals.log_connection(caller, &error.to_string());
            }
            PrefaceError::Closed | PrefaceError::Slow | PrefaceError::Connection(_) => {
                return Err(Refused::Preface(error.to_string()));
            }
        }
        Ok(())
    }
}

async fn shake_hands(tls: Arc<PeerTls>, mut tcp: Stream) -> Result<PeerSession, Refused> {
    tcp.set_nodelay(true)?;
    match peer::opening(&mut tcp).await? {
        Opening::Tls => Ok(tls.accept(tcp).await?),
        Opening::Text => Err(Refused::PlainText),
        Opening::Nothing => Err(Refused::Silent),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::crypto::{BootstrapKey, RootKey};
    use crate::raft::preface::credential::Credential;
    use crate::raft::preface::hello::Purpose;
    use crate::raft::preface::own::OwnPreface;
    use crate::raft::preface::shown_seal::ShownSeal;
    use crate::store::{Owner, StoreId};
    use crate::tls::testing::{self, TestAuthority, pair};

    const FROM: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    struct Ports {
        port: Arc<PeerPort>,
        /// The TLS of a node that connects.
        caller: PeerTls,
        bootstrap: BootstrapKey,
        _folders: [TempDir; 2],
    }

    fn ports() -> Ports {
        ports_on(Handle::current())
    }

    fn ports_on(handshakes: Handle) -> Ports {
        let authority = TestAuthority::new();
        let tls = || {
            let (folder, files) = testing::peer_files(&authority.node(), Some(&authority.pem()));
            (PeerTls::load(&files).unwrap(), folder)
        };
        let ((own, folder), (caller, its_folder)) = (tls(), tls());
        let (own, owner) = (Arc::new(own), Owner { store_id: StoreId([1; 16]), node_id: 1 });
        let (seal, bootstrap) = (ShownSeal::default(), BootstrapKey::of_root_key(&RootKey::random()));
        seal.set_open(Some(bootstrap.clone()));
        let links = Arc::new(Links::new(owner, "a", Arc::clone(&own), std::collections::HashMap::new(), seal));
        links.own_preface().set_credential(Credential::Founder);
        let port = Arc::new(PeerPort { tls: own, handshakes, links, refusals: Arc::default() });
        Ports { port, caller, bootstrap, _folders: [folder, its_folder] }
    }

    /// Lets one handshake run at a time.
    fn admission() -> Arc<Admission> {
        Admission::new(8, 1, &[])
    }

    #[tokio::test]
    async fn a_connection_is_admitted_after_the_preface_and_is_a_handshake_until_then() {
        let Ports { port, caller, bootstrap, _folders } = ports();
        let (admission, (near, far)) = (admission(), pair().await);
        let place = admission.enter(FROM).unwrap();
        let admitting = tokio::spawn(async move { port.admit(far, place).await });
        let PeerSession { mut stream, key, exporter } = caller.connect(near).await.unwrap();
        assert!(admission.enter(FROM).is_err(), "a client that has not sent its preface takes part of the limit");
        let owner = Owner { store_id: StoreId([2; 16]), node_id: 2 };
        let own = OwnPreface::of_founder(owner, "b", &bootstrap);
        let binding = TlsBinding { exporter, acceptor: key, connector: caller.identity() };
        let theirs = exchange::connect(&mut stream, &binding, &own, Purpose::Founder).await.unwrap().preface;
        assert_eq!((theirs.name.as_str(), theirs.node_id), ("a", 1));
        let admitted = admitting.await.unwrap().unwrap().unwrap();
        let peer = tonic::transport::server::Connected::connect_info(&admitted);
        assert_eq!((peer.key, peer.purpose), (caller.identity(), Purpose::Founder));
        assert_eq!((peer.preface.name.as_str(), peer.preface.store_id), ("b", owner.store_id));
        assert!(admission.enter(FROM).is_ok());
    }

    #[tokio::test]
    async fn handshakes_do_not_run_on_the_runtime_of_consensus() {
        let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let Ports { port, caller, _folders, .. } = ports_on(other.handle().clone());
        let (admission, (near, far)) = (admission(), pair().await);
        let place = admission.enter(FROM).unwrap();
        let _admitting = tokio::spawn(async move { port.admit(far, place).await.map(|admitted| admitted.is_some()) });
        let connecting = tokio::spawn(async move { caller.connect(near).await.is_ok() });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!connecting.is_finished(), "the node waits for the other runtime");
        let driving = tokio::task::spawn_blocking(move || other.block_on(tokio::time::sleep(Duration::from_secs(1))));
        assert!(connecting.await.unwrap());
        driving.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_begins_with_http2_gets_a_refusal_and_no_connection() {
        let Ports { port, caller, _folders, .. } = ports();
        let (admission, (near, far)) = (admission(), pair().await);
        let place = admission.enter(FROM).unwrap();
        let admitting = tokio::spawn(async move { port.admit(far, place).await.map(|admitted| admitted.is_some()) });
        let mut stream = caller.connect(near).await.unwrap().stream;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = Vec::new();
        // The node may close the connection with bytes of the client unread, which resets it.
        drop(stream.read_to_end(&mut answer).await);
        assert!(String::from_utf8_lossy(&answer).contains("a received a frame of"), "{answer:?}");
        assert!(matches!(admitting.await.unwrap(), Ok(false)));
        assert!(admission.enter(FROM).is_ok(), "a refused connection frees its place");
    }
}
