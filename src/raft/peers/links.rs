//! Links to the other nodes: their addresses, channels to them, and the metadata that names the sender of each call.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::contacts::Contacts;
use super::dial::Dialer;
use super::versions::PeerVersions;
use crate::policy::Identity;
use crate::raft::preface::content::Preface;
use crate::raft::preface::own::OwnPreface;
use crate::raft::protocol::types::{Member, NodeId};
use crate::raft::protocol::wire::peer_client::PeerClient;
use crate::store::{Owner, StoreId, View};
use crate::tls::PeerTls;

const FROM: &str = "keyraft-from";
const FROM_STORE: &str = "keyraft-from-store";
const TO_STORE: &str = "keyraft-to-store";
const CLUSTER: &str = "keyraft-cluster";

/// The node closes the connection to a peer that does not answer a ping within the timeout.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Above the size of any message: an append carries at most a few hundred entries.
pub(in crate::raft) const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// A client of another node's peer service.
pub(in crate::raft) type NodeClient = PeerClient<InterceptedService<Channel, Headers>>;

/// What this node knows about itself and its peers, and how it reaches them.
pub(in crate::raft) struct Links {
    /// This node's store.
    pub owner: Owner,
    dialer: Arc<Dialer>,
    /// Addresses from the configuration file, by name. They override the ones in the membership.
    addresses: HashMap<String, String>,
    members: ArcSwap<BTreeMap<NodeId, Member>>,
    cluster: Arc<ClusterIdText>,
    contacts: Contacts,
}

/// The id of this node's cluster, as calls carry it once this node knows it.
struct ClusterIdText {
    own: Arc<OwnPreface>,
    text: OnceLock<MetadataValue<Ascii>>,
}

/// The metadata of a call: which node and store send it, and which store and cluster it is for.
#[derive(Clone)]
pub(in crate::raft) struct Headers {
    from: MetadataValue<Ascii>,
    from_store: MetadataValue<Ascii>,
    to_store: Option<MetadataValue<Ascii>>,
    cluster: Arc<ClusterIdText>,
}

impl Links {
    pub(in crate::raft) fn new(
        owner: Owner,
        name: &str,
        tls: Arc<PeerTls>,
        addresses: HashMap<String, String>,
    ) -> Self {
        let own = Arc::new(OwnPreface::new(owner, name));
        let dialer = Arc::new(Dialer { tls, own: Arc::clone(&own), versions: PeerVersions::default() });
        let cluster = Arc::new(ClusterIdText { own, text: OnceLock::new() });
        Self { owner, dialer, addresses, members: ArcSwap::default(), cluster, contacts: Contacts::default() }
    }

    /// What this node says about itself at the beginning of each connection.
    pub(in crate::raft) fn own_preface(&self) -> &OwnPreface {
        &self.dialer.own
    }

    /// The versions that the other nodes said they run.
    pub(in crate::raft) fn versions(&self) -> &PeerVersions {
        &self.dialer.versions
    }

    /// Notes the preface of a node that connected, if its key is a member's.
    pub(in crate::raft) fn note_accepted(&self, key: Identity, preface: &Preface) {
        if self.members.load().values().any(|member| member.key == key) {
            self.versions().note(key, preface);
        }
    }

    /// What this node last heard of each peer.
    pub(in crate::raft) fn contacts(&self) -> &Contacts {
        &self.contacts
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

    /// Replaces the known members.
    pub(in crate::raft) fn set_members(&self, members: BTreeMap<NodeId, Member>) {
        self.versions().keep(&members);
        self.members.store(Arc::new(members));
    }

    /// A client of a member, on a connection of its own. It connects on the first call, and again after a break.
    pub(in crate::raft) fn client(&self, member: &Member) -> io::Result<NodeClient> {
        self.client_on(channel(self.address_of(member), member.key, Arc::clone(&self.dialer))?, Some(member.store_id))
    }

    /// A client of whichever node listens at an address, and the key of that node. Nodes greet each other with it before
    /// they know the members.
    pub(in crate::raft) async fn greeting_client(&self, address: &str) -> io::Result<(NodeClient, Identity)> {
        let (stream, key) = self.dialer.connect_to_any(address).await?;
        let connection = Arc::new(Mutex::new(Some(stream)));
        let connector = tower::service_fn(move |_| {
            let stream = connection.lock().take().ok_or_else(|| io::Error::other("a greeting has one connection"));
            async { stream.map(TokioIo::new) }
        });
        let channel = endpoint(address)?.connect_with_connector(connector).await.map_err(io::Error::other)?;
        Ok((self.client_on(channel, None)?, key))
    }

    fn client_on(&self, channel: Channel, store: Option<StoreId>) -> io::Result<NodeClient> {
        let headers = Headers {
            from: self.owner.node_id.into(),
            from_store: store_text(self.owner.store_id)?,
            to_store: store.map(store_text).transpose()?,
            cluster: Arc::clone(&self.cluster),
        };
        let client = PeerClient::with_interceptor(channel, headers);
        Ok(client.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES))
    }

    /// The member that sent a request. The key of its connection, its id and its store must be those in the membership,
    /// and the request must be for this store and this cluster.
    ///
    /// # Errors
    /// The status to answer with.
    pub(in crate::raft) fn sender(&self, identity: Identity, metadata: &MetadataMap) -> Result<NodeId, Status> {
        sender_of(&self.members(), self.owner, self.cluster.text(), identity, metadata)
    }

    /// From now on calls carry the cluster id in this state, once it has one, and this node refuses calls with another.
    pub(in crate::raft) fn belongs_to(&self, view: Arc<View>) {
        self.own_preface().belongs_to(view);
    }
}

impl ClusterIdText {
    /// `None` until this node has applied the cluster's first command.
    fn text(&self) -> Option<&MetadataValue<Ascii>> {
        if self.text.get().is_none() {
            let id = self.own.view()?.cluster()?.id;
            drop(self.text.set(id.to_string().parse().ok()?));
        }
        self.text.get()
    }
}

fn sender_of(
    members: &BTreeMap<NodeId, Member>,
    owner: Owner,
    cluster: Option<&MetadataValue<Ascii>>,
    identity: Identity,
    metadata: &MetadataMap,
) -> Result<NodeId, Status> {
    let text = |name| metadata.get(name).and_then(|value| value.to_str().ok());
    let id: NodeId = text(FROM)
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| Status::unauthenticated("the call does not say which node sends it"))?;
    let member = members
        .get(&id)
        .ok_or_else(|| Status::permission_denied(format!("node {id} is not a member of this cluster")))?;
    if member.key != identity {
        return Err(Status::permission_denied(format!(
            "the caller's certificate has another key than the membership records for node {id}"
        )));
    }
    if text(FROM_STORE) != Some(&hex::encode(member.store_id.0)) {
        return Err(Status::permission_denied(format!(
            "the caller's data folder (cluster.data) is not the one that the membership records for node {id}"
        )));
    }
    if text(TO_STORE) != Some(&hex::encode(owner.store_id.0)) {
        return Err(Status::failed_precondition(format!(
            "the called node has another data folder (cluster.data) than the caller's membership records for it: the \
             data folder of node {}",
            owner.node_id
        )));
    }
    // A node that has applied nothing yet does not know its cluster. Its store shows that it belongs there.
    if let (Some(theirs), Some(ours)) = (metadata.get(CLUSTER), cluster)
        && theirs != ours
    {
        return Err(Status::permission_denied("the caller belongs to another cluster"));
    }
    Ok(id)
}

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert(FROM, self.from.clone());
        metadata.insert(FROM_STORE, self.from_store.clone());
        if let Some(to_store) = &self.to_store {
            metadata.insert(TO_STORE, to_store.clone());
        }
        if let Some(cluster) = self.cluster.text() {
            metadata.insert(CLUSTER, cluster.clone());
        }
        Ok(request)
    }
}

fn store_text(id: StoreId) -> io::Result<MetadataValue<Ascii>> {
    hex::encode(id.0).parse().map_err(io::Error::other)
}

/// A channel to the node that has this key, at `address`.
fn channel(address: &str, key: Identity, dialer: Arc<Dialer>) -> io::Result<Channel> {
    let target = address.to_owned();
    let connector = tower::service_fn(move |_| {
        let (target, dialer) = (target.clone(), Arc::clone(&dialer));
        async move { dialer.connect(&target, key).await.map(TokioIo::new) }
    });
    Ok(endpoint(address)?.connect_with_connector_lazy(connector))
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
    use tonic::Code;

    #[test]
    fn only_calls_of_members_for_this_store_and_cluster_are_accepted() {
        let key = Identity::from_bytes([1; Identity::LEN]);
        let members = [(7, Member { store_id: StoreId([2; 16]), key, ..Member::default() })].into();
        let owner = Owner { store_id: StoreId([3; 16]), node_id: 1 };
        let (from, to) = (hex::encode([2; 16]), hex::encode([3; 16]));
        let ours = MetadataValue::from_static("ours");
        let taken = |identity, values: [(&'static str, &str); 4], cluster| {
            let mut metadata = MetadataMap::new();
            for (name, value) in values.into_iter().filter(|(_, value)| !value.is_empty()) {
                metadata.insert(name, value.parse().unwrap());
            }
            sender_of(&members, owner, cluster, identity, &metadata).map_err(|status| status.code())
        };
        let whole = [(FROM, "7"), (FROM_STORE, &from), (TO_STORE, &to), (CLUSTER, "ours")];
        assert_eq!(taken(key, whole, Some(&ours)), Ok(7));
        assert_eq!(taken(key, whole, None), Ok(7), "this node does not know its cluster yet");
        for (at, value, expected) in [
            (0, "", Err(Code::Unauthenticated)),
            (0, "8", Err(Code::PermissionDenied)),
            (1, "", Err(Code::PermissionDenied)),
            (1, &to, Err(Code::PermissionDenied)),
            (2, "", Err(Code::FailedPrecondition)),
            (2, &from, Err(Code::FailedPrecondition)),
            (3, "", Ok(7)), // a member that does not know its cluster yet
            (3, "theirs", Err(Code::PermissionDenied)),
        ] {
            let mut values = whole;
            values[at].1 = value;
            assert_eq!(taken(key, values, Some(&ours)), expected, "{values:?}");
        }
        let other = Identity::from_bytes([9; Identity::LEN]);
        assert_eq!(taken(other, whole, Some(&ours)), Err(Code::PermissionDenied));
    }
}
