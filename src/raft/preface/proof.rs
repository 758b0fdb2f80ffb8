//! The proof in a preface: over what a node proves itself, and with which key.
//!
//! A proof covers a transcript: everything that both nodes know about their connection by then. So it holds on this
//! connection alone, at this end of it, for this purpose and between these two nodes (design, "Proofs between nodes").

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::admission::list;
use super::content::ConnectionSide;
use crate::crypto::{BootstrapKey, ClusterKey, ClusterPublicKey, ProvingSide, SignatureUse};
use crate::policy::Identity;
use crate::raft::protocol::wire;

/// A connection, as TLS shows it to both of its ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::raft) struct TlsBinding {
    /// The TLS exporter. It differs on every connection.
    pub exporter: [u8; 32],
    /// The TLS key of the node that accepted the connection.
    pub acceptor: Identity,
    /// The TLS key of the node that made it.
    pub connector: Identity,
}

/// The bytes of a preface with their proof, as they are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignedPreface {
    pub preface: Bytes,
    pub proof: Bytes,
}

/// With what a node proves itself on one connection, and what it believes.
#[derive(Debug, Clone)]
pub(super) enum Proving {
    /// Both hold the bootstrap key.
    Bootstrap(BootstrapKey),
    /// Both hold the cluster key.
    Cluster(Arc<ClusterKey>),
    /// The acceptor holds the cluster key, and the connector cannot prove that it does.
    AcceptorAlone(Option<Arc<ClusterKey>>, ClusterPublicKey),
}

impl TlsBinding {
    /// What the acceptor's proof covers.
    pub(super) fn transcript_of_acceptor(&self, hello: &[u8], preface: &[u8]) -> Vec<u8> {
        list(&[&self.exporter, self.acceptor.as_bytes(), self.connector.as_bytes(), hello, preface])
    }

    /// What the connector's proof covers: also what the acceptor sent.
    pub(super) fn transcript_of_connector(&self, hello: &[u8], acceptor: &SignedPreface, preface: &[u8]) -> Vec<u8> {
        let (exporter, keys) = (&self.exporter, [self.acceptor.as_bytes(), self.connector.as_bytes()]);
        list(&[exporter, keys[0], keys[1], hello, &acceptor.preface, &acceptor.proof, preface])
    }
}

impl SignedPreface {
    /// The content of its frame.
    pub(super) fn encode(&self) -> Vec<u8> {
        wire::SignedPreface { preface: self.preface.clone(), proof: self.proof.clone() }.encode_to_vec()
    }

    pub(super) fn decode(content: Bytes) -> Option<Self> {
        let wire::SignedPreface { preface, proof } = wire::SignedPreface::decode(content).ok()?;
        Some(Self { preface, proof })
    }
}

impl Proving {
    /// The proof of a node at this end.
    pub(super) fn prove(&self, side: ConnectionSide, transcript: &[u8]) -> Bytes {
        let signed = |key: &ClusterKey| Bytes::copy_from_slice(&key.sign(signature_use(side), transcript));
        match (self, side) {
            (Self::AcceptorAlone(_, _), ConnectionSide::Connector) => Bytes::new(),
            (Self::Bootstrap(key), _) => Bytes::copy_from_slice(&key.prove(proving_side(side), transcript)),
            (Self::Cluster(key), _) => signed(key),
            (Self::AcceptorAlone(key, _), ConnectionSide::Acceptor) => key.as_deref().map_or_else(Bytes::new, signed),
        }
    }

    /// Whether a node at this end made the proof, and holds the key that this connection is about.
    pub(super) fn proves(&self, side: ConnectionSide, transcript: &[u8], proof: &[u8]) -> bool {
        let signed = |key: ClusterPublicKey| {
            let signature = <&[u8; 64]>::try_from(proof);
            signature.is_ok_and(|signature| key.verifies(signature_use(side), transcript, signature))
        };
        match (self, side) {
            (Self::AcceptorAlone(_, _), ConnectionSide::Connector) => proof.is_empty(),
            (Self::Bootstrap(key), _) => {
                <&[u8; 32]>::try_from(proof).is_ok_and(|proof| key.proves(proving_side(side), transcript, proof))
            }
            (Self::Cluster(key), _) => signed(key.public()),
            (Self::AcceptorAlone(_, key), ConnectionSide::Acceptor) => signed(*key),
        }
    }
}

fn signature_use(side: ConnectionSide) -> SignatureUse {
    match side {
        ConnectionSide::Acceptor => SignatureUse::PrefaceOfAcceptor,
        ConnectionSide::Connector => SignatureUse::PrefaceOfConnector,
    }
}

fn proving_side(side: ConnectionSide) -> ProvingSide {
    match side {
        ConnectionSide::Acceptor => ProvingSide::Acceptor,
        ConnectionSide::Connector => ProvingSide::Connector,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::RootKey;
    use crate::raft::preface::content::ConnectionSide::{Acceptor, Connector};

    /// Everything that a proof of a connector covers.
    #[derive(Clone)]
    struct Items {
        binding: TlsBinding,
        hello: Vec<u8>,
        acceptor: SignedPreface,
        preface: Vec<u8>,
    }

    impl Items {
        fn new() -> Self {
            let [acceptor, connector] = [2, 3].map(|byte| Identity::from_bytes([byte; Identity::LEN]));
            Self {
                binding: TlsBinding { exporter: [1; 32], acceptor, connector },
                hello: vec![4; 20],
                acceptor: SignedPreface { preface: vec![5; 60].into(), proof: vec![6; 64].into() },
                preface: vec![7; 60],
            }
        }

        fn of_connector(&self) -> Vec<u8> {
            self.binding.transcript_of_connector(&self.hello, &self.acceptor, &self.preface)
        }

        fn of_acceptor(&self) -> Vec<u8> {
            self.binding.transcript_of_acceptor(&self.hello, &self.acceptor.preface)
        }

        /// The same, with one item changed at a time.
        fn changed(&self) -> Vec<(&'static str, Self)> {
            let other = Identity::from_bytes([9; Identity::LEN]);
            let change = |what, change: fn(&mut Self, Identity)| {
                let mut changed = self.clone();
                change(&mut changed, other);
                (what, changed)
            };
            vec![
                change("exporter", |items, _| items.binding.exporter[31] ^= 1),
                change("acceptor's TLS key", |items, other| items.binding.acceptor = other),
                change("connector's TLS key", |items, other| items.binding.connector = other),
                change("hello", |items, _| items.hello[0] ^= 1),
                change("acceptor's preface", |items, _| items.acceptor.preface = vec![8; 60].into()),
                change("acceptor's proof", |items, _| items.acceptor.proof = vec![8; 64].into()),
                change("connector's preface", |items, _| items.preface[59] ^= 1),
                change("keys swapped", |items, _| {
                    let TlsBinding { acceptor, connector, .. } = items.binding.clone();
                    (items.binding.acceptor, items.binding.connector) = (connector, acceptor);
                }),
                change("a byte that moved from one item to the next", |items, _| {
                    items.hello.push(5);
                    items.acceptor.preface = vec![5; 59].into();
                }),
            ]
        }
    }

    fn keys() -> [Proving; 2] {
        let bootstrap = BootstrapKey::of_root_key(&RootKey::random());
        [Proving::Cluster(Arc::new(ClusterKey::generate())), Proving::Bootstrap(bootstrap)]
    }

    #[test]
    fn a_proof_holds_only_for_every_item_of_its_transcript() {
        let items = Items::new();
        for key in keys() {
            let of_connector = key.prove(Connector, &items.of_connector());
            let of_acceptor = key.prove(Acceptor, &items.of_acceptor());
            assert!(key.proves(Connector, &items.of_connector(), &of_connector));
            assert!(key.proves(Acceptor, &items.of_acceptor(), &of_acceptor));
            for (what, changed) in items.changed() {
                assert!(!key.proves(Connector, &changed.of_connector(), &of_connector), "{what}");
                let of_connector_alone = ["acceptor's proof", "connector's preface"].contains(&what);
                assert_eq!(key.proves(Acceptor, &changed.of_acceptor(), &of_acceptor), of_connector_alone, "{what}");
            }
        }
    }

    #[test]
    fn a_proof_serves_neither_the_other_end_nor_another_key_nor_another_kind_of_key() {
        let transcript = Items::new().of_acceptor();
        let (keys, others) = (keys(), self::keys());
        for (number, key) in keys.iter().enumerate() {
            for (side, other) in [(Acceptor, Connector), (Connector, Acceptor)] {
                let proof = key.prove(side, &transcript);
                assert!(key.proves(side, &transcript, &proof) && !key.proves(other, &transcript, &proof));
                let unlike = [&keys[1 - number], &others[0], &others[1]];
                assert!(unlike.iter().all(|unlike| !unlike.proves(side, &transcript, &proof)));
                for cut in [&proof[..proof.len() - 1], &[]] {
                    assert!(!key.proves(side, &transcript, cut));
                }
            }
        }
    }

    #[test]
    fn a_sealed_node_checks_the_acceptor_and_proves_nothing() {
        let (key, transcript) = (Arc::new(ClusterKey::generate()), Items::new().of_acceptor());
        let open = Proving::AcceptorAlone(Some(Arc::clone(&key)), key.public());
        let sealed = Proving::AcceptorAlone(None, key.public());
        let proof = open.prove(Acceptor, &transcript);
        assert!(sealed.proves(Acceptor, &transcript, &proof) && !sealed.proves(Acceptor, &transcript, &[]));
        let nothing = sealed.prove(Connector, &transcript);
        assert!(nothing.is_empty() && open.proves(Connector, &transcript, &nothing));
        assert!(!open.proves(Connector, &transcript, &proof));
        assert!(sealed.prove(Acceptor, &transcript).is_empty());
        assert!(!Proving::Cluster(key).proves(Connector, &transcript, &nothing), "a member must prove itself");
    }
}
