//! Changes to what a stopped node has stored, made with the keys of its cluster, so that the node itself cannot notice them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use keyraft::crypto::{IntegrityKeys, RootKey, TagPurpose};
use keyraft::kms;
use keyraft::state::Digest;
use keyraft::store::{ClusterFile, StoreId};

/// The settings with which the folder was made. sled refuses others.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;
/// How often the test tries to open a folder that is still in use, every [`PAUSE`].
const ATTEMPTS: usize = 200;
const PAUSE: Duration = Duration::from_millis(20);
/// The key under which a keystore has its applied position and its digest.
const APPLIED: &[u8] = b"@";
/// The tags of bytes in protobuf fields with 32 bytes: field 2, the tag of a position, and field 3, the digest in it.
const TAG: [u8; 2] = [2 << 3 | 2, 32];
const DIGEST: [u8; 2] = [3 << 3 | 2, 32];

/// Changes a bit of a key's record in a data folder. Count, digest and tag agree with the changed record, as after a fault
/// of memory before they were computed.
pub fn alter_record(data: &Path, root_key: &Path, name: &str, bit: u8) {
    let keystore = data.join("keystore");
    let folder = keystore.join(fs::read_to_string(keystore.join("CURRENT")).expect("a keystore names its folder"));
    let config = sled::Config::new().path(&folder).segment_size(SEGMENT_BYTES).flush_every_ms(None);
    let db = opened(&config);
    let key = [b"k", name.as_bytes(), &[0, 0, 0, 0, 1]].concat();
    let record = db.get(&key).expect("it can be read").expect("the key is there").to_vec();
    let mut altered = record.clone();
    *altered.last_mut().expect("a record has bytes") ^= bit;
    let applied = db.get(APPLIED).expect("it can be read").expect("it says how far it is");
    let (store, keys) = keys_of(data, root_key);
    let digest_key = keys.digest(keys.active()).expect("it is there");
    let moved = |digest: &mut Digest| {
        digest.remove(digest_key, &key, &record);
        digest.add(digest_key, &key, &altered);
    };
    db.insert(APPLIED, with_digest(&applied, moved, store, &keys)).expect("it can be written");
    db.insert(key, altered).expect("it can be written");
    db.flush().expect("it can be written");
}

/// The keys of the cluster that a data folder belongs to, as its root key opens them.
fn keys_of(data: &Path, root_key: &Path) -> (StoreId, IntegrityKeys) {
    let root = fs::read_to_string(root_key).expect("the root key is there").trim().parse::<RootKey>();
    let file = ClusterFile::open(data).expect("cluster.id can be read");
    let facts = file.facts().expect("the node knows its cluster");
    let keys = kms::open_cluster(&facts.cluster, &root.expect("a root key")).expect("the root key opens it");
    (facts.owner.store_id, keys.integrity)
}

/// sled closes its folder with its last handle, and a request of this process that ends late may still have one.
fn opened(config: &sled::Config) -> sled::Db {
    for _ in 0..ATTEMPTS {
        if let Ok(db) = config.open() {
            return db;
        }
        std::thread::park_timeout(PAUSE);
    }
    config.open().expect("the node has let go of it")
}

/// A position with another digest, and the tag for that.
fn with_digest(tagged: &[u8], change: impl FnOnce(&mut Digest), store: StoreId, keys: &IntegrityKeys) -> Vec<u8> {
    // Field 1 of the message is the position. The tag is its last 32 bytes.
    let (front, _) = tagged.split_at(tagged.len() - 32);
    let head = front.iter().skip(1).position(|byte| byte & 0x80 == 0).expect("a length") + 2;
    let position = front[head..].strip_suffix(&TAG).expect("the position ends before the tag");
    let at = position.windows(2).position(|bytes| bytes == DIGEST).expect("the digest is there") + DIGEST.len();
    let mut digest = Digest::from_bytes(position[at..at + 32].try_into().expect("32 bytes"));
    change(&mut digest);
    let position = [&position[..at], &digest.to_bytes(), &position[at + 32..]].concat();
    let tag = keys.tag(TagPurpose::Checkpoint, keys.active(), &[&store.0, &position]).expect("the active version");
    [&front[..head], &position, &TAG, &tag].concat()
}
