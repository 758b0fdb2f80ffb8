//! The vectors in `tests/vectors/level-1`: their fixed inputs, and comparing them with what this version writes.
//!
//! A test next to each format reads its vectors and checks what they mean. Another one writes them again with
//! [`compare`], which fails if any byte differs.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::crypto::{
    Binding, Cipher, ClusterKey, ClusterPublicKey, IntegrityKeys, KeyMaterial, RecordKind, Ring, RingWrap, RootKey,
    Secret,
};
use crate::policy::{Author, Identity};
use crate::state::{
    ClusterId, ClusterSecrets, ClusterState, CreationId, IncarnationId, KeyRecord, ResealedKeys, RingLink, RingVersion,
    Seal, SealId,
};
use crate::store::StoreKeys;

/// Rewrites the vectors when it is `1`. CONTRIBUTING.md says when that is allowed.
const REWRITE: &str = "KEYRAFT_REWRITE_VECTORS";

/// Bytes in a row of hexadecimal digits.
const ROW: usize = 32;

/// Some Unix time, in nanoseconds.
pub(crate) const TIME_NS: i64 = 1_800_000_000_000_000_000;
pub(crate) const CLUSTER: ClusterId = ClusterId([0xc1; 16]);
pub(crate) const INCARNATION: IncarnationId = IncarnationId([0x1c; 16]);
pub(crate) const STORE: [u8; 16] = [0x51; 16];
/// The ring version that seals new records.
pub(crate) const ACTIVE_RING: u32 = 2;

/// The ids of the two seals.
pub(crate) const SEALS: [[u8; 16]; 2] = [[0x71; 16], [0x72; 16]];

/// The path of a vector.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/level-1").join(name)
}

/// The content of a vector.
pub(crate) fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Reads a vector in JSON.
pub(crate) fn read_json<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Fails if a vector differs from what this version writes. Rewrites it instead if the environment asks for that.
pub(crate) fn compare(name: &str, written: &str) {
    if is_rewriting() {
        fs::create_dir_all(path("")).expect("the folder can be made");
        return fs::write(path(name), written).expect("the vector can be written");
    }
    let stored = read(name);
    if stored == written {
        return;
    }
    let line = stored.lines().zip(written.lines()).take_while(|(stored, written)| stored == written).count();
    panic!(
        "{name} differs from line {} on:\n stored: {:?}\nwritten: {:?}",
        line + 1,
        stored.lines().nth(line),
        written.lines().nth(line)
    );
}

/// The same for a vector in JSON.
pub(crate) fn compare_json(name: &str, written: &impl Serialize) {
    compare(name, &(serde_json::to_string_pretty(written).expect("a vector can be written as JSON") + "\n"));
}

/// The same for bytes, as hexadecimal digits with a comment before each part.
pub(crate) fn compare_parts(name: &str, parts: &[(String, Vec<u8>)]) {
    let mut text = String::new();
    for (what, bytes) in parts {
        text.push_str(&format!("# {what}\n"));
        for row in bytes.chunks(ROW) {
            text.push_str(&(hex::encode(row) + "\n"));
        }
    }
    compare(name, &text);
}

/// The bytes of a vector that [`compare_parts`] wrote.
pub(crate) fn read_parts(name: &str) -> Vec<u8> {
    let text = read(name);
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.flat_map(|row| hex::decode(row).unwrap_or_else(|error| panic!("{name}: {row}: {error}"))).collect()
}

/// The files of a folder as text: for each its path and length, and every row of bytes that are not all zeros.
pub(crate) fn folder_text(root: &Path) -> String {
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
        .iter()
        .map(|file| file_text(file, &file.strip_prefix(root).expect("below it").display().to_string()))
        .collect()
}

/// One file in the same form.
pub(crate) fn file_text(file: &Path, name: &str) -> String {
    let bytes = fs::read(file).expect("the file can be read");
    let mut text = format!("file {name} {}\n", bytes.len());
    for (number, row) in bytes.chunks(ROW).enumerate().filter(|(_, row)| row.iter().any(|byte| *byte != 0)) {
        text.push_str(&format!("{:08x} {}\n", number * ROW, hex::encode(row)));
    }
    text
}

/// Makes the files that [`folder_text`] described in this folder.
pub(crate) fn make_files(text: &str, root: &Path) {
    let mut file = None;
    for line in text.lines() {
        let (first, rest) = line.split_once(' ').expect("two words");
        if first == "file" {
            let (name, length) = rest.rsplit_once(' ').expect("a name and a length");
            let path = root.join(name);
            fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("a folder");
            let made = fs::File::create(path).expect("a file");
            made.set_len(length.parse().expect("a length")).expect("room");
            file = Some(made);
        } else {
            let (offset, row) = (u64::from_str_radix(first, 16).expect("an offset"), hex::decode(rest).expect("a row"));
            file.as_ref().expect("a file comes first").write_all_at(&row, offset).expect("room");
        }
    }
}

/// Whether the vectors are to be rewritten.
pub(crate) fn is_rewriting() -> bool {
    std::env::var(REWRITE).is_ok_and(|value| value == "1")
}

/// The root key of the first seal, and that of a second one.
pub(crate) fn root_keys() -> [RootKey; 2] {
    let key = |byte: u8| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [byte; 32]);
    [0x41, 0x42].map(|byte| key(byte).parse().expect("32 bytes in base64"))
}

/// A ring with two versions.
pub(crate) fn ring() -> Ring {
    Ring::of_keys(ACTIVE_RING, [(1, [0x31; 32]), (2, [0x32; 32])])
}

/// Both versions of the ring, each with a wrap of each root key.
pub(crate) fn wraps() -> Vec<RingWrap> {
    let wrap = |version: u32, seal: u8, root: &RootKey| {
        let nonce = 0x10 * seal + u8::try_from(version).expect("small");
        ring().wrap_with_nonce(version, root, SEALS[usize::from(seal) - 1], &CLUSTER.0, nonce)
    };
    let [one, two] = root_keys();
    vec![wrap(1, 1, &one), wrap(1, 2, &two), wrap(2, 1, &one), wrap(2, 2, &two)]
}

/// A wrap as it is stored.
pub(crate) fn wrap_bytes(wrap: &RingWrap) -> Bytes {
    wrap.encode().into()
}

/// The second version, sealed under the first.
pub(crate) fn link() -> RingLink {
    RingLink { previous: 1, sealed: ring().link_with_nonce(2, 1, &CLUSTER.0, 0x2e).into() }
}

/// The facts about the cluster with which it begins.
pub(crate) fn cluster() -> ClusterState {
    let of = |version| wraps().iter().filter(|wrap| wrap.version == version).map(wrap_bytes).collect();
    let seals =
        [("first", SEALS[0]), ("second", SEALS[1])].map(|(name, id)| Seal { id: SealId(id), name: name.to_owned() });
    ClusterState {
        id: CLUSTER,
        level: 1,
        ring: vec![RingVersion::first(1, of(1)), RingVersion { link: Some(link()), ..RingVersion::first(2, of(2)) }],
        active_ring_version: ACTIVE_RING,
        time_ns: 0,
        created_at: Some(TIME_NS),
        seals: seals.into(),
        last_ring_version: 2,
        ring_notes: Vec::new(),
        incarnation: INCARNATION,
        secrets: secrets(),
    }
}

/// The seed of the cluster key, and the first version of the integrity keys.
pub(crate) const SECRETS: [[u8; 32]; 2] = [[0x19; 32], [0x17; 32]];

fn secrets() -> ClusterSecrets {
    let key = ClusterKey::of_bytes(SECRETS[0]);
    ClusterSecrets {
        public_key: key.public(),
        sealed_key: key.seal_with_nonce(&ring(), &CLUSTER.0, 0x2c).into(),
        active_integrity_key: 1,
        integrity_keys: integrity_keys().seal_with_nonce(&ring(), &CLUSTER.0, 0x2d),
    }
}

/// The same keys, sealed under this ring.
pub(crate) fn resealed(ring: &Ring) -> ResealedKeys {
    ResealedKeys {
        cluster_key: ClusterKey::of_bytes(SECRETS[0]).seal_with_nonce(ring, &CLUSTER.0, 0x3c).into(),
        integrity_keys: integrity_keys().seal_with_nonce(ring, &CLUSTER.0, 0x3d),
    }
}

fn integrity_keys() -> IntegrityKeys {
    IntegrityKeys::of_bytes(1, SECRETS[1])
}

/// What stands for the sealed keys where a test does not open them.
pub(crate) fn no_secrets() -> ClusterSecrets {
    ClusterSecrets {
        public_key: ClusterPublicKey::from_bytes([0; 32]),
        sealed_key: Bytes::new(),
        active_integrity_key: 1,
        integrity_keys: Vec::new(),
    }
}

/// The integrity keys with which tests open a store.
pub(crate) fn store_keys(cluster: ClusterId) -> StoreKeys {
    StoreKeys { cluster, incarnation: INCARNATION, integrity: integrity_keys() }
}

/// The secrets of a version of a key.
pub(crate) fn material(cipher: Cipher, version: u32, has_hmac: bool) -> KeyMaterial {
    let low = version.to_be_bytes()[3];
    KeyMaterial {
        cipher,
        encryption: Secret::from_bytes(&[0xe0 ^ low; 32]),
        hmac: has_hmac.then(|| Secret::from_bytes(&[0x6d; 32])),
        mask: Secret::from_bytes(&[0x9a; 16]),
    }
}

/// A version of a key, sealed under a version of the ring. The nonce has the number of the creation in each byte.
pub(crate) fn sealed(name: &str, creation: u8, version: u32, material: &KeyMaterial, ring_version: u32) -> KeyRecord {
    let creation_id = CreationId([creation; 16]);
    let binding = Binding { cluster: CLUSTER.0, kind: RecordKind::Key, name, creation_id: creation_id.0, version };
    let ring = Ring::of_keys(ring_version, [(ring_version, [0x30 + ring_version.to_be_bytes()[3]; 32])]);
    KeyRecord {
        creation_id,
        version,
        cipher: material.cipher,
        disabled: false,
        ring_version,
        author: Author { created_at: Some(TIME_NS), created_by: Some(Identity::from_bytes([0xa1; 32])) },
        last_used: None,
        delete_at: None,
        sealed: ring.seal_material_with_nonce(creation, material, &binding),
    }
}
