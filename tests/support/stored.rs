//! Changes to what a stopped node has stored, made so that the node itself cannot notice them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use keyraft::state::Digest;

/// The settings with which the folder was made. sled refuses others.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;
/// How often the test tries to open a folder that is still in use, every [`PAUSE`].
const ATTEMPTS: usize = 200;
const PAUSE: Duration = Duration::from_millis(20);
/// The key under which a keystore has its applied position and its digest.
const APPLIED: &[u8] = b"@";

/// Changes a bit of a key's record in a data folder. Count and digest agree with the changed record, as after a fault of
/// memory before they were computed.
pub fn alter_record(data: &Path, name: &str, bit: u8) {
    let keystore = data.join("keystore");
    let folder = keystore.join(fs::read_to_string(keystore.join("CURRENT")).expect("a keystore names its folder"));
    let config = sled::Config::new().path(&folder).segment_size(SEGMENT_BYTES).flush_every_ms(None);
    let db = opened(&config);
    let key = [b"k", name.as_bytes(), &[0, 0, 0, 0, 1]].concat();
    let record = db.get(&key).expect("it can be read").expect("the key is there").to_vec();
    let mut altered = record.clone();
    *altered.last_mut().expect("a record has bytes") ^= bit;
    let applied = db.get(APPLIED).expect("it can be read").expect("it says how far it is");
    db.insert(APPLIED, with_digest_of(&applied, &key, &record, &altered)).expect("it can be written");
    db.insert(key, altered).expect("it can be written");
    db.flush().expect("it can be written");
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

/// The applied position with the digest for the changed record, in its field 3, of 32 bytes.
fn with_digest_of(applied: &[u8], key: &[u8], record: &[u8], altered: &[u8]) -> Vec<u8> {
    const FIELD: [u8; 2] = [3 << 3 | 2, 32];
    let at = applied.windows(2).position(|bytes| bytes == FIELD).expect("the digest is there") + FIELD.len();
    let mut digest = Digest::from_bytes(applied[at..at + 32].try_into().expect("32 bytes"));
    digest.remove(key, record);
    digest.add(key, altered);
    [&applied[..at], &digest.to_bytes(), &applied[at + 32..]].concat()
}
