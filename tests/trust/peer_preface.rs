//! What somebody says to a node at the beginning of a connection, who knows everything about another node but its seal
//! (docs/formats.md, "Between nodes").

use std::path::Path;

use bytes::Bytes;
use keyraft::crypto::{ClusterKey, SignatureUse};
use keyraft::store::ClusterFacts;
use prost::Message;

use super::data_folder;
use super::peer_connection::{Binding, Frame, PeerConnection, PeerKey};
use super::slots::NODE_RECORD;
use super::wire::{peer, store};

const PREFACE: u8 = 1;
const ACCEPTED: u8 = 2;
const REFUSAL: u8 = 3;
const HELLO: u8 = 4;
/// The role of a voter in an admission.
const VOTER: u32 = 1;

/// Everything that a node says about itself, and its TLS key.
pub struct Impostor {
    pub key: PeerKey,
    pub preface: peer::Preface,
}

/// How a node answers a preface.
#[derive(Debug)]
pub enum Answer {
    Accepted,
    /// The code of the refusal, and the reason.
    Refused(u32, String),
    Closed,
}

/// A connection whose acceptor has sent its preface.
pub struct Greeted {
    pub connection: PeerConnection,
    pub hello: Bytes,
    pub theirs: peer::SignedPreface,
}

impl Impostor {
    /// Takes what there is in the data folder of a node of this name.
    pub fn of(data: &Path, name: &str) -> Self {
        let facts = data_folder::facts(data);
        let record: store::TaggedRecord = NODE_RECORD.newest(data);
        let start = record.starts.unwrap_or_default().own.pop().expect("the node has started");
        Self { key: PeerKey::stolen_from(data), preface: preface(&facts, name, start) }
    }

    /// Says hello, and returns the connection once the node has sent its preface.
    ///
    /// # Errors
    /// The node refuses the connection.
    pub async fn greet(&self, address: std::net::SocketAddr, purpose: peer::Purpose) -> Result<Greeted, Answer> {
        let mut connection = PeerConnection::to(address, &self.key).await;
        let hello = self.hello(purpose);
        connection.send(&(HELLO, hello.clone())).await;
        match connection.read().await {
            Some((PREFACE, content)) => {
                let theirs = peer::SignedPreface::decode(content).expect("a node sent it");
                Ok(Greeted { connection, hello, theirs })
            }
            other => Err(answer(other)),
        }
    }

    fn hello(&self, purpose: peer::Purpose) -> Bytes {
        let Self { preface, .. } = self;
        let hello =
            peer::Hello { purpose: purpose.into(), node_id: preface.node_id, store_id: preface.store_id.clone() };
        hello.encode_to_vec().into()
    }
}

impl Greeted {
    /// What the proof of the node that connected covers, if it sends this preface.
    pub fn transcript(&self, preface: &[u8]) -> Vec<u8> {
        let Binding { exporter, acceptor, connector } = &self.connection.binding;
        list(&[exporter, acceptor, connector, &self.hello, &self.theirs.preface, &self.theirs.proof, preface])
    }

    /// The proof that only a node with this cluster key can make.
    pub fn proof(&self, key: &ClusterKey, preface: &peer::Preface) -> Bytes {
        let transcript = self.transcript(&preface.encode_to_vec());
        Bytes::copy_from_slice(&key.sign(SignatureUse::PrefaceOfConnector, &transcript))
    }

    /// Sends this preface with this proof.
    pub async fn show(mut self, preface: &peer::Preface, proof: Bytes) -> (PeerConnection, Answer) {
        let signed = peer::SignedPreface { preface: preface.encode_to_vec().into(), proof };
        self.connection.send(&(PREFACE, signed.encode_to_vec().into())).await;
        let answer = answer(self.connection.read().await);
        (self.connection, answer)
    }
}

impl Answer {
    /// The reason, if it is a refusal with this code.
    pub fn refused_with(self, code: u32) -> String {
        match self {
            Self::Refused(refused, reason) if refused == code => reason,
            other => panic!("not a refusal with code {code}: {other:?}"),
        }
    }
}

/// What a frame after a preface says.
pub fn answer(frame: Option<Frame>) -> Answer {
    match frame {
        Some((ACCEPTED, _)) => Answer::Accepted,
        Some((REFUSAL, content)) => {
            let refusal = peer::PrefaceRefusal::decode(content).expect("a node sent it");
            Answer::Refused(refusal.code, refusal.reason)
        }
        Some((frame_type, _)) => panic!("a frame of type {frame_type}"),
        None => Answer::Closed,
    }
}

fn preface(facts: &ClusterFacts, name: &str, start: store::NodeStart) -> peer::Preface {
    let bytes = |bytes: &[u8; 16]| Bytes::copy_from_slice(bytes);
    let levels = keyraft::state::ReadableLevels::OWN;
    peer::Preface {
        side: peer::ConnectionSide::Connector.into(),
        node_id: facts.owner.node_id,
        node_name: name.to_owned(),
        store_id: bytes(&facts.owner.store_id.0),
        cluster_id: bytes(&facts.cluster.id.0),
        incarnation: bytes(&facts.cluster.incarnation.0),
        start: Some(peer::Start { number: start.number, random: start.random }),
        noted_start: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        lowest_level: levels.lowest,
        highest_level: levels.highest,
        active_level: Some(facts.cluster.level),
        admission: Some(peer::Admission { role: VOTER, signature: facts.admission.clone() }),
    }
}

/// These items, each after its length.
fn list(items: &[&[u8]]) -> Vec<u8> {
    items.iter().flat_map(|item| [&(item.len() as u64).to_be_bytes()[..], *item].concat()).collect()
}
