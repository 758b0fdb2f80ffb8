//! The cluster's key ring: it seals the records of keys, and root keys wrap it.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;
use zeroize::Zeroizing;

use super::hmac::Hmac;
use super::mask::FIRST_VERSION;
use super::ring_wrap::{RingWrap, SealedRingVersion, open_link, seal_link};
use super::{LockedSecret, RootKey, Secret, SigningKey, random};

/// The opened ring. Its active version seals new records. Older versions open older records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    /// Always a version of `keys`.
    active: u32,
    /// Clones of a ring share the pages of its keys.
    keys: BTreeMap<u32, Arc<LockedSecret<32>>>,
}

/// Why a ring does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnwrapError {
    /// The root key opens no version of the ring.
    #[error(
        "this is not the root key of the cluster: it does not open {} of version {version} of the cluster's key ring",
        if *wraps == 1 { "the wrap".to_owned() } else { format!("any of the {wraps} wraps") }
    )]
    WrongRootKey {
        /// The oldest version of the ring.
        version: u32,
        /// How many wraps that version has.
        wraps: usize,
    },
    /// The root key opens other versions, but the wrap of this one was changed, is missing, or is for other seals only.
    #[error(
        "the root key opens other versions of the cluster's key ring, but not version {version}: its wrap of that version \
         is missing or damaged"
    )]
    MissingWrap {
        /// The version of the ring.
        version: u32,
    },
    /// The ring does not have the version that should seal new records.
    #[error("the cluster's key ring is damaged: it lacks its active version {version}")]
    MissingVersion {
        /// The version of the ring.
        version: u32,
    },
}

impl Ring {
    /// A new ring, with one version.
    pub fn generate() -> Self {
        Self { active: FIRST_VERSION, keys: BTreeMap::from([(FIRST_VERSION, Arc::new(LockedSecret::random()))]) }
    }

    /// Opens a ring from three sources: the versions that `known` has open, the root key, and versions that are open
    /// already. A wrap does not say which root key made it, so this tries each wrap of a version.
    ///
    /// Above the active version, the ring lacks what does not open. It also lacks a version there whose key differs from
    /// one of these to another: the cluster cannot use it, because the nodes would not agree on the key.
    ///
    /// # Errors
    /// The active version or an older one does not open.
    pub fn open(
        versions: &[SealedRingVersion<'_>],
        active: u32,
        known: Option<&Self>,
        root: Option<&RootKey>,
        cluster: &[u8; 16],
    ) -> Result<Self, UnwrapError> {
        let mut sorted: Vec<_> = versions.iter().collect();
        sorted.sort_by_key(|version| version.version);
        let mut keys = BTreeMap::new();
        // A version is sealed under an older one, which the order has opened before.
        for version in &sorted {
            let mut found = candidates(version, &keys, known, root, cluster);
            let agree = found.windows(2).all(|pair| pair[0] == pair[1]);
            if !found.is_empty() && (agree || version.version <= active) {
                keys.insert(version.version, found.swap_remove(0));
            }
        }
        if let Some(closed) = sorted.iter().find(|v| v.version <= active && !keys.contains_key(&v.version)) {
            let (version, wraps) = (closed.version, closed.wraps.len());
            let wrong = UnwrapError::WrongRootKey { version, wraps };
            return Err(if keys.is_empty() { wrong } else { UnwrapError::MissingWrap { version } });
        }
        keys.contains_key(&active)
            .then_some(Self { active, keys })
            .ok_or(UnwrapError::MissingVersion { version: active })
    }

    /// Wraps a version for the seal with this id, which has this root key. `None` if the ring does not have the version.
    pub fn wrap(&self, version: u32, root: &RootKey, seal: [u8; 16], cluster: &[u8; 16]) -> Option<RingWrap> {
        Some(RingWrap::new(version, self.key(version)?, root, seal, cluster, random::bytes()))
    }

    /// The same ring with one version more, which seals nothing yet.
    pub fn with_new_version(&self, version: u32) -> Self {
        let mut ring = self.clone();
        ring.keys.insert(version, Arc::new(LockedSecret::random()));
        ring
    }

    /// The same ring with this version active. `None` if the ring does not have the version.
    pub fn with_active(&self, version: u32) -> Option<Self> {
        self.keys.contains_key(&version).then(|| Self { active: version, ..self.clone() })
    }

    /// Seals the key of a version under the active version. `None` if the ring does not have the version.
    pub fn link(&self, version: u32, cluster: &[u8; 16]) -> Option<Vec<u8>> {
        let previous = (self.active, self.active_key());
        Some(seal_link(version, self.key(version)?, previous, cluster, random::bytes()))
    }

    /// Whether this is a wrap of a key in this ring, and the root key opens it.
    pub fn is_wrapped_in(&self, wrap: &RingWrap, root: &RootKey, cluster: &[u8; 16]) -> bool {
        wrap.open(root, cluster).is_some_and(|opened| self.key(wrap.version) == Some(&opened))
    }

    /// The versions that are open, in order.
    pub fn versions(&self) -> impl Iterator<Item = u32> {
        self.keys.keys().copied()
    }

    /// The version that seals new records.
    pub fn active(&self) -> u32 {
        self.active
    }

    /// The key that signs the audit trail of the node with this store. It stays the same as long as the ring has its
    /// oldest version, so that one key checks the trail across restarts and rotations.
    pub fn audit_key(&self, store: &[u8; 16]) -> SigningKey {
        const LABEL: &[u8] = b"keyraft audit trail signing key v1";
        let oldest = self.keys.values().next().expect("a ring holds its active version");
        let seed = Hmac::of_locked(oldest).of(&[LABEL, store].concat());
        SigningKey::of_seed(&Secret::from_bytes(&seed))
    }

    /// The key that seals secrets of the cluster under a version.
    pub(super) fn secret_key(&self, version: u32) -> Option<Zeroizing<[u8; 32]>> {
        Some(Hmac::of_locked(self.key(version)?).of(b"keyraft cluster secret 1"))
    }

    /// The ring key of a version.
    pub(super) fn key(&self, version: u32) -> Option<&LockedSecret<32>> {
        self.keys.get(&version).map(|key| &**key)
    }

    /// The ring key of the active version.
    pub(super) fn active_key(&self) -> &LockedSecret<32> {
        self.key(self.active).expect("a ring holds its active version")
    }
}

/// What the vectors in `tests/vectors` need: a ring and wraps without random bytes.
#[cfg(test)]
impl Ring {
    /// A ring with these keys.
    pub(crate) fn of_keys<const N: usize>(active: u32, keys: [(u32, [u8; 32]); N]) -> Self {
        let locked = |(version, key)| (version, Arc::new(LockedSecret::from_bytes(&key)));
        Self { active, keys: keys.into_iter().map(locked).collect() }
    }

    /// Wraps one version with `root`, with this nonce.
    pub(crate) fn wrap_with_nonce(
        &self,
        version: u32,
        root: &RootKey,
        seal: [u8; 16],
        cluster: &[u8; 16],
        nonce: u8,
    ) -> RingWrap {
        let key = self.key(version).expect("the ring has the version");
        RingWrap::new(version, key, root, seal, cluster, [nonce; 12])
    }

    /// Seals one version under another, with this nonce.
    pub(crate) fn link_with_nonce(&self, version: u32, previous: u32, cluster: &[u8; 16], nonce: u8) -> Vec<u8> {
        let key = |version| self.key(version).expect("the ring has the version");
        seal_link(version, key(version), (previous, key(previous)), cluster, [nonce; 12])
    }
}

/// What the sources of a version's key yield.
fn candidates(
    version: &SealedRingVersion<'_>,
    open: &BTreeMap<u32, Arc<LockedSecret<32>>>,
    known: Option<&Ring>,
    root: Option<&RootKey>,
    cluster: &[u8; 16],
) -> Vec<Arc<LockedSecret<32>>> {
    let known = known.and_then(|ring| ring.keys.get(&version.version)).cloned();
    let linked = version.link.and_then(|(previous, link)| {
        open_link(version.version, link, (previous, open.get(&previous)?), cluster).map(Arc::new)
    });
    let wrapped = root.and_then(|root| version.wraps.iter().find_map(|wrap| wrap.open(root, cluster))).map(Arc::new);
    known.into_iter().chain(linked).chain(wrapped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: [u8; 16] = [1; 16];
    const SEAL: [u8; 16] = [2; 16];

    fn ring_of_three() -> Ring {
        Ring { active: 2, keys: (1..=3).map(|version| (version, random_key())).collect() }
    }

    fn random_key() -> Arc<LockedSecret<32>> {
        Arc::new(LockedSecret::random())
    }

    /// The versions of a ring, each with a wrap of this root key.
    fn wrapped(ring: &Ring, root: &RootKey) -> Vec<SealedRingVersion<'static>> {
        let wrap = |version| SealedRingVersion {
            version,
            wraps: ring.wrap(version, root, SEAL, &CLUSTER).into_iter().collect(),
            link: None,
        };
        ring.versions().map(wrap).collect()
    }

    fn open(versions: &[SealedRingVersion<'_>], active: u32, root: &RootKey) -> Result<Ring, UnwrapError> {
        Ring::open(versions, active, None, Some(root), &CLUSTER)
    }

    #[test]
    fn every_version_round_trips() {
        let (ring, root) = (ring_of_three(), RootKey::random());
        assert_eq!(open(&wrapped(&ring, &root), 2, &root), Ok(ring));
    }

    #[test]
    fn each_of_several_seals_opens_it() {
        let (ring, roots) = (ring_of_three(), [RootKey::random(), RootKey::random()]);
        let mut versions = wrapped(&ring, &roots[0]);
        for version in &mut versions {
            version.wraps.extend(ring.wrap(version.version, &roots[1], [3; 16], &CLUSTER));
        }
        for root in &roots {
            assert_eq!(open(&versions, 2, root).as_ref(), Ok(&ring));
            let own = |wrap: &&RingWrap| ring.is_wrapped_in(wrap, root, &CLUSTER);
            assert_eq!(versions[1].wraps.iter().filter(own).count(), 1);
        }
    }

    #[test]
    fn a_version_without_a_wrap_opens_under_the_version_that_was_active_before() {
        let (ring, root) = (Ring::generate(), RootKey::random());
        let mut versions = wrapped(&ring, &root);
        let ring = ring.with_new_version(2);
        let (first, second) = (ring.link(2, &CLUSTER).unwrap(), {
            let active = Ring { active: 2, ..ring.with_new_version(3) };
            (active.link(3, &CLUSTER).unwrap(), active)
        });
        versions.push(SealedRingVersion { version: 2, wraps: Vec::new(), link: Some((1, &first)) });
        versions.push(SealedRingVersion { version: 3, wraps: Vec::new(), link: Some((2, &second.0)) });
        assert_eq!(open(&versions, 2, &root).as_ref(), Ok(&second.1));
        // The node keeps what it has open, so it needs no root key.
        let known = Ring::open(&versions[..1], 1, None, Some(&root), &CLUSTER).unwrap();
        assert_eq!(Ring::open(&versions, 2, Some(&known), None, &CLUSTER).as_ref(), Ok(&second.1));
        // It is bound to both versions and to the cluster.
        for (previous, version, cluster) in [(1, 4, CLUSTER), (2, 2, CLUSTER), (1, 2, [9; 16])] {
            let key = (previous, ring.key(1).unwrap());
            assert!(open_link(version, &first, key, &cluster).is_none());
        }
        for byte in 0..first.len() {
            let mut changed = first.clone();
            changed[byte] ^= 1;
            assert!(open_link(2, &changed, (1, ring.key(1).unwrap()), &CLUSTER).is_none());
        }
    }

    #[test]
    fn a_version_above_the_active_one_need_not_open() {
        let (ring, root) = (ring_of_three(), RootKey::random());
        let mut versions = wrapped(&ring, &root);
        versions[2].wraps.clear();
        assert_eq!(open(&versions, 2, &root).unwrap().versions().collect::<Vec<_>>(), [1, 2]);
        // Its wrap has another key than the node knows: the nodes would not agree.
        let other = Ring { active: 2, keys: BTreeMap::from([(3, random_key())]) };
        versions[2].wraps.extend(other.wrap(3, &root, SEAL, &CLUSTER));
        let opened = Ring::open(&versions, 2, Some(&ring), Some(&root), &CLUSTER).unwrap();
        assert_eq!(opened.versions().collect::<Vec<_>>(), [1, 2]);
        assert!(!ring.is_wrapped_in(&versions[2].wraps[0], &root, &CLUSTER));
        versions[1].wraps.clear();
        assert_eq!(open(&versions, 2, &root), Err(UnwrapError::MissingWrap { version: 2 }));
    }

    #[test]
    fn a_nodes_audit_key_is_its_own_and_stays_over_new_versions() {
        let mut ring = ring_of_three();
        let key = |ring: &Ring, store| ring.audit_key(&[store; 16]).verifying_key();
        let (first, second) = (key(&ring, 1), key(&ring, 2));
        assert_ne!(first, second);
        ring.keys.insert(4, random_key());
        ring.active = 4;
        assert_eq!(key(&ring, 1), first);
        assert_ne!(key(&Ring::generate(), 1), first);
    }

    #[test]
    fn a_root_key_that_opens_nothing_is_the_wrong_one() {
        let (ring, root) = (Ring::generate(), RootKey::random());
        let versions = wrapped(&ring, &root);
        let wrong = Err(UnwrapError::WrongRootKey { version: 1, wraps: 1 });
        assert_eq!(open(&versions, 1, &RootKey::random()), wrong);
        assert_eq!(Ring::open(&versions, 1, None, Some(&root), &[9; 16]), wrong);
        assert_eq!(open(&[], 1, &root), Err(UnwrapError::MissingVersion { version: 1 }));
        for byte in 0..48 {
            let mut versions = versions.clone();
            versions[0].wraps[0].sealed[byte] ^= 1;
            assert_eq!(open(&versions, 1, &root), wrong);
        }
        let text = |versions: &[_]| open(versions, 1, &RootKey::random()).unwrap_err().to_string();
        assert!(text(&versions).contains("it does not open the wrap of version 1 of"), "{}", text(&versions));
        let mut twice = versions.clone();
        twice[0].wraps.extend(versions[0].wraps.clone());
        assert!(text(&twice).contains("it does not open any of the 2 wraps of version 1 of"), "{}", text(&twice));
    }

    #[test]
    fn a_wrap_does_not_open_as_another_version() {
        let (ring, root) = (ring_of_three(), RootKey::random());
        let mut versions = wrapped(&ring, &root);
        versions[0].wraps[0].version = 4;
        assert_eq!(open(&versions, 2, &root), Err(UnwrapError::MissingWrap { version: 1 }));
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", Ring { active: 1, keys: BTreeMap::from([(1, random_key())]) });
        assert_eq!(shown, "Ring { active: 1, keys: {1: LockedSecret<32>(..)} }");
    }
}
