//! Links to the other nodes: their addresses, channels to them, and who may call this node.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::contacts::Contacts;
use super::dial::{DialedStream, Dialer};
use super::open_connections::{OpenConnections, SealedPlace, StartStream};
use super::versions::PeerVersions;
use crate::policy::Identity;
use crate::raft::peer_port::refusals::Refusals;
use crate::raft::preface::content::Preface;
use crate::raft::preface::exchange::ProvenPeer;
use crate::raft::preface::hello::Purpose;
use crate::raft::preface::own::OwnPreface;
use crate::raft::preface::shown_seal::ShownSeal;
use crate::raft::protocol::types::{Member, NodeId};
use crate::raft::protocol::wire::peer_client::PeerClient;
use crate::state::ClusterId;
use crate::store::{Owner, View};
use crate::tls::PeerTls;

/// The node closes the connection to a peer that does not answer a ping within the timeout.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Above the size of any message: an append carries at most a few hundred entries.
pub(in crate::raft) const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// A client of another node's peer service.
pub(in crate::raft) type NodeClient = PeerClient<Channel>;

/// What this node knows about itself and its peers, and how it reaches them.
pub(in crate::raft) struct Links {
    /// This node's store.
    pub owner: Owner,
    dialer: Arc<Dialer>,
    /// Addresses from the configuration file, by name. They override the ones in the membership.
    addresses: HashMap<String, String>,
    members: ArcSwap<BTreeMap<NodeId, Member>>,
    contacts: Contacts,
}

impl Links {
    pub(in crate::raft) fn new(
        owner: Owner,
        name: &str,
        tls: Arc<PeerTls>,
        addresses: HashMap<String, String>,
        seal: ShownSeal,
    ) -> Self {
        let own = OwnPreface::new(owner, name, seal);
        let (versions, open) = (PeerVersions::default(), OpenConnections::default());
        let dialer = Arc::new(Dialer { tls, own, versions, open, refusals: Refusals::default() });
        Self { owner, dialer, addresses, members: ArcSwap::default(), contacts: Contacts::default() }
    }

    /// What this node says about itself at the beginning of each connection.
    pub(in crate::raft) fn own_preface(&self) -> &OwnPreface {
        &self.dialer.own
    }

    /// The versions that the other nodes said they run.
    pub(in crate::raft) fn versions(&self) -> &PeerVersions {
        &self.dialer.versions
    }

    /// Takes a connection from another node after the exchange of prefaces. It ends when the other node starts anew.
    /// `listed_address` is the address of that node, if `cluster.peers` lists it.
    ///
    /// # Errors
    /// The other node has started anew meanwhile.
    pub(in crate::raft) fn accepted<S>(
        &self,
        key: Identity,
        listed_address: Option<IpAddr>,
        peer: &ProvenPeer,
        stream: S,
    ) -> io::Result<StartStream<S>> {
        // A sealed node proves only that it holds a member's TLS key, and a false version could raise the level.
        if peer.purpose == Purpose::Member {
            self.note_version(key, &peer.preface);
        }
        match peer.preface.start {
            Some(start) => self.dialer.open.enter(peer.preface.store_id, start, stream),
            None if peer.purpose == Purpose::Sealed => {
                Ok(self.dialer.open.enter_sealed(SealedPlace { key, listed_address }, stream))
            }
            None => Ok(OpenConnections::unending(stream)),
        }
    }

    /// Whether a peer has not started anew since it said this about itself. A call that it sent before may come later.
    pub(in crate::raft) fn is_of_newest_start(&self, peer: &Preface) -> bool {
        peer.start.is_none_or(|start| self.dialer.open.is_newest(peer.store_id, start))
    }

    /// Notes the version of a node that connected, if its key and its store are a member's.
    fn note_version(&self, key: Identity, preface: &Preface) {
        if self.members.load().values().any(|member| member.key == key && member.store_id == preface.store_id) {
            self.versions().note(key, preface);
        }
    }

    /// What this node last heard of each peer.
    pub(in crate::raft) fn contacts(&self) -> &Contacts {
        &self.contacts
    }

    /// Notes whether the log of a peer is in doubt, and logs a change.
    pub(in crate::raft) fn note_doubt(&self, peer: NodeId, is_in_doubt: bool) {
        if !self.contacts.note_doubt(peer, is_in_doubt) {
            return;
        }
        let peer = self.members.load().get(&peer).map_or_else(|| format!("node {peer}"), |member| member.name.clone());
        if is_in_doubt {
            tracing::warn!(peer, "the log of a peer lost entries: the peer does not vote until it has caught up");
        } else {
            tracing::info!(peer, "a peer has caught up, and votes again");
        }
    }

    /// The address at which this node reaches a member.
    pub(in crate::raft) fn address_of<'a>(&'a self, member: &'a Member) -> &'a str {
        self.addresses.get(&member.name).unwrap_or(&member.peer_address)
    }

    /// This node's name (`cluster.name`).
    pub(in crate::raft) fn own_name(&self) -> &str {
        self.own_preface().name()
    }

    /// The key of this node's own certificate.
    pub(in crate::raft) fn own_key(&self) -> Identity {
        self.dialer.tls.identity()
    }

    /// The members that this node knows.
    pub(in crate::raft) fn members(&self) -> Arc<BTreeMap<NodeId, Member>> {
        self.members.load_full()
    }

    /// Whether this TLS key is the key of a member that this node knows.
    pub(in crate::raft) fn is_member(&self, key: Identity) -> bool {
        self.members.load().values().any(|member| member.key == key)
    }

    /// Replaces the known members.
    pub(in crate::raft) fn set_members(&self, members: BTreeMap<NodeId, Member>) {
        self.versions().keep(&members);
        self.dialer.tls.set_members(members.values().map(|member| member.key));
        self.members.store(Arc::new(members));
    }

    /// A client of a member, on a connection of its own. It connects on the first call, and again after a break.
    pub(in crate::raft) fn client(&self, member: &Member) -> io::Result<NodeClient> {
        self.channel(member, Purpose::Member).map(client_on)
    }

    /// A client with which this node, while it is sealed, can fetch wraps from a member.
    pub(in crate::raft) fn wraps_client(&self, member: &Member) -> io::Result<NodeClient> {
        self.channel(member, Purpose::Sealed).map(client_on)
    }

    /// A client of the founder at an address, the TLS key of that node, and what it said about itself.
    pub(in crate::raft) async fn founder_client(&self, address: &str) -> io::Result<(NodeClient, Identity, Preface)> {
        let (stream, key, peer) = self.dialer.connect_to_any(address, Purpose::Founder).await?;
        Ok((client_of_one(address, stream).await?, key, peer.preface))
    }

    /// A channel to a member, for this purpose.
    fn channel(&self, member: &Member, purpose: Purpose) -> io::Result<Channel> {
        let (address, dialer) = (self.address_of(member), Arc::clone(&self.dialer));
        let (target, key, store) = (address.to_owned(), member.key, member.store_id);
        let connector = tower::service_fn(move |_| {
            let (target, dialer) = (target.clone(), Arc::clone(&dialer));
            async move { dialer.connect(&target, purpose, key, store).await.map(TokioIo::new) }
        });
        Ok(endpoint(address)?.connect_with_connector_lazy(connector))
    }

    /// The member at the other end of a connection. The key of its certificate, its id and its store must be those in
    /// the membership. This looks them up for each call, because the membership may change while a connection lasts.
    ///
    /// # Errors
    /// The status to answer with.
    pub(in crate::raft) fn sender(&self, key: Identity, preface: &Preface) -> Result<NodeId, Status> {
        sender_of(&self.members(), self.own_preface().cluster(), key, preface)
    }

    /// From now on this node's preface has the cluster id in this state, once it has one, and this node refuses nodes
    /// and calls of another cluster.
    pub(in crate::raft) fn belongs_to(&self, view: Arc<View>) {
        self.own_preface().belongs_to(view);
    }
}

fn sender_of(
    members: &BTreeMap<NodeId, Member>,
    cluster: Option<ClusterId>,
    key: Identity,
    preface: &Preface,
) -> Result<NodeId, Status> {
    let id = preface.node_id;
    let member = members
        .get(&id)
        .ok_or_else(|| Status::permission_denied(format!("node {id} is not a member of this cluster")))?;
    if member.key != key {
        return Err(Status::permission_denied(format!(
            "the caller's certificate has another key than the membership records for node {id}"
        )));
    }
    if member.store_id != preface.store_id {
        return Err(Status::permission_denied(format!(
            "the caller's data folder (cluster.data) is not the one that the membership records for node {id}"
        )));
    }
    // The exchange of prefaces compares the clusters, too. This node may not have known its own by then. A caller that
    // does not know its cluster yet belongs to this one, as its store shows.
    if let (Some(theirs), Some(ours)) = (preface.cluster, cluster)
        && theirs != ours
    {
        return Err(Status::permission_denied("the caller belongs to another cluster"));
    }
    Ok(id)
}

fn client_on(channel: Channel) -> NodeClient {
    PeerClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES)
}

/// A client on this connection alone, to the node at `address`.
async fn client_of_one(address: &str, stream: DialedStream) -> io::Result<NodeClient> {
    let connection = Arc::new(Mutex::new(Some(stream)));
    let connector = tower::service_fn(move |_| {
        let stream = connection.lock().take().ok_or_else(|| io::Error::other("this client has one connection"));
        async { stream.map(TokioIo::new) }
    });
    let channel = endpoint(address)?.connect_with_connector(connector).await.map_err(io::Error::other)?;
    Ok(client_on(channel))
}

fn endpoint(address: &str) -> io::Result<Endpoint> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("'{address}' is not host:port")))?;
    Ok(endpoint
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .http2_adaptive_window(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::preface::content::{ConnectionSide, NodeVersion};
    use crate::store::StoreId;
    use tonic::Code;

    /// A membership whose one member has this key, and the preface of that member.
    fn member(key: Identity) -> (BTreeMap<NodeId, Member>, Preface) {
        let members = [(7, Member { store_id: StoreId([2; 16]), key, ..Member::default() })].into();
        let preface = Preface {
            side: ConnectionSide::Connector,
            node_id: 7,
            name: "n7".to_owned(),
            store_id: StoreId([2; 16]),
            cluster: Some(ClusterId([1; 16])),
            incarnation: None,
            start: None,
            noted_start: None,
            version: NodeVersion::own(),
            active_level: None,
            admission: None,
        };
        (members, preface)
    }

    #[test]
    fn a_version_counts_only_from_a_node_that_proves_the_cluster_key() {
        let key = Identity::from_bytes([1; Identity::LEN]);
        let (members, preface) = member(key);
        let owner = Owner { store_id: StoreId([1; 16]), node_id: 1 };
        let tls = Arc::new(crate::tls::testing::node_with_own_key());
        let links = Links::new(owner, "a", tls, HashMap::new(), ShownSeal::default());
        links.set_members(members);
        for (purpose, noted) in [(Purpose::Sealed, None), (Purpose::Member, Some(NodeVersion::own()))] {
            links.accepted(key, None, &ProvenPeer { purpose, preface: preface.clone() }, ()).map(drop).unwrap();
            assert_eq!(links.versions().of(key), noted, "{purpose:?}");
        }
    }

    #[test]
    fn only_calls_of_members_of_this_cluster_are_accepted() {
        let [key, other_key] = [1, 9].map(|byte| Identity::from_bytes([byte; Identity::LEN]));
        let [ours, theirs] = [1, 9].map(|byte| ClusterId([byte; 16]));
        let (members, member) = member(key);
        let accepted = |key, preface: &Preface, cluster| {
            sender_of(&members, cluster, key, preface).map_err(|status| status.code())
        };
        let denied = Err(Code::PermissionDenied);
        assert_eq!(accepted(key, &member, Some(ours)), Ok(7));
        assert_eq!(accepted(key, &member, None), Ok(7), "this node does not know its cluster yet");
        assert_eq!(accepted(key, &Preface { cluster: None, ..member.clone() }, Some(ours)), Ok(7));
        assert_eq!(accepted(other_key, &member, Some(ours)), denied);
        assert_eq!(accepted(key, &Preface { node_id: 8, ..member.clone() }, Some(ours)), denied);
        assert_eq!(accepted(key, &Preface { store_id: StoreId([3; 16]), ..member.clone() }, Some(ours)), denied);
        assert_eq!(accepted(key, &member, Some(theirs)), denied);
    }
}
