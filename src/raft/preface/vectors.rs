//! The vectors of preface frames: reading them, and writing them again.

use serde::{Deserialize, Serialize};

use super::admission::{Admission, Role};
use super::content::{ConnectionSide, NodeVersion, Preface};
use super::frame::{self, FrameType};
use super::hello::{Hello, Purpose};
use super::proof::SignedPreface;
use super::refusal::{PrefaceRefusal, RefusalCode};
use crate::state::{IncarnationId, ReadableLevels};
use crate::store::{NotedStart, Owner, StartId, StoreId};
use crate::test_vectors::{CLUSTER, STORE, compare_json, read_json};

/// A frame in hexadecimal.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FrameVector {
    what: String,
    frame: String,
}

/// What a frame says.
#[derive(Debug, PartialEq, Eq)]
enum Content {
    Hello(Hello),
    Preface(Box<Preface>, Vec<u8>),
    Accepted,
    Refusal(PrefaceRefusal),
}

fn acceptor() -> Preface {
    Preface {
        side: ConnectionSide::Acceptor,
        node_id: 2,
        name: "node-2".to_owned(),
        store_id: StoreId(STORE),
        cluster: Some(CLUSTER),
        incarnation: Some(IncarnationId([0x1c; 16])),
        start: Some(StartId { number: 7, random: [0x57; 16] }),
        noted_start: Some(NotedStart { start: StartId { number: 5, random: [0x58; 16] }, at: 1_800_000_000 }),
        version: NodeVersion { release: "0.1.0".to_owned(), levels: ReadableLevels { lowest: 1, highest: 1 } },
        active_level: Some(1),
        admission: Some(Admission { role: Role::Voter, signature: [0x59; 64] }),
    }
}

fn refusal(code: RefusalCode) -> PrefaceRefusal {
    let reason = match code {
        RefusalCode::Malformed => "node-2 received a preface that cannot be decoded",
        RefusalCode::AnotherCluster => "node-1 belongs to another cluster",
        RefusalCode::LevelNotReadable => "node-1 cannot read level 1",
        RefusalCode::AnotherIncarnation => "node-1 belongs to another incarnation",
        RefusalCode::NotProven => "node-1 did not prove itself",
        RefusalCode::NotAdmitted => "the cluster did not admit node-1",
        RefusalCode::OwnCopy => "node-2 ends, because its data folder is a copy",
        RefusalCode::NewerStart => "node-2 has noted another start of node-1",
        RefusalCode::Sealed => "root.key is empty",
        RefusalCode::NotReady => "it does not belong to a cluster yet",
        RefusalCode::ClusterBegun => "its cluster has begun",
    };
    PrefaceRefusal { code: code as u32, reason: reason.to_owned(), by: "node-2".to_owned() }
}

fn frames() -> Vec<(&'static str, Content)> {
    let founder = Preface {
        side: ConnectionSide::Connector,
        node_id: 1,
        name: "node-1".to_owned(),
        store_id: StoreId([0x52; 16]),
        cluster: None,
        incarnation: None,
        start: None,
        noted_start: None,
        active_level: None,
        admission: None,
        ..acceptor()
    };
    let sealed = Preface {
        cluster: acceptor().cluster,
        incarnation: acceptor().incarnation,
        admission: acceptor().admission,
        ..founder.clone()
    };
    let hello = |purpose| Content::Hello(Hello::new(purpose, Owner { store_id: StoreId([0x52; 16]), node_id: 1 }));
    let refusals = [
        ("the refusal of what is not a preface", RefusalCode::Malformed),
        ("the refusal of a node of another cluster", RefusalCode::AnotherCluster),
        ("the refusal of a node that cannot read the active level", RefusalCode::LevelNotReadable),
        ("the refusal of a node of another incarnation", RefusalCode::AnotherIncarnation),
        ("the refusal of a node that did not prove itself", RefusalCode::NotProven),
        ("the refusal of a node that the cluster did not admit", RefusalCode::NotAdmitted),
        ("the refusal by a node whose data folder is a copy", RefusalCode::OwnCopy),
        ("the refusal of a start that is not the newest", RefusalCode::NewerStart),
        ("the refusal by a sealed node", RefusalCode::Sealed),
        ("the refusal by a node that is not ready", RefusalCode::NotReady),
        ("the refusal of a founder by a node whose cluster has begun", RefusalCode::ClusterBegun),
    ];
    let frames = [
        ("the hello of a member", hello(Purpose::Member)),
        ("the hello of a founder", hello(Purpose::Founder)),
        ("the hello of a sealed node", hello(Purpose::Sealed)),
        ("the preface of a member", Content::Preface(Box::new(acceptor()), vec![0x5a; 64])),
        ("the preface of a founder", Content::Preface(Box::new(founder), vec![0x5b; 32])),
        ("the preface of a sealed node", Content::Preface(Box::new(sealed), Vec::new())),
        ("accepted", Content::Accepted),
    ];
    let refusals = refusals.map(|(what, code)| (what, Content::Refusal(refusal(code))));
    frames.into_iter().chain(refusals).collect()
}

#[tokio::test]
async fn the_vectors_of_prefaces_are_what_this_version_writes() {
    let mut vectors = Vec::new();
    for (what, content) in frames() {
        let (frame_type, content) = match content {
            Content::Hello(hello) => (FrameType::Hello, hello.encode()),
            Content::Preface(preface, proof) => {
                let signed = SignedPreface { preface: preface.encode().into(), proof: proof.into() };
                (FrameType::Preface, signed.encode())
            }
            Content::Accepted => (FrameType::Accepted, Vec::new()),
            Content::Refusal(refusal) => (FrameType::Refusal, refusal.encode()),
        };
        let mut bytes = Vec::new();
        frame::write(&mut bytes, frame_type, &content).await.expect("memory takes it");
        vectors.push(FrameVector { what: what.to_owned(), frame: hex::encode(bytes) });
    }
    compare_json("preface_frames.json", &vectors);
}

#[tokio::test]
async fn the_vectors_of_prefaces_can_be_read() {
    let vectors: Vec<FrameVector> = read_json("preface_frames.json");
    assert_eq!(vectors.len(), frames().len());
    for (vector, (what, expected)) in vectors.iter().zip(frames()) {
        let bytes = hex::decode(&vector.frame).expect("hexadecimal");
        let mut rest = &bytes[..];
        let (frame_type, content) = frame::read(&mut rest).await.expect(what);
        assert!(rest.is_empty());
        let side = if let Content::Preface(preface, _) = &expected { preface.side } else { ConnectionSide::Acceptor };
        let read = match frame_type {
            FrameType::Hello => Content::Hello(Hello::decode(&content).expect(what)),
            FrameType::Preface => {
                let SignedPreface { preface, proof } = SignedPreface::decode(content).expect(what);
                Content::Preface(Box::new(Preface::decode(&preface, side).expect(what)), proof.to_vec())
            }
            FrameType::Accepted => Content::Accepted,
            FrameType::Refusal => Content::Refusal(PrefaceRefusal::decode(&content).expect(what)),
        };
        assert_eq!((&vector.what[..], read), (what, expected));
    }
}
