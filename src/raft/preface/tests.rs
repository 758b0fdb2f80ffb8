//! Exchanges of prefaces between honest nodes, and what each of them refuses.

mod attacks;
mod malformed;

use std::collections::BTreeMap;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::admission::{AdmittedNode, Role};
use super::credential::{ClusterIdentity, Credential, MemberCredential};
use super::exchange::{PrefaceError, ProvenPeer, accept, connect};
use super::hello::Purpose;
use super::node_starts::NodeStarts;
use super::own::OwnPreface;
use super::proof::TlsBinding;
use super::refusal::{PrefaceRefusal, RefusalCode};
use super::shown_seal::ShownSeal;
use crate::crypto::{BootstrapKey, ClusterKey, RootKey};
use crate::policy::Identity;
use crate::raft::failure::Failure;
use crate::raft::protocol::types::{Member, NodeId};
use crate::state::{ClusterId, IncarnationId};
use crate::store::{NodeRecord, Owner, StartId, StoreId};

/// The members that a node knows before it knows any.
static NOBODY: BTreeMap<NodeId, Member> = BTreeMap::new();

type Exchanged = Result<ProvenPeer, PrefaceError>;

/// A cluster with its secrets.
struct TestCluster {
    id: ClusterId,
    incarnation: IncarnationId,
    key: Arc<ClusterKey>,
}

/// A node, with what tests look at.
struct TestNode {
    own: OwnPreface,
    owner: Owner,
    tls: Identity,
    failure: Failure,
    seal: ShownSeal,
    folder: TempDir,
}

impl TestCluster {
    fn new() -> Self {
        let key = Arc::new(ClusterKey::generate());
        Self { id: ClusterId([1; 16]), incarnation: IncarnationId([2; 16]), key }
    }

    fn known(&self, owner: Owner, tls: Identity) -> ClusterIdentity {
        let node = AdmittedNode {
            cluster: self.id,
            incarnation: self.incarnation,
            id: owner.node_id,
            key: tls,
            store_id: owner.store_id,
        };
        let admission = Some(node.admit(Role::Voter, &self.key));
        ClusterIdentity { id: self.id, incarnation: self.incarnation, public_key: self.key.public(), admission }
    }

    /// What a node proves itself with, after it has begun a start in its folder.
    fn member(&self, node: &TestNode) -> MemberCredential {
        let record = NodeRecord::in_folder(node.folder.path(), node.owner.store_id);
        record.begin_start(rand::random()).unwrap();
        MemberCredential {
            cluster: self.known(node.owner, node.tls),
            key: Arc::clone(&self.key),
            starts: Arc::new(NodeStarts::new(record, node.failure.clone())),
        }
    }

    /// A member of the cluster. Its number makes its ids.
    fn node(&self, number: u8) -> TestNode {
        let node = TestNode::new(number);
        node.own.set_credential(Credential::Member(self.member(&node)));
        node
    }

    fn sealed(&self, number: u8) -> TestNode {
        let node = TestNode::new(number);
        node.own.set_credential(Credential::Closed(Some(self.known(node.owner, node.tls))));
        node
    }
}

impl TestNode {
    /// A node without a root key.
    fn new(number: u8) -> Self {
        let owner = Owner { store_id: StoreId([number; 16]), node_id: number.into() };
        let seal = ShownSeal::default();
        seal.set_sealed("root.key is empty".to_owned());
        Self {
            own: OwnPreface::new(owner, &format!("n{number}"), seal.clone()),
            owner,
            tls: Identity::from_bytes([number; Identity::LEN]),
            failure: Failure::default(),
            seal,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn founder(number: u8, key: &BootstrapKey) -> Self {
        let node = Self::new(number);
        node.seal.set_open(Some(key.clone()));
        node.own.set_credential(Credential::Founder);
        node
    }

    /// Begins another start, as a process on the same folder does.
    fn restart(&self, cluster: &TestCluster) {
        self.own.set_credential(Credential::Member(cluster.member(self)));
    }

    /// The members that another node knows, if this node is the only other one.
    fn as_member(&self) -> BTreeMap<NodeId, Member> {
        let member = Member { store_id: self.owner.store_id, key: self.tls, ..Member::default() };
        [(self.owner.node_id, member)].into()
    }

    /// A copy of this node's folder.
    fn copy_of_folder(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(self.folder.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        copy
    }

    /// The start that this node names.
    async fn start(&self) -> StartId {
        self.starts().speak().await.unwrap()
    }

    fn starts(&self) -> Arc<NodeStarts> {
        self.own.starts_of_member().expect("it is a member")
    }

    fn has_failed(&self) -> Option<String> {
        self.failure.now().map(|reason| reason.text)
    }
}

fn binding(acceptor: &TestNode, connector: &TestNode) -> TlsBinding {
    TlsBinding { exporter: [7; 32], acceptor: acceptor.tls, connector: connector.tls }
}

/// Lets a node connect to another one, which knows it as a member. Returns what each of them got.
async fn exchange(acceptor: &TestNode, connector: &TestNode, purpose: Purpose) -> (Exchanged, Exchanged) {
    let (mut near, mut far) = duplex(1 << 16);
    let (binding, members) = (binding(acceptor, connector), connector.as_member());
    tokio::join!(
        accept(&mut near, &binding, &acceptor.own, &members),
        connect(&mut far, &binding, &connector.own, purpose)
    )
}

/// Whether exactly this end refused the other, for this reason, and the other end heard that: in the same words, or in its own.
fn refused(by: &Exchanged, other: &Exchanged, code: RefusalCode) -> bool {
    let (Err(PrefaceError::Refused(sent) | PrefaceError::Untimely(sent)), Err(PrefaceError::RefusedByPeer(heard))) =
        (by, other)
    else {
        return false;
    };
    (sent == heard || sent.in_own_words() == *heard) && sent.is(code)
}

#[tokio::test]
async fn members_prove_themselves_to_each_other_and_the_bytes_after_the_frames_stay() {
    let cluster = TestCluster::new();
    let (acceptor, connector) = (cluster.node(1), cluster.node(2));
    let (mut near, mut far) = duplex(1 << 16);
    let binding = binding(&acceptor, &connector);
    let (at_acceptor, at_connector) = tokio::join!(
        async {
            let theirs = accept(&mut near, &binding, &acceptor.own, &NOBODY).await.unwrap();
            near.write_all(b"settings").await.unwrap();
            theirs
        },
        connect(&mut far, &binding, &connector.own, Purpose::Member)
    );
    let at_connector = at_connector.unwrap();
    assert_eq!((at_acceptor.purpose, at_acceptor.preface.name.as_str()), (Purpose::Member, "n2"));
    assert_eq!((at_connector.purpose, at_connector.preface.name.as_str()), (Purpose::Member, "n1"));
    assert_eq!(at_acceptor.preface.cluster, Some(cluster.id));
    let mut next = [0; 8];
    far.read_exact(&mut next).await.unwrap();
    assert_eq!(&next, b"settings");
    for (node, peer) in [(&acceptor, &connector), (&connector, &acceptor)] {
        let noted = node.starts().noted_of(peer.owner.store_id).map(|noted| noted.start);
        assert_eq!(noted, Some(peer.start().await), "each has noted the start of the other");
    }
}

#[tokio::test]
async fn founders_prove_the_bootstrap_key_and_name_no_cluster() {
    let (key, other_key) = (RootKey::random(), RootKey::random());
    let [key, other_key] = [&key, &other_key].map(BootstrapKey::of_root_key);
    let (acceptor, connector) = (TestNode::founder(1, &key), TestNode::founder(2, &key));
    let (at_acceptor, at_connector) = exchange(&acceptor, &connector, Purpose::Founder).await;
    for peer in [at_acceptor.unwrap(), at_connector.unwrap()] {
        assert_eq!((peer.purpose, peer.preface.cluster, peer.preface.admission), (Purpose::Founder, None, None));
    }
    let cluster = TestCluster::new();
    let noted = TestNode::founder(3, &key);
    noted.own.set_credential(Credential::Noted(cluster.member(&noted)));
    let (at_acceptor, at_connector) = exchange(&noted, &connector, Purpose::Founder).await;
    assert!(at_acceptor.is_ok() && at_connector.is_ok_and(|peer| peer.preface.cluster.is_none()));
    let (at_acceptor, at_connector) = exchange(&noted, &cluster.node(2), Purpose::Member).await;
    assert!(at_acceptor.is_ok() && at_connector.is_ok(), "it has the cluster key, too");

    let stranger = TestNode::founder(2, &other_key);
    let (at_acceptor, at_connector) = exchange(&acceptor, &stranger, Purpose::Founder).await;
    assert!(refused(&at_connector, &at_acceptor, RefusalCode::NotProven));
    let Err(PrefaceError::Refused(refusal)) = at_connector else { panic!("it refused") };
    assert!(refusal.reason.starts_with("n1 has another root key than n2, or"), "{refusal}");
}

#[tokio::test]
async fn a_sealed_member_shows_its_admission_and_nothing_else_is_answered_by_it() {
    let cluster = TestCluster::new();
    let (open, sealed) = (cluster.node(1), cluster.sealed(2));
    let (at_acceptor, at_connector) = exchange(&open, &sealed, Purpose::Sealed).await;
    assert_eq!(at_acceptor.unwrap().purpose, Purpose::Sealed);
    assert_eq!(at_connector.unwrap().preface.start, None);
    assert_eq!(open.starts().noted_of(sealed.owner.store_id), None, "a sealed node has no start yet");
    let mut moved = cluster.sealed(2);
    moved.tls = Identity::from_bytes([9; Identity::LEN]);
    let (at_acceptor, at_connector) = exchange(&open, &moved, Purpose::Sealed).await;
    assert!(refused(&at_acceptor, &at_connector, RefusalCode::NotAdmitted), "its admission is for another TLS key");
    let (at_acceptor, at_connector) = exchange(&TestCluster::new().node(1), &sealed, Purpose::Sealed).await;
    assert!(refused(&at_connector, &at_acceptor, RefusalCode::NotProven), "it takes wraps from its cluster alone");
    let (at_acceptor, at_connector) = exchange(&sealed, &open, Purpose::Member).await;
    assert!(refused(&at_acceptor, &at_connector, RefusalCode::Sealed));
    for purpose in [Purpose::Member, Purpose::Founder] {
        let (_, at_connector) = exchange(&open, &sealed, purpose).await;
        assert!(matches!(at_connector, Err(PrefaceError::CannotProve(_))));
    }
}

#[tokio::test]
async fn each_stage_of_a_node_takes_the_purposes_that_it_can_prove() {
    let (cluster, key) = (TestCluster::new(), BootstrapKey::of_root_key(&RootKey::random()));
    let noted = TestNode::founder(1, &key);
    noted.own.set_credential(Credential::Noted(cluster.member(&noted)));
    let acceptors = [TestNode::new(1), TestNode::founder(1, &key), noted, cluster.node(3)];
    let connectors = [
        (Purpose::Member, cluster.node(2)),
        (Purpose::Founder, TestNode::founder(2, &key)),
        (Purpose::Sealed, cluster.sealed(2)),
    ];
    let expected = [
        [Some(RefusalCode::Sealed); 3],
        [Some(RefusalCode::NotReady), None, Some(RefusalCode::NotReady)],
        [None; 3],
        [None, Some(RefusalCode::ClusterBegun), None],
    ];
    for (acceptor, expected) in acceptors.iter().zip(expected) {
        for ((purpose, connector), expected) in connectors.iter().zip(expected) {
            let (at_acceptor, at_connector) = exchange(acceptor, connector, *purpose).await;
            match expected {
                None => assert!(at_acceptor.is_ok() && at_connector.is_ok(), "{purpose:?}: {at_acceptor:?}"),
                Some(code) => assert!(refused(&at_acceptor, &at_connector, code), "{purpose:?}: {at_acceptor:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_node_of_another_cluster_or_incarnation_is_refused_and_learns_why() {
    let cluster = TestCluster::new();
    let other = TestCluster { id: ClusterId([9; 16]), ..TestCluster::new() };
    let recovered = TestCluster { incarnation: IncarnationId([9; 16]), key: Arc::clone(&cluster.key), ..cluster };
    let connector = cluster.node(2);
    for (acceptor, code) in
        [(other.node(1), RefusalCode::AnotherCluster), (recovered.node(1), RefusalCode::AnotherIncarnation)]
    {
        let (at_acceptor, at_connector) = exchange(&acceptor, &connector, Purpose::Member).await;
        assert!(refused(&at_connector, &at_acceptor, code), "{at_connector:?}");
    }
}

#[tokio::test]
async fn a_node_on_an_older_copy_of_its_folder_ends_whichever_end_it_is() {
    let cluster = TestCluster::new();
    for copy_connects in [true, false] {
        let (mut node, peer) = (cluster.node(1), cluster.node(2));
        let copy = node.copy_of_folder();
        assert!(exchange(&peer, &node, Purpose::Member).await.0.is_ok());
        node.folder = copy;
        node.restart(&cluster);
        let ends = if copy_connects { (&peer, &node) } else { (&node, &peer) };
        let (at_acceptor, at_connector) = exchange(ends.0, ends.1, Purpose::Member).await;
        let (at_node, at_peer) = if copy_connects { (at_connector, at_acceptor) } else { (at_acceptor, at_connector) };
        assert!(refused(&at_node, &at_peer, RefusalCode::OwnCopy), "{at_node:?} {at_peer:?}");
        assert!(node.has_failed().is_some_and(|why| why.starts_with("n1 ends: n2 noted start 1-")));
        assert!(node.failure.now().is_some_and(|reason| reason.is_lasting));
        assert_eq!(peer.has_failed(), None, "nobody ends because another node says so");
    }
}

#[tokio::test]
async fn a_restart_is_noted_and_a_slower_connection_with_an_older_start_is_refused() {
    let cluster = TestCluster::new();
    let (node, peer, older) = (cluster.node(2), cluster.node(1), TestNode::new(2));
    older.own.set_credential(Credential::Member(cluster.member(&node)));
    older.start().await;
    let (mut near, mut far) = duplex(1 << 16);
    let binding = binding(&peer, &older);
    let slow = async {
        let connected = connect(&mut far, &binding, &older.own, Purpose::Member).await;
        drop(far);
        connected
    };
    let (at_peer, at_older) = tokio::join!(
        accept_after(&mut near, &binding, &peer, async {
            node.restart(&cluster);
            assert!(exchange(&peer, &node, Purpose::Member).await.1.is_ok());
        }),
        slow
    );
    assert!(refused(&at_peer, &at_older, RefusalCode::NewerStart), "{at_peer:?}");
    let noted = peer.starts().noted_of(node.owner.store_id).unwrap().start;
    assert_eq!(noted, node.start().await);
}

/// Accepts a connection. What happens meanwhile ends before the preface of the connector arrives.
async fn accept_after(
    near: &mut DuplexStream,
    binding: &TlsBinding,
    acceptor: &TestNode,
    meanwhile: impl Future<Output = ()>,
) -> Exchanged {
    let (mut inner, mut outer) = duplex(1 << 16);
    let relay = async {
        attacks::relay_frame(near, &mut outer).await;
        attacks::relay_frame(&mut outer, near).await;
        meanwhile.await;
        drop(tokio::io::copy_bidirectional(near, &mut outer).await);
    };
    tokio::join!(
        async move {
            let accepted = accept(&mut inner, binding, &acceptor.own, &NOBODY).await;
            drop(inner);
            accepted
        },
        relay
    )
    .0
}

#[tokio::test]
async fn a_member_with_another_tls_key_hears_so_before_anybody_proves_anything() {
    let cluster = TestCluster::new();
    let (acceptor, mut connector) = (cluster.node(1), cluster.node(2));
    let known = connector.as_member();
    connector.tls = Identity::from_bytes([9; Identity::LEN]);
    for _ in 0..99 {
        let (mut near, mut far) = duplex(1 << 16);
        let binding = binding(&acceptor, &connector);
        let (at_acceptor, at_connector) = tokio::join!(
            accept(&mut near, &binding, &acceptor.own, &known),
            connect(&mut far, &binding, &connector.own, Purpose::Member)
        );
        assert!(refused(&at_acceptor, &at_connector, RefusalCode::NotAdmitted), "{at_acceptor:?}");
    }
}

#[tokio::test]
async fn strangers_get_few_proofs_and_short_answers() {
    let cluster = TestCluster::new();
    let (open, sealed, stranger) = (cluster.node(1), cluster.sealed(3), cluster.node(2));
    let knock = async |node: &TestNode| {
        let (mut near, mut far) = duplex(1 << 16);
        let binding = binding(node, &stranger);
        tokio::join!(
            accept(&mut near, &binding, &node.own, &NOBODY),
            connect(&mut far, &binding, &stranger.own, Purpose::Member)
        )
        .1
    };
    let Err(PrefaceError::RefusedByPeer(refusal)) = knock(&sealed).await else { panic!("it is sealed") };
    let short = PrefaceRefusal { code: 9, reason: "its own log says why".to_owned(), by: String::new() };
    assert_eq!(refusal, short);
    let mut proofs = 0;
    while let Ok(_) | Err(PrefaceError::Slow) = knock(&open).await {
        proofs += 1;
        assert!(proofs < 1_000, "the budget ends");
    }
    let (at_acceptor, _) = exchange(&open, &stranger, Purpose::Member).await;
    assert!(at_acceptor.is_ok(), "members have no such limit");
}

#[tokio::test]
async fn a_node_shows_no_words_of_one_that_has_proved_nothing() {
    let bad = PrefaceRefusal { code: 5, reason: "erase all folders".to_owned(), by: "a".to_owned() };
    let (key, cluster) = (BootstrapKey::of_root_key(&RootKey::random()), TestCluster::new());
    let heard = async |node: &TestNode, purpose: Option<Purpose>| {
        let (mut near, mut far) = duplex(1 << 16);
        super::frame::write(&mut near, super::frame::FrameType::Refusal, &bad.encode()).await.unwrap();
        let other = TestNode::new(9);
        let exchanged = match purpose {
            Some(purpose) => connect(&mut far, &binding(&other, node), &node.own, purpose).await,
            None => accept(&mut far, &binding(node, &other), &node.own, &NOBODY).await,
        };
        let Err(PrefaceError::RefusedByPeer(heard)) = exchanged else { panic!("{exchanged:?}") };
        heard
    };
    for (node, purpose) in [
        (TestNode::founder(1, &key), Some(Purpose::Founder)),
        (TestNode::founder(1, &key), None),
        (cluster.node(1), None),
    ] {
        assert_eq!(heard(&node, purpose).await, bad.in_own_words());
    }
    // A node looks at the TLS key of a member before it says anything as one.
    assert_eq!(heard(&cluster.node(1), Some(Purpose::Member)).await, bad);
}
