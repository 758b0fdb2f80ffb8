//! Bytes that are not the next frame: damaged, oversized, random, slow or missing.

use prost::Message;
use tokio::io::{AsyncWriteExt, duplex};

use super::super::content::ConnectionSide;
use super::super::content::tests::preface;
use super::super::exchange::{PrefaceError, accept, connect};
use super::super::frame::{self, FrameType};
use super::super::hello::{Hello, Purpose};
use super::super::proof::SignedPreface;
use super::super::refusal::{PrefaceRefusal, RefusalCode};
use super::{NOBODY, TestCluster, TestNode, binding};
use crate::raft::protocol::wire;

/// Two members that never end in these tests.
fn nodes() -> [TestNode; 2] {
    let cluster = TestCluster::new();
    [cluster.node(1), cluster.node(2)]
}

/// Accepts a connection on which the connector sends these bytes and nothing more.
async fn accept_bytes([acceptor, connector]: &[TestNode; 2], bytes: &[u8]) -> PrefaceError {
    let (mut near, mut far) = duplex(1 << 16);
    far.write_all(bytes).await.unwrap();
    far.shutdown().await.unwrap();
    accept(&mut near, &binding(acceptor, connector), &acceptor.own, &NOBODY).await.unwrap_err()
}

/// Connects to an acceptor that sends these bytes and nothing more.
async fn connect_to_bytes([acceptor, connector]: &[TestNode; 2], bytes: &[u8]) -> PrefaceError {
    let (mut near, mut far) = duplex(1 << 16);
    far.write_all(bytes).await.unwrap();
    far.shutdown().await.unwrap();
    connect(&mut near, &binding(acceptor, connector), &connector.own, Purpose::Member).await.unwrap_err()
}

async fn framed(frame_type: FrameType, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write(&mut bytes, frame_type, content).await.unwrap();
    bytes
}

fn hello() -> Vec<u8> {
    Hello::new(Purpose::Member, TestNode::new(2).owner).encode()
}

fn is_refused_for(error: &PrefaceError, code: RefusalCode) -> bool {
    matches!(error, PrefaceError::Refused(refusal) if refusal.is(code))
}

#[tokio::test]
async fn the_frames_keep_their_bytes_in_every_version() {
    // Nodes exchange these before they know each other's version, so no level can change them. A field may be added.
    let ids = ["2210", &"02".repeat(16), "2a10", &"01".repeat(16)].concat();
    let inner = format!("0802 1007 1a0161 {ids} 4a05312e302e30 5001 5803 6002").replace(' ', "");
    let signed =
        SignedPreface { preface: preface("a", ConnectionSide::Acceptor).encode().into(), proof: vec![9; 2].into() };
    let refusal = PrefaceRefusal { code: 2, reason: "r".to_owned(), by: "a".to_owned() };
    for (frame_type, content, expected) in [
        (FrameType::Hello, hello(), format!("001604 0801 1002 1a10{}", "02".repeat(16))),
        (FrameType::Preface, signed.encode(), format!("003e01 0a38{inner} 12020909")),
        (FrameType::Accepted, wire::PrefaceAccepted {}.encode_to_vec(), "000002".to_owned()),
        (FrameType::Refusal, refusal.encode(), "000803 0802 120172 1a0161".to_owned()),
    ] {
        assert_eq!(hex::encode(framed(frame_type, &content).await), expected.replace(' ', ""));
    }
}

#[tokio::test]
async fn an_acceptor_says_nothing_before_it_has_read_a_hello() {
    let [acceptor, connector] = nodes();
    let (mut near, mut far) = duplex(1 << 16);
    let its_binding = binding(&acceptor, &connector);
    let accepting = tokio::spawn(async move { accept(&mut near, &its_binding, &acceptor.own, &NOBODY).await });
    tokio::task::yield_now().await;
    assert!(futures::FutureExt::now_or_never(frame::read(&mut far)).is_none());
    frame::write(&mut far, FrameType::Hello, &hello()).await.unwrap();
    assert_eq!(frame::read(&mut far).await.unwrap().0, FrameType::Preface);
    drop(far);
    assert!(matches!(accepting.await.unwrap(), Err(PrefaceError::Closed)));
}

#[tokio::test]
async fn bytes_that_are_not_the_next_frame_are_refused_as_malformed() {
    let nodes = nodes();
    let (hello, unknown) = (framed(FrameType::Hello, &hello()).await, [8, 5]);
    let signed = |side| SignedPreface { preface: preface("a", side).encode().into(), proof: vec![].into() }.encode();
    let from_connector = framed(FrameType::Preface, &signed(ConnectionSide::Connector)).await;
    let from_acceptor = framed(FrameType::Preface, &signed(ConnectionSide::Acceptor)).await;
    for bytes in [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        vec![0, 0, 5],
        vec![0x0f, 0xfe, 1],
        framed(FrameType::Hello, b"\xff").await,
        framed(FrameType::Hello, &unknown).await,
        framed(FrameType::Preface, b"\xff").await,
        framed(FrameType::Accepted, b"").await,
        framed(FrameType::Refusal, b"\xff").await,
        [&hello[..], &hello].concat(),
    ] {
        for error in [accept_bytes(&nodes, &bytes).await, connect_to_bytes(&nodes, &bytes).await] {
            assert!(is_refused_for(&error, RefusalCode::Malformed), "{bytes:?}: {error:?}");
        }
    }
    for bytes in [from_connector, [&hello[..], &from_acceptor].concat()] {
        let error = accept_bytes(&nodes, &bytes).await;
        assert!(is_refused_for(&error, RefusalCode::Malformed), "{bytes:?}: {error:?}");
    }
}

#[tokio::test]
async fn any_bytes_end_in_an_error() {
    let (nodes, hello) = (nodes(), framed(FrameType::Hello, &hello()).await);
    for _ in 0..1_000 {
        let mut bytes: Vec<u8> = (0..rand::random_range(0..64)).map(|_| rand::random()).collect();
        if rand::random() {
            // Most random headers name an unknown type. This one is good.
            bytes = framed(FrameType::Preface, &bytes).await;
        }
        let after_hello = [&hello[..], &bytes].concat();
        let errors = [
            accept_bytes(&nodes, &bytes).await,
            accept_bytes(&nodes, &after_hello).await,
            connect_to_bytes(&nodes, &bytes).await,
        ];
        assert!(errors.iter().all(|error| !error.to_string().is_empty()), "{bytes:?}");
    }
}

#[tokio::test]
async fn a_node_that_is_silent_or_sends_a_byte_now_and_then_is_given_up() {
    let [acceptor, connector] = nodes();
    let its_binding = binding(&acceptor, &connector);
    let ((mut near, _far), (mut other, _its), (mut slow, mut sender)) =
        (duplex(1 << 16), duplex(1 << 16), duplex(1 << 16));
    let trickle = tokio::spawn(async move {
        for byte in framed(FrameType::Hello, &hello()).await {
            sender.write_all(&[byte]).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    });
    let (accepted, connected, trickled) = tokio::join!(
        accept(&mut near, &its_binding, &acceptor.own, &NOBODY),
        connect(&mut other, &its_binding, &connector.own, Purpose::Member),
        accept(&mut slow, &its_binding, &acceptor.own, &NOBODY)
    );
    for error in [accepted, connected, trickled] {
        assert!(matches!(error, Err(PrefaceError::Slow)), "{error:?}");
    }
    trickle.abort();
}
