//! What somebody between two nodes, or with a stolen TLS key, can try: replay, reflection, relay, and changed frames.

use bytes::Bytes;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite, duplex};

use super::super::content::{ConnectionSide, Preface};
use super::super::exchange::{PrefaceError, accept, connect};
use super::super::frame::{self, FrameType};
use super::super::hello::{Hello, Purpose};
use super::super::proof::{SignedPreface, TlsBinding};
use super::super::refusal::RefusalCode;
use super::{Exchanged, NOBODY, TestCluster, TestNode, binding};
use crate::crypto::{BootstrapKey, RootKey};
use crate::policy::Identity;
use crate::raft::protocol::wire;

/// Passes one frame on.
pub(super) async fn relay_frame(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) {
    let (frame_type, content) = frame::read(from).await.unwrap();
    frame::write(to, frame_type, &content).await.unwrap();
}

fn refuses_proof(exchanged: &Exchanged) -> bool {
    matches!(exchanged, Err(PrefaceError::Refused(refusal)) if refusal.is(RefusalCode::NotProven))
}

/// Lets an honest connector talk to an honest acceptor through somebody who passes every frame on, or changes it.
async fn through(
    acceptor: &TestNode,
    connector: &TestNode,
    purpose: Purpose,
    bindings: [&TlsBinding; 2],
    change: impl Fn(FrameType, Bytes) -> Bytes,
) -> (Exchanged, Exchanged) {
    let ((mut near, mut to_near), (mut far, mut to_far)) = (duplex(1 << 16), duplex(1 << 16));
    let between = async {
        // The connector and the acceptor speak in turn: hello, preface, preface, accepted.
        for from_connector in [true, false, true, false] {
            let (from, to) = if from_connector { (&mut to_far, &mut to_near) } else { (&mut to_near, &mut to_far) };
            let Ok((frame_type, content)) = frame::read(from).await else { break };
            let content = change(frame_type, content);
            if frame::write(to, frame_type, &content).await.is_err() {
                break;
            }
        }
        drop((to_near, to_far));
    };
    // Each end closes its connection when it is done, so that the one between them sees that.
    let accepting = async move {
        let accepted = accept(&mut near, bindings[0], &acceptor.own, &connector.as_member()).await;
        drop(near);
        accepted
    };
    let connecting = async move {
        let connected = connect(&mut far, bindings[1], &connector.own, purpose).await;
        drop(far);
        connected
    };
    let (accepted, connected, ()) = tokio::join!(accepting, connecting, between);
    (accepted, connected)
}

/// Two nodes of each purpose that prove something.
fn pairs() -> [(Purpose, TestNode, TestNode); 3] {
    let (cluster, key) = (TestCluster::new(), BootstrapKey::of_root_key(&RootKey::random()));
    [
        (Purpose::Member, cluster.node(1), cluster.node(2)),
        (Purpose::Sealed, cluster.node(1), cluster.sealed(2)),
        (Purpose::Founder, TestNode::founder(1, &key), TestNode::founder(2, &key)),
    ]
}

#[tokio::test]
async fn a_relay_with_stolen_tls_keys_gets_no_proof_accepted() {
    for (purpose, acceptor, connector) in pairs() {
        let direct = binding(&acceptor, &connector);
        let (accepted, connected) =
            through(&acceptor, &connector, purpose, [&direct, &direct], |_, content| content).await;
        assert!(accepted.is_ok() && connected.is_ok(), "without TLS in between, it is the same connection");
        // Somebody with the TLS keys of both nodes ends the connector's TLS, and begins another to the acceptor.
        let other_exporter = TlsBinding { exporter: [8; 32], ..direct.clone() };
        let its_own_key = Identity::from_bytes([9; Identity::LEN]);
        let as_acceptor = TlsBinding { acceptor: its_own_key, ..direct.clone() };
        let as_connector = TlsBinding { connector: its_own_key, ..direct.clone() };
        for seen in [other_exporter, as_acceptor, as_connector] {
            let (accepted, connected) =
                through(&acceptor, &connector, purpose, [&direct, &seen], |_, content| content).await;
            assert!(refuses_proof(&connected) && accepted.is_err(), "{purpose:?}: {connected:?}");
        }
    }
}

/// Changes the bytes of a preface.
fn with_preface(content: &Bytes, change: impl Fn(&mut wire::Preface)) -> Bytes {
    let mut signed = wire::SignedPreface::decode(content.clone()).unwrap();
    let mut preface = wire::Preface::decode(signed.preface).unwrap();
    change(&mut preface);
    signed.preface = preface.encode_to_vec().into();
    signed.encode_to_vec().into()
}

#[tokio::test]
async fn no_field_of_a_preface_can_be_changed_on_the_way() {
    let changes: [fn(&mut wire::Preface); 7] = [
        |preface| preface.node_name.push('x'),
        |preface| preface.version.push('x'),
        |preface| preface.highest_level += 1,
        |preface| preface.active_level = Some(0),
        |preface| {
            preface.noted_start = preface.start.clone().map(|start| wire::NotedStart { start: Some(start), at_s: 1 });
        },
        |preface| preface.start = Some(wire::Start { number: 1 << 40, random: vec![1; 16].into() }),
        |preface| preface.cluster_id.clear(),
    ];
    let cluster = TestCluster::new();
    for (number, change) in changes.into_iter().enumerate() {
        let (acceptor, connector) = (cluster.node(1), cluster.node(2));
        let direct = binding(&acceptor, &connector);
        for of in [ConnectionSide::Acceptor, ConnectionSide::Connector] {
            let (accepted, connected) =
                through(&acceptor, &connector, Purpose::Member, [&direct, &direct], |frame_type, content| {
                    let of_this = frame_type == FrameType::Preface
                        && wire::SignedPreface::decode(content.clone())
                            .is_ok_and(|signed| Preface::decode(&signed.preface, of).is_ok());
                    if of_this { with_preface(&content, change) } else { content }
                })
                .await;
            let checks = if of == ConnectionSide::Acceptor { &connected } else { &accepted };
            assert!(refuses_proof(checks), "change {number} of {of:?}: {checks:?}");
            assert_eq!(
                (acceptor.has_failed(), connector.has_failed()),
                (None, None),
                "an unproven preface ends no node"
            );
        }
    }
}

#[tokio::test]
async fn the_purpose_and_the_ids_of_a_hello_cannot_be_changed_on_the_way() {
    let cluster = TestCluster::new();
    for change in [
        |hello: &mut wire::Hello| hello.node_id = 9,
        |hello: &mut wire::Hello| hello.store_id = vec![9; 16].into(),
        |hello: &mut wire::Hello| hello.purpose = wire::Purpose::Sealed.into(),
        |hello: &mut wire::Hello| hello.purpose = wire::Purpose::Member.into(),
    ] {
        for (purpose, connector) in [(Purpose::Member, cluster.node(2)), (Purpose::Sealed, cluster.sealed(2))] {
            let acceptor = cluster.node(1);
            let direct = binding(&acceptor, &connector);
            let mut changed = false;
            let said = |content: &Bytes| {
                let mut hello = wire::Hello::decode(content.clone()).unwrap();
                change(&mut hello);
                Bytes::from(hello.encode_to_vec())
            };
            let original = Hello::new(purpose, connector.owner).encode();
            changed |= said(&original.clone().into()) != original;
            let (accepted, connected) =
                through(&acceptor, &connector, purpose, [&direct, &direct], |frame_type, content| {
                    if frame_type == FrameType::Hello { said(&content) } else { content }
                })
                .await;
            assert_eq!(refuses_proof(&connected), changed, "{connected:?}");
            assert_eq!(accepted.is_err(), changed);
        }
    }
}

/// Connects to an acceptor, and answers its preface with what `answer` makes of it.
async fn answer(
    acceptor: &TestNode,
    binding: &TlsBinding,
    hello: &Hello,
    answer: impl Fn(Bytes) -> Bytes,
) -> Exchanged {
    let (mut near, mut far) = duplex(1 << 16);
    let (accepted, ()) = tokio::join!(accept(&mut near, binding, &acceptor.own, &NOBODY), async {
        frame::write(&mut far, FrameType::Hello, &hello.encode()).await.unwrap();
        let (_, content) = frame::read(&mut far).await.unwrap();
        frame::write(&mut far, FrameType::Preface, &answer(content)).await.unwrap();
        drop(frame::read(&mut far).await);
    });
    accepted
}

#[tokio::test]
async fn an_acceptors_proof_sent_back_to_it_proves_nothing() {
    for (purpose, acceptor, connector) in pairs().into_iter().filter(|(purpose, ..)| *purpose != Purpose::Sealed) {
        let direct = binding(&acceptor, &connector);
        for hello in [Hello::new(purpose, acceptor.owner), Hello::new(purpose, connector.owner)] {
            let accepted = answer(&acceptor, &direct, &hello, |content| content).await;
            assert!(accepted.is_err(), "it comes from the wrong end");
            let accepted = answer(&acceptor, &direct, &hello, |content| {
                with_preface(&content, |preface| {
                    preface.side = wire::ConnectionSide::Connector.into();
                    preface.node_id = hello.node_id;
                    preface.store_id = Bytes::copy_from_slice(&hello.store_id.0);
                })
            })
            .await;
            assert!(refuses_proof(&accepted), "{accepted:?}");
        }
    }
}

#[tokio::test]
async fn a_proof_of_one_connection_is_worth_nothing_on_the_next() {
    for (purpose, acceptor, connector) in pairs().into_iter().filter(|(purpose, ..)| *purpose != Purpose::Sealed) {
        let first = binding(&acceptor, &connector);
        let (sent, mut recorded) = tokio::sync::mpsc::channel(4);
        let (accepted, _) = through(&acceptor, &connector, purpose, [&first, &first], |frame_type, content| {
            drop(sent.try_send((frame_type, content.clone())));
            content
        })
        .await;
        assert!(accepted.is_ok());
        let mut frames = Vec::new();
        while let Ok(frame) = recorded.try_recv() {
            frames.push(frame);
        }
        let [hello, of_acceptor, of_connector] = [0, 1, 2].map(|number: usize| frames[number].1.clone());
        for binding in [TlsBinding { exporter: [9; 32], ..first.clone() }, first.clone()] {
            // Even on a connection that looked the same to TLS, the acceptor's preface or its proof would differ: it names
            // the start that it noted meanwhile. A proof of a founder repeats only where nothing differs at all.
            let same = binding == first && purpose == Purpose::Founder;
            let hello = Hello::decode(&hello).unwrap();
            let accepted = answer(&acceptor, &binding, &hello, |_| of_connector.clone()).await;
            assert_eq!(refuses_proof(&accepted), !same, "{accepted:?}");
        }
        let (mut near, mut far) = duplex(1 << 16);
        let other = TlsBinding { exporter: [9; 32], ..first };
        frame::write(&mut near, FrameType::Preface, &of_acceptor).await.unwrap();
        let connected = connect(&mut far, &other, &connector.own, purpose).await;
        assert!(refuses_proof(&connected), "{connected:?}");
        assert!(SignedPreface::decode(of_acceptor).is_some());
    }
}

#[tokio::test]
async fn a_stolen_tls_key_without_the_ring_proves_nothing() {
    let (cluster, other) = (TestCluster::new(), TestCluster::new());
    let (acceptor, node) = (cluster.node(1), cluster.node(2));
    // The thief also has the folder, and so the admission: it makes a key of its own and shows everything that is true.
    let thief = TestNode::new(2);
    let credential = super::MemberCredential {
        cluster: super::ClusterIdentity { public_key: other.key.public(), ..cluster.known(node.owner, node.tls) },
        ..other.member(&thief)
    };
    thief.own.set_credential(super::Credential::Member(credential));
    let (accepted, connected) = super::exchange(&acceptor, &thief, Purpose::Member).await;
    assert!(accepted.is_err() && connected.is_err());
    // It believes anybody, so only the acceptor's check is left.
    let direct = binding(&acceptor, &thief);
    let accepted = answer(&acceptor, &direct, &Hello::new(Purpose::Member, node.owner), |content| {
        with_preface(&content, |preface| {
            let admission = cluster.known(node.owner, node.tls).admission;
            preface.admission = admission.as_ref().map(super::super::admission::Admission::to_wire);
            preface.side = wire::ConnectionSide::Connector.into();
            (preface.node_id, preface.store_id) = (2, vec![2; 16].into());
        })
    })
    .await;
    assert!(refuses_proof(&accepted), "{accepted:?}");
}

#[tokio::test]
async fn a_member_that_shows_the_admission_of_another_is_refused() {
    let cluster = TestCluster::new();
    for change in [
        |node: &mut TestNode| node.tls = Identity::from_bytes([9; Identity::LEN]),
        |node: &mut TestNode| node.owner.store_id = super::StoreId([9; 16]),
        |node: &mut TestNode| node.owner.node_id = 9,
    ] {
        let (acceptor, mut connector) = (cluster.node(1), cluster.node(2));
        let member = cluster.member(&connector);
        change(&mut connector);
        connector.own = super::OwnPreface::new(connector.owner, "n2", connector.seal.clone());
        connector.own.set_credential(super::Credential::Member(member));
        for accepting in [true, false] {
            let (accepted, connected) = if accepting {
                super::exchange(&acceptor, &connector, Purpose::Member).await
            } else {
                super::exchange(&connector, &acceptor, Purpose::Member).await
            };
            let (by, other) = if accepting { (accepted, connected) } else { (connected, accepted) };
            assert!(super::refused(&by, &other, RefusalCode::NotAdmitted), "{by:?}");
        }
    }
}
