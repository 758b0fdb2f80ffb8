//! Connects to another node: resolves its name, connects over TCP, shakes hands and exchanges prefaces.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};

use super::open_connections::{OpenConnections, StartStream};
use super::trouble::PeerTrouble;
use super::versions::PeerVersions;
use crate::policy::Identity;
use crate::raft::peer_port::refusals::{Caller, Refusals};
use crate::raft::preface::exchange::{self, PrefaceError, ProvenPeer};
use crate::raft::preface::hello::Purpose;
use crate::raft::preface::own::OwnPreface;
use crate::raft::preface::proof::TlsBinding;
use crate::raft::preface::refusal::RefusalCode;
use crate::socket::peer;
use crate::store::StoreId;
use crate::tls::{PeerSession, PeerStream, PeerTls};

/// How long connecting and the handshake may take. The exchange of prefaces has a limit of its own.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What this node needs to connect to others.
pub(super) struct Dialer {
    pub tls: Arc<PeerTls>,
    pub own: OwnPreface,
    pub versions: PeerVersions,
    pub open: OpenConnections,
    pub refusals: Refusals,
}

/// A connection to another node, which has proved itself.
pub(super) type DialedStream = StartStream<PeerStream>;

impl Dialer {
    /// Connects to the member at `address` for this purpose, and notes which version it runs. Refuses a node with another
    /// key or another store.
    pub(super) async fn connect(
        &self,
        address: &str,
        purpose: Purpose,
        key: Identity,
        store: StoreId,
    ) -> io::Result<DialedStream> {
        let mut session = self.shake_hands(address).await?;
        if key != session.key {
            exchange::refuse_key(&mut session.stream, &self.own).await;
            return Err(PeerTrouble::OtherKey.into_io());
        }
        let theirs = self.exchange(&mut session, purpose).await?.preface;
        if theirs.store_id != store {
            return Err(PeerTrouble::OtherStore { node: theirs.node_id }.into_io());
        }
        self.versions.note(key, &theirs);
        match theirs.start {
            Some(start) => self.open.enter(store, start, session.stream),
            None => Ok(OpenConnections::unending(session.stream)),
        }
    }

    /// Connects to whichever node listens at `address` for this purpose, and returns its TLS key and what it said.
    pub(super) async fn connect_to_any(
        &self,
        address: &str,
        purpose: Purpose,
    ) -> io::Result<(DialedStream, Identity, ProvenPeer)> {
        let mut session = self.shake_hands(address).await?;
        let peer = self.exchange(&mut session, purpose).await?;
        Ok((OpenConnections::unending(session.stream), session.key, peer))
    }

    async fn exchange(&self, session: &mut PeerSession, purpose: Purpose) -> io::Result<ProvenPeer> {
        let PeerSession { stream, key, exporter } = session;
        let (key, exporter) = (*key, *exporter);
        let binding = TlsBinding { exporter, acceptor: key, connector: self.tls.identity() };
        let exchanged = exchange::connect(stream, &binding, &self.own, purpose).await;
        exchanged.map_err(|error| {
            if let PrefaceError::RefusedByPeer(refusal) = &error
                && purpose == Purpose::Member
                && refusal.is(RefusalCode::OwnCopy)
            {
                // The other node ends now. Later attempts only find that nothing listens there.
                self.refusals.log_refused_by(Caller { key, is_stranger: false }, &refusal.to_string());
            }
            PeerTrouble::of_preface(error).into_io()
        })
    }

    async fn shake_hands(&self, address: &str) -> io::Result<PeerSession> {
        let by = Instant::now() + CONNECT_TIMEOUT;
        let tcp = dial(address, by).await.map_err(PeerTrouble::into_io)?;
        // With Nagle's algorithm a small write waits for the acknowledgement of the one before: 26 writes/s, not 1,000.
        tcp.set_nodelay(true)?;
        let handshake = timeout_at(by, self.tls.connect(tcp)).await;
        handshake.map_err(|_| PeerTrouble::Tls(format!("no answer in {CONNECT_TIMEOUT:?}")).into_io())?
    }
}

/// Resolves the name and connects, as two steps, so that the error says which one failed.
async fn dial(address: &str, by: Instant) -> Result<peer::Stream, PeerTrouble> {
    let resolved = timeout_at(by, lookup_host(address)).await;
    let resolved = resolved.map_err(|_| PeerTrouble::NameNotResolved(format!("no answer in {CONNECT_TIMEOUT:?}")))?;
    let resolved = resolved.map_err(|error| PeerTrouble::NameNotResolved(error.to_string()))?;
    let addresses: Vec<SocketAddr> = resolved.collect();
    let connected = timeout_at(by, peer::connect(&addresses)).await.map_err(|_| PeerTrouble::TimedOut)?;
    connected.map_err(|error| PeerTrouble::of_io(&error))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tokio::net::TcpListener;

    use super::*;
    use crate::crypto::{BootstrapKey, RootKey};
    use crate::raft::preface::content::NodeVersion;
    use crate::store::Owner;
    use crate::tls::testing::{self, TestAuthority};

    const STORE: StoreId = StoreId([2; 16]);

    fn dialer(authority: &TestAuthority, key: &BootstrapKey, store_id: StoreId) -> (Dialer, TempDir) {
        let (folder, files) = testing::peer_files(&authority.node(), Some(&authority.pem()));
        let tls = Arc::new(PeerTls::load(&files).unwrap());
        let own = OwnPreface::of_founder(Owner { store_id, node_id: 7 }, "n7", key);
        (
            Dialer {
                tls,
                own,
                versions: PeerVersions::default(),
                open: OpenConnections::default(),
                refusals: Refusals::default(),
            },
            folder,
        )
    }

    /// Accepts one connection after the other, as the node of this dialer.
    async fn accept(listener: TcpListener, node: Arc<Dialer>) {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            if let Ok(PeerSession { mut stream, key, exporter }) = node.tls.accept(tcp).await {
                let binding = TlsBinding { exporter, acceptor: node.tls.identity(), connector: key };
                drop(exchange::accept(&mut stream, &binding, &node.own, &std::collections::BTreeMap::new()).await);
            }
        }
    }

    #[tokio::test]
    async fn a_member_is_taken_only_with_its_key_and_its_store() {
        let authority = TestAuthority::new();
        let bootstrap = BootstrapKey::of_root_key(&RootKey::random());
        let (dialer, _folder) = self::dialer(&authority, &bootstrap, StoreId([1; 16]));
        let (member, _its_folder) = self::dialer(&authority, &bootstrap, STORE);
        let key = member.tls.identity();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let accepting = tokio::spawn(accept(listener, Arc::new(member)));
        let trouble = async |key, store| {
            let error = dialer.connect(&address, Purpose::Founder, key, store).await.map(drop).unwrap_err();
            PeerTrouble::of_io(&error)
        };
        assert_eq!(trouble(dialer.tls.identity(), STORE).await, PeerTrouble::OtherKey);
        assert_eq!(trouble(key, StoreId([3; 16])).await, PeerTrouble::OtherStore { node: 7 });
        assert_eq!(dialer.versions.of(key), None);
        dialer.connect(&address, Purpose::Founder, key, STORE).await.map(drop).unwrap();
        assert_eq!(dialer.versions.of(key), Some(NodeVersion::own()));
        accepting.abort();
    }
}
