//! The vectors of preface frames: reading them, and writing them again.

use serde::{Deserialize, Serialize};

use super::content::{ConnectionSide, NodeVersion, Preface};
use super::frame::{self, FrameType};
use super::refusal::{PrefaceRefusal, RefusalCode};
use crate::state::ReadableLevels;
use crate::store::StoreId;
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
    Preface(Preface),
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
        version: NodeVersion { release: "0.1.0".to_owned(), levels: ReadableLevels { lowest: 1, highest: 1 } },
        active_level: Some(1),
    }
}

fn refusal(code: RefusalCode) -> PrefaceRefusal {
    let reason = match code {
        RefusalCode::Malformed => "node-2 received a preface that cannot be decoded",
        RefusalCode::AnotherCluster => "node-1 belongs to another cluster",
        RefusalCode::LevelNotReadable => "node-1 cannot read level 1",
    };
    PrefaceRefusal { code: code as u32, reason: reason.to_owned(), by: "node-2".to_owned() }
}

fn frames() -> Vec<(&'static str, Content)> {
    let blank = Preface {
        side: ConnectionSide::Connector,
        node_id: 1,
        name: "node-1".to_owned(),
        store_id: StoreId([0x52; 16]),
        cluster: None,
        active_level: None,
        ..acceptor()
    };
    let refusals = [
        ("the refusal of what is not a preface", RefusalCode::Malformed),
        ("the refusal of a node of another cluster", RefusalCode::AnotherCluster),
        ("the refusal of a node that cannot read the active level", RefusalCode::LevelNotReadable),
    ];
    let prefaces = [
        ("the preface of an acceptor", Content::Preface(acceptor())),
        ("the preface of a connector that knows neither its cluster nor a level", Content::Preface(blank)),
        ("accepted", Content::Accepted),
    ];
    let refusals = refusals.map(|(what, code)| (what, Content::Refusal(refusal(code))));
    prefaces.into_iter().chain(refusals).collect()
}

#[tokio::test]
async fn the_vectors_of_prefaces_are_what_this_version_writes() {
    let mut vectors = Vec::new();
    for (what, content) in frames() {
        let (frame_type, content) = match content {
            Content::Preface(preface) => (FrameType::Preface, preface.encode()),
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
        let side = if let Content::Preface(preface) = &expected { preface.side } else { ConnectionSide::Acceptor };
        let read = match frame_type {
            FrameType::Preface => Content::Preface(Preface::decode(&content, side).expect(what)),
            FrameType::Accepted => Content::Accepted,
            FrameType::Refusal => Content::Refusal(PrefaceRefusal::decode(&content).expect(what)),
        };
        assert_eq!((&vector.what[..], read), (what, expected));
    }
}
