//! The vectors of ring wraps and key records: reading and opening them, and writing them again.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::*;
use crate::crypto::{Binding, Cipher, KeyMaterial, RecordKind, RecordOpenError, Secret};
use crate::kms::open_cluster;
use crate::policy::Author;
use crate::state::KeyRecord;
use crate::test_vectors::{
    self, ACTIVE_RING, CLUSTER, SEALS, SECRETS, compare_json, material, read_json, root_keys, sealed,
};

/// The fixed inputs of all vectors, in hexadecimal.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct InputsVector {
    cluster_id: String,
    store_id: String,
    /// The root keys of the two seals, in base64.
    root_keys: Vec<String>,
    /// The ids of the seals.
    seal_ids: Vec<String>,
    /// The ring keys of the versions 1 and 2.
    ring_keys: Vec<String>,
    /// The seed of the cluster key.
    cluster_key: String,
    /// The first version of the integrity keys.
    integrity_key: String,
}

/// One wrap of a ring version.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct WrapVector {
    ring_version: u32,
    /// The position of the root key and its seal in the inputs, from 0.
    root_key: usize,
    wrap: String,
}

/// A record of one version of a key, and what is in it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RecordVector {
    what: String,
    name: String,
    creation_id: String,
    version: u32,
    ring_version: u32,
    cipher: String,
    disabled: bool,
    created_at_ns: Option<i64>,
    created_by: Option<String>,
    last_used_minute: Option<u32>,
    delete_at_ns: Option<u64>,
    encryption_key: String,
    hmac_key: Option<String>,
    mask_secret: String,
    record: String,
}

fn inputs() -> InputsVector {
    InputsVector {
        cluster_id: hex::encode(CLUSTER.0),
        store_id: hex::encode(test_vectors::STORE),
        root_keys: root_keys().iter().map(|key| key.to_base64().to_string()).collect(),
        seal_ids: SEALS.map(hex::encode).into(),
        ring_keys: [[0x31; 32], [0x32; 32]].map(hex::encode).into(),
        cluster_key: hex::encode(SECRETS[0]),
        integrity_key: hex::encode(SECRETS[1]),
    }
}

fn wraps() -> Vec<WrapVector> {
    let vector = |wrap: &RingWrap| WrapVector {
        ring_version: wrap.version,
        root_key: SEALS.iter().position(|seal| *seal == wrap.seal).expect("one of the two"),
        wrap: hex::encode(encode(wrap)),
    };
    test_vectors::wraps().iter().map(vector).collect()
}

fn record_vector(what: &str, name: &str, record: &KeyRecord, material: &KeyMaterial) -> RecordVector {
    RecordVector {
        what: what.to_owned(),
        name: name.to_owned(),
        creation_id: hex::encode(record.creation_id.0),
        version: record.version,
        ring_version: record.ring_version,
        cipher: record.cipher.to_string(),
        disabled: record.disabled,
        created_at_ns: record.author.created_at,
        created_by: record.author.created_by.map(|by| by.to_string()),
        last_used_minute: record.last_used,
        delete_at_ns: record.delete_at,
        encryption_key: hex::encode(material.encryption.expose()),
        hmac_key: material.hmac.as_ref().map(|key| hex::encode(key.expose())),
        mask_secret: hex::encode(material.mask.expose()),
        record: hex::encode(record.encode()),
    }
}

/// Records with every flag set and clear, of both ciphers, and without an HMAC key.
fn records() -> Vec<RecordVector> {
    let aes = material(Cipher::Aes256, 1, true);
    let first = sealed("app", 1, 1, &aes, ACTIVE_RING);
    let chacha = material(Cipher::ChaCha20, 2, false);
    let bare = KeyRecord { author: Author::default(), ..sealed("imported", 2, 2, &chacha, 1) };
    let all = KeyRecord { disabled: true, last_used: Some(30_000_000), delete_at: Some(17), ..first.clone() };
    vec![
        record_vector("as a node seals it for a client", "app", &first, &aes),
        record_vector("the smallest record, under an older ring version", "imported", &bare, &chacha),
        record_vector("with every optional field", "app", &all, &aes),
    ]
}

#[test]
fn the_vectors_of_wraps_and_records_are_what_this_version_writes() {
    compare_json("inputs.json", &inputs());
    compare_json("ring_wraps.json", &wraps());
    compare_json("key_records.json", &records());
}

#[test]
fn the_vectors_of_ring_wraps_open() {
    let inputs: InputsVector = read_json("inputs.json");
    let vectors: Vec<WrapVector> = read_json("ring_wraps.json");
    let mut cluster = test_vectors::cluster();
    for (position, root) in inputs.root_keys.iter().enumerate() {
        let root: RootKey = root.parse().expect("a root key");
        for version in &mut cluster.ring {
            let of_root = vectors.iter().filter(|v| v.ring_version == version.version && v.root_key == position);
            version.wraps = of_root.map(|vector| hex::decode(&vector.wrap).expect("hexadecimal").into()).collect();
        }
        assert_eq!(opened(&cluster, &root).expect("the root key opens its wraps"), test_vectors::ring());
    }
    let newer: Bytes = [&[2][..], &[0; 76]].concat().into();
    cluster.ring[0].wraps = vec![newer];
    assert_eq!(opened(&cluster, &root_keys()[0]), Err(SealError::UnknownWrap { version: 1 }));
}

#[test]
fn the_vectors_of_key_records_open() {
    let vectors: Vec<RecordVector> = read_json("key_records.json");
    let bytes = |text: &str| hex::decode(text).expect("hexadecimal");
    let flags: BTreeSet<u8> = vectors.iter().map(|vector| bytes(&vector.record)[1]).collect();
    assert_eq!(flags.iter().fold(0, |all, flags| all | flags), 31, "every flag is set somewhere");
    assert!(flags.contains(&0));
    for vector in vectors {
        let record = KeyRecord::decode(&bytes(&vector.record)).expect("a record");
        let binding = Binding {
            cluster: CLUSTER.0,
            kind: RecordKind::Key,
            name: &vector.name,
            creation_id: bytes(&vector.creation_id).try_into().expect("16 bytes"),
            version: vector.version,
        };
        let open =
            |binding| test_vectors::ring().open_material(record.ring_version, &record.sealed, &binding, record.cipher);
        let material = open(binding).expect("the ring opens it");
        let secret = |text: &str| Secret::from_bytes(&bytes(text).try_into().expect("32 bytes"));
        assert_eq!(material.encryption, secret(&vector.encryption_key));
        assert_eq!(material.hmac, vector.hmac_key.as_deref().map(secret));
        assert_eq!(record_vector(&vector.what, &vector.name, &record, &material), vector);
        assert_eq!(open(Binding { version: vector.version + 1, ..binding }), Err(RecordOpenError::Damaged));
    }
}

#[test]
fn the_vector_of_a_cluster_has_sealed_keys_that_open() {
    for root in root_keys() {
        let keys = open_cluster(&test_vectors::cluster(), &root).expect("each root key opens it");
        assert_eq!(keys.integrity, test_vectors::store_keys(CLUSTER).integrity);
    }
}
