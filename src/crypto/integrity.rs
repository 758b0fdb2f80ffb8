//! The integrity keys of a cluster: they tag what a node stores, so that nobody without the key ring can change it
//! unnoticed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Secret;
use super::hmac::Hmac;
use super::ring::Ring;
use super::sealed_secret::{SealedSecretError, SecretKind, open_secret, seal_secret};

/// The first version of the integrity keys.
pub const FIRST_INTEGRITY_VERSION: u32 = 1;

/// What a tag is for. Each purpose has a key of its own, so that no tag serves two purposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TagPurpose {
    /// How far a keystore on disk goes.
    Checkpoint,
    /// A snapshot file.
    Snapshot,
    /// The file `cluster.id`.
    ClusterFile,
    /// The file `node.record`.
    NodeRecord,
}

/// All versions of the integrity keys, open. The active one makes new tags. Older ones only verify. Clones share the keys.
#[derive(Clone)]
pub struct IntegrityKeys {
    /// Always a version of `versions`.
    active: u32,
    versions: Arc<BTreeMap<u32, IntegrityKey>>,
}

/// One version, with the keys that it yields.
struct IntegrityKey {
    secret: Secret<32>,
    chain: ChainKey,
    digest: DigestKey,
    tags: BTreeMap<TagPurpose, Hmac>,
}

/// The key that chains the entries of a node's log.
#[derive(Clone)]
pub struct ChainKey(Arc<Hmac>);

/// The key of the digest of the replicated state.
#[derive(Clone)]
pub struct DigestKey(Arc<Hmac>);

/// A version of the integrity keys, sealed under the key ring as [`IntegrityKeys::seal`] makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedIntegrityKey {
    /// The version.
    pub version: u32,
    /// The sealed key.
    pub sealed: Vec<u8>,
}

impl IntegrityKeys {
    /// New keys, with one version.
    pub fn generate() -> Self {
        Self::of(FIRST_INTEGRITY_VERSION, [(FIRST_INTEGRITY_VERSION, Secret::random())])
    }

    fn of(active: u32, secrets: impl IntoIterator<Item = (u32, Secret<32>)>) -> Self {
        let versions = secrets.into_iter().map(|(version, secret)| (version, IntegrityKey::new(secret)));
        Self { active, versions: Arc::new(versions.collect()) }
    }

    /// The version that makes new tags.
    pub fn active(&self) -> u32 {
        self.active
    }

    /// Seals every version under the active version of this ring.
    pub fn seal(&self, ring: &Ring, cluster: &[u8; 16]) -> Vec<SealedIntegrityKey> {
        let seal = |(&version, key): (&u32, &IntegrityKey)| {
            let sealed = seal_secret(SecretKind::IntegrityKey, version, &key.secret, ring, cluster);
            SealedIntegrityKey { version, sealed }
        };
        self.versions.iter().map(seal).collect()
    }

    /// Opens sealed versions, of which this one makes new tags.
    ///
    /// # Errors
    /// A version does not open under this ring, or the active one is not among them.
    pub fn open(
        active: u32,
        sealed: &[SealedIntegrityKey],
        ring: &Ring,
        cluster: &[u8; 16],
    ) -> Result<Self, SealedSecretError> {
        let open = |key: &SealedIntegrityKey| {
            let secret = open_secret(SecretKind::IntegrityKey, key.version, &key.sealed, ring, cluster)?;
            Ok((key.version, secret))
        };
        let secrets = sealed.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        if !secrets.iter().any(|(version, _)| *version == active) {
            return Err(SealedSecretError { kind: SecretKind::IntegrityKey, version: active });
        }
        Ok(Self::of(active, secrets))
    }

    /// The key that chains the log at this version.
    pub fn chain(&self, version: u32) -> Option<&ChainKey> {
        self.versions.get(&version).map(|key| &key.chain)
    }

    /// The key of digests at this version.
    pub fn digest(&self, version: u32) -> Option<&DigestKey> {
        self.versions.get(&version).map(|key| &key.digest)
    }

    /// The tag of these parts. Each counts with its length, so that no two lists have the same tag. `None` when there is no
    /// such version.
    pub fn tag(&self, purpose: TagPurpose, version: u32, parts: &[&[u8]]) -> Option<[u8; 32]> {
        Some(*self.versions.get(&version)?.tags.get(&purpose)?.of_list(parts))
    }

    /// Whether this is the tag of these parts, at this version.
    pub fn verifies(&self, purpose: TagPurpose, version: u32, parts: &[&[u8]], tag: &[u8; 32]) -> bool {
        self.versions.get(&version).and_then(|key| key.tags.get(&purpose)).is_some_and(|key| key.verifies(parts, tag))
    }
}

impl IntegrityKey {
    fn new(secret: Secret<32>) -> Self {
        let of = Hmac::new(&secret);
        let derived = |label: &[u8]| Hmac::new(&Secret::from_bytes(&of.of(label)));
        let purposes = [TagPurpose::Checkpoint, TagPurpose::Snapshot, TagPurpose::ClusterFile, TagPurpose::NodeRecord];
        Self {
            chain: ChainKey(Arc::new(derived(b"keyraft log chain 1"))),
            digest: DigestKey(Arc::new(derived(b"keyraft state digest 1"))),
            tags: purposes.map(|purpose| (purpose, derived(purpose.label()))).into(),
            secret,
        }
    }
}

impl TagPurpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Checkpoint => b"keyraft checkpoint tag 1",
            Self::Snapshot => b"keyraft snapshot tag 1",
            Self::ClusterFile => b"keyraft cluster file tag 1",
            Self::NodeRecord => b"keyraft node record tag 1",
        }
    }
}

impl ChainKey {
    /// The tag that follows `previous` for these parts, which must have fixed lengths or end with the only part that has
    /// not.
    pub fn tag(&self, previous: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
        let tag = self.0.of_parts(std::iter::once(&previous[..]).chain(parts.iter().copied()));
        *tag.first_chunk().expect("an HMAC has 32 bytes")
    }
}

impl DigestKey {
    /// The HMAC of these parts, which must be unambiguous when they follow each other.
    pub fn term(&self, parts: &[&[u8]]) -> [u8; 32] {
        *self.0.of_parts(parts.iter().copied())
    }
}

impl PartialEq for IntegrityKeys {
    fn eq(&self, other: &Self) -> bool {
        let secrets = |keys: &Self| keys.versions.iter().map(|(v, key)| (*v, key.secret.clone())).collect::<Vec<_>>();
        self.active == other.active && secrets(self) == secrets(other)
    }
}

impl fmt::Debug for IntegrityKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IntegrityKeys {{ active: {}, versions: {} }}", self.active, self.versions.len())
    }
}

impl fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainKey(..)")
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(..)")
    }
}

/// What tests of the store need: keys without random bytes.
#[cfg(test)]
impl IntegrityKeys {
    /// One version, with this key.
    pub(crate) fn of_bytes(version: u32, key: [u8; 32]) -> Self {
        Self::of_versions(version, &[(version, key)])
    }

    /// Several versions, with these keys.
    pub(crate) fn of_versions(active: u32, keys: &[(u32, [u8; 32])]) -> Self {
        Self::of(active, keys.iter().map(|(version, key)| (*version, Secret::from_bytes(key))))
    }

    /// Seals every version with this nonce.
    pub(crate) fn seal_with_nonce(&self, ring: &Ring, cluster: &[u8; 16], nonce: u8) -> Vec<SealedIntegrityKey> {
        use super::sealed_secret::seal_with;
        let kind = SecretKind::IntegrityKey;
        let seal = |(&version, key): (&u32, &IntegrityKey)| {
            let sealed = seal_with(kind, version, &key.secret, ring, cluster, [nonce; super::aead::NONCE]);
            SealedIntegrityKey { version, sealed }
        };
        self.versions.iter().map(seal).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: [u8; 16] = [1; 16];

    #[test]
    fn sealed_keys_open_under_their_ring_and_cluster_alone() {
        let (keys, ring) = (IntegrityKeys::generate(), Ring::generate());
        let sealed = keys.seal(&ring, &CLUSTER);
        assert_eq!(IntegrityKeys::open(1, &sealed, &ring, &CLUSTER).unwrap(), keys);
        assert!(IntegrityKeys::open(1, &sealed, &Ring::generate(), &CLUSTER).is_err());
        assert!(IntegrityKeys::open(1, &sealed, &ring, &[2; 16]).is_err());
        assert!(IntegrityKeys::open(2, &sealed, &ring, &CLUSTER).is_err(), "the active version must be there");
        let renumbered = [SealedIntegrityKey { version: 2, ..sealed[0].clone() }];
        assert!(IntegrityKeys::open(2, &renumbered, &ring, &CLUSTER).is_err());
    }

    #[test]
    fn a_tag_belongs_to_its_purpose_version_and_parts() {
        let keys = IntegrityKeys::of(1, [(1, Secret::random()), (2, Secret::random())]);
        let parts: &[&[u8]] = &[b"ab", b"c"];
        let tag = keys.tag(TagPurpose::Snapshot, 1, parts).unwrap();
        assert!(keys.verifies(TagPurpose::Snapshot, 1, parts, &tag));
        assert!(!keys.verifies(TagPurpose::Snapshot, 1, &[b"a", b"bc"], &tag));
        assert!(!keys.verifies(TagPurpose::Checkpoint, 1, parts, &tag));
        assert!(!keys.verifies(TagPurpose::Snapshot, 2, parts, &tag));
        assert_eq!(keys.tag(TagPurpose::Snapshot, 3, parts), None);
        assert!(!keys.verifies(TagPurpose::Snapshot, 3, parts, &tag));
    }

    #[test]
    fn a_chain_depends_on_what_came_before() {
        let keys = IntegrityKeys::generate();
        let chain = keys.chain(1).unwrap();
        let first = chain.tag(&[0; 16], &[b"one"]);
        assert_ne!(chain.tag(&first, &[b"two"]), chain.tag(&[0; 16], &[b"two"]));
        assert_ne!(first, IntegrityKeys::generate().chain(1).unwrap().tag(&[0; 16], &[b"one"]));
    }

    #[test]
    fn debug_shows_no_secret() {
        let keys = IntegrityKeys::of_bytes(1, [65; 32]);
        assert_eq!(format!("{keys:?}"), "IntegrityKeys { active: 1, versions: 1 }");
        assert_eq!(format!("{:?} {:?}", keys.chain(1), keys.digest(1)), "Some(ChainKey(..)) Some(DigestKey(..))");
    }
}
