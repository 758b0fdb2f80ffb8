//! Somebody who can write to the data folder of a node makes itself an admin there, or adds a member, in the keystore or in
//! a snapshot. The node notices it, and makes its keystore again from what is right.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};

use super::data_folder::{Copied, sled_folder, snapshots};
use super::support::api_key::ApiKey;
use super::support::connection::Client;
use super::support::processes::Processes;
use super::support::settings::{OPS, OPS_KEY};
use super::support::status;
use super::wire::{peer, state, store};
use super::{assert_serve, three_nodes};

/// The settings with which a sled folder was made. sled refuses others.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;
const MEMBERSHIP: &[u8] = b"#";
const APPLIED: &[u8] = b"@";

/// The key and the value of the pair that makes [`OPS`] an admin.
fn admin() -> (Vec<u8>, Vec<u8>) {
    let identity = hex::decode(OPS).expect("an identity");
    let key = [b"i", &identity[..]].concat();
    let value = state::Assignment { identity: identity.into(), policy: String::new(), author: None, admin: true };
    (key, value.encode_to_vec())
}

/// Adds a member that has another TLS key and another store.
fn add_member(membership: &[u8]) -> Vec<u8> {
    let mut membership = peer::Membership::decode(membership).expect("a membership");
    let mut member = membership.members[0].clone();
    (member.id, member.name) = (4, "node-4".to_owned());
    (member.store_id, member.key) = (Bytes::from_static(&[7; 16]), Bytes::from_static(&[8; 32]));
    membership.members.push(member);
    membership.configs.iter_mut().for_each(|voters| voters.ids.push(4));
    membership.encode_to_vec()
}

/// Changes the pairs of a keystore.
fn forge_keystore(data: &Path, change: impl FnOnce(&sled::Db)) {
    let folder = sled_folder(data);
    let config = sled::Config::new().path(folder).segment_size(SEGMENT_BYTES).flush_every_ms(None);
    let db = config.open().expect("the node has let go of it");
    change(&db);
    db.flush().expect("it can be written");
}

fn insert_admin(db: &sled::Db) {
    let (key, value) = admin();
    db.insert(key, value).expect("it can be written");
}

/// Adds the pair, and counts it in the position.
fn insert_counted_admin(db: &sled::Db) {
    insert_admin(db);
    let applied = db.get(APPLIED).expect("it can be read").expect("it says how far it is");
    let mut tagged = store::TaggedPosition::decode(&applied[..]).expect("a position");
    let mut position = store::KeystorePosition::decode(tagged.position.clone()).expect("a position");
    position.applied.as_mut().expect("it has applied something").entries += 1;
    tagged.position = position.encode_to_vec().into();
    db.insert(APPLIED, tagged.encode_to_vec()).expect("it can be written");
}

fn insert_member(db: &sled::Db) {
    let membership = db.get(MEMBERSHIP).expect("it can be read").expect("it has a membership");
    db.insert(MEMBERSHIP, add_member(&membership)).expect("it can be written");
}

/// Fails if [`OPS`] may do something on one of these nodes, or if one of them knows a fourth member.
async fn assert_not_forged(processes: &Processes, nodes: &[usize]) {
    let stranger = processes.user(Client::new(Some(ApiKey::parse(OPS_KEY).credential())));
    for &node in nodes {
        let refusal = stranger.create(node, "by-a-stranger").await.expect_err("it is nobody's admin");
        assert_eq!(refusal.status, Some(403), "{refusal:?}");
        let status = status::of(&processes.data(node)).await.expect("it answers");
        assert_eq!(status["members"].as_array().map(Vec::len), Some(3), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_or_a_member_that_was_added_to_the_keystore_is_not_believed() {
    let (mut processes, keys) = three_nodes().await;
    let attempts: [fn(&sled::Db); 3] = [insert_admin, insert_counted_admin, insert_member];
    for (number, change) in attempts.into_iter().enumerate() {
        processes.stop(2).await;
        let before = processes.log(2).len();
        forge_keystore(&processes.data(2), change);
        processes.start_all().await;
        let log = processes.log(2)[before..].to_owned();
        assert!(log.contains("the keystore is damaged; the node rebuilds it"), "attempt {number}:\n{log}");
        assert_not_forged(&processes, &[0, 1, 2]).await;
        assert_serve(&processes, &[0, 1, 2], &keys, &format!("after-{number}")).await;
        status::assert_equal_digests(&processes.data_folders()).await;
    }
}

/// Writes a snapshot file anew with another header and further pairs. Both checksums fit.
fn forge_snapshot(path: &Path, change: impl FnOnce(&mut store::SnapshotHeader), added: Option<(Vec<u8>, Vec<u8>)>) {
    const LENGTH_AT: usize = 28;
    let content = fs::read(path).expect("the file is there");
    let number = |at: usize| u32::from_be_bytes(content[at..at + 4].try_into().expect("four bytes")) as usize;
    let body = LENGTH_AT + 4..LENGTH_AT + 4 + number(LENGTH_AT);
    let mut header = store::SnapshotHeader::decode(&content[body.clone()]).expect("a header");
    change(&mut header);
    let header = header.encode_to_vec();
    let length = u32::try_from(header.len()).expect("a header is small").to_be_bytes();
    let mut forged = [&content[..LENGTH_AT], &length, &header].concat();
    forged.extend(Sha256::digest(&forged));
    let (pairs, tag) = (body.end + 32..content.len() - 8 - 32 - 32, content.len() - 32);
    forged.extend(&content[pairs]);
    if let Some((key, value)) = added {
        for part in [key.len(), value.len()] {
            forged.extend(u32::try_from(part).expect("a pair is small").to_be_bytes());
        }
        forged.extend([key, value].concat());
    }
    forged.extend([0; 8]);
    forged.extend(Sha256::digest(&forged));
    forged.extend(&content[tag..]);
    fs::write(path, forged).expect("the folder is writable");
}

/// Waits until a node has a snapshot and has purged its log, so that it cannot do without the snapshot.
async fn purged(processes: &Processes, number: usize) {
    let (user, data) = (processes.admin(), processes.data(number));
    for round in 0.. {
        if snapshots(&data).len() > 1 || snapshot_index(&data) > 200 {
            return;
        }
        assert!(round < 20, "node {number} builds no snapshots");
        user.create_many(&format!("more-{round}"), 60).await;
    }
}

type Forge = fn(&Path);

fn snapshot_index(data: &Path) -> u64 {
    let names = snapshots(data).into_iter().filter_map(|path| path.file_stem()?.to_str().map(str::to_owned));
    names.filter_map(|name| name.split('-').next()?.parse().ok()).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_snapshot_and_one_of_another_node_are_not_believed() {
    let (mut processes, keys) = three_nodes().await;
    purged(&processes, 2).await;
    let attempts: [(&str, Forge); 4] = [
        ("admin", |path| {
            let count = |header: &mut store::SnapshotHeader| header.applied.as_mut().expect("a position").entries += 1;
            forge_snapshot(path, count, Some(admin()));
        }),
        ("member", |path| {
            forge_snapshot(path, |header| header.membership = add_member(&header.membership).into(), None);
        }),
        ("cluster", |path| {
            forge_snapshot(path, |header| header.cluster_id = Bytes::from_static(&[7; 16]), None);
        }),
        ("another node", |_| {}),
    ];
    for (what, forge) in attempts {
        for number in [1, 2] {
            processes.stop(number).await;
        }
        let (data, before) = (processes.data(2), processes.log(2).len());
        fs::remove_dir_all(data.join("keystore")).expect("the folder is there");
        if what == "another node" {
            Copied::of(&processes.data(1).join("snapshots")).put_back(&data.join("snapshots"));
        }
        snapshots(&data).iter().for_each(|path| forge(path));
        processes.start_all().await;
        let log = processes.log(2)[before..].to_owned();
        assert!(log.contains("the keystore is damaged; the node rebuilds it"), "{what}:\n{log}");
        assert_not_forged(&processes, &[0, 1, 2]).await;
        assert_serve(&processes, &[0, 1, 2], &keys, &format!("after-{}", what.replace(' ', "-"))).await;
        status::assert_equal_digests(&processes.data_folders()).await;
    }
}
