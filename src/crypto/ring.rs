//! The cluster's key ring: it seals the records of keys, and root keys wrap it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;
use zeroize::Zeroizing;

use super::hmac::Hmac;
use super::mask::FIRST_VERSION;
use super::ring_wrap::RingWrap;
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

    /// Opens a ring. A wrap does not say which root key made it, so this tries each wrap of a version.
    ///
    /// # Errors
    /// The root key opens no wrap of a version.
    pub fn unwrap(wraps: &[RingWrap], active: u32, root: &RootKey, cluster: &[u8; 16]) -> Result<Self, UnwrapError> {
        let versions: BTreeSet<u32> = wraps.iter().map(|wrap| wrap.version).collect();
        if !versions.contains(&active) {
            return Err(UnwrapError::MissingVersion { version: active });
        }
        let of = |version| wraps.iter().filter(move |wrap| wrap.version == version);
        let open = |version: &u32| Some((*version, of(*version).find_map(|wrap| wrap.open(root, cluster))?.into()));
        let keys: BTreeMap<_, _> = versions.iter().filter_map(open).collect();
        match versions.iter().find(|version| !keys.contains_key(version)) {
            None => Ok(Self { active, keys }),
            Some(&version) if keys.is_empty() => Err(UnwrapError::WrongRootKey { version, wraps: of(version).count() }),
            Some(&version) => Err(UnwrapError::MissingWrap { version }),
        }
    }

    /// Wraps every version with the root key of the seal with this id.
    pub fn wrap(&self, root: &RootKey, seal: [u8; 16], cluster: &[u8; 16]) -> Vec<RingWrap> {
        let wrap = |(&version, key): (_, &Arc<_>)| RingWrap::new(version, key, root, seal, cluster, random::bytes());
        self.keys.iter().map(wrap).collect()
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

    #[test]
    fn every_version_round_trips() {
        let (ring, root) = (ring_of_three(), RootKey::random());
        assert_eq!(Ring::unwrap(&ring.wrap(&root, SEAL, &CLUSTER), 2, &root, &CLUSTER), Ok(ring));
    }

    #[test]
    fn each_of_several_seals_opens_it() {
        let (ring, roots) = (ring_of_three(), [RootKey::random(), RootKey::random()]);
        let wraps: Vec<_> = roots.iter().flat_map(|root| ring.wrap(root, random::bytes(), &CLUSTER)).collect();
        for root in &roots {
            assert_eq!(Ring::unwrap(&wraps, 2, root, &CLUSTER).as_ref(), Ok(&ring));
        }
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
        let wraps = ring.wrap(&root, SEAL, &CLUSTER);
        let unwrap = |wraps: &[RingWrap], root: &RootKey, cluster: &[u8; 16]| Ring::unwrap(wraps, 1, root, cluster);
        let wrong = Err(UnwrapError::WrongRootKey { version: 1, wraps: 1 });
        assert_eq!(unwrap(&wraps, &RootKey::random(), &CLUSTER), wrong);
        assert_eq!(unwrap(&wraps, &root, &[9; 16]), wrong);
        assert_eq!(unwrap(&[], &root, &CLUSTER), Err(UnwrapError::MissingVersion { version: 1 }));
        for byte in 0..48 {
            let mut wraps = wraps.clone();
            wraps[0].sealed[byte] ^= 1;
            assert_eq!(unwrap(&wraps, &root, &CLUSTER), wrong);
        }
        let two = [wraps.clone(), wraps].concat();
        let texts = [&two[..1], &two].map(|wraps| unwrap(wraps, &RootKey::random(), &CLUSTER).unwrap_err().to_string());
        assert!(texts[0].contains("it does not open the wrap of version 1 of"), "{texts:?}");
        assert!(texts[1].contains("it does not open any of the 2 wraps of version 1 of"), "{texts:?}");
    }

    #[test]
    fn a_wrap_does_not_open_as_another_version() {
        let (ring, root) = (ring_of_three(), RootKey::random());
        let mut wraps = ring.wrap(&root, SEAL, &CLUSTER);
        wraps[0].version = 4;
        let missing = Err(UnwrapError::MissingWrap { version: 4 });
        assert_eq!(Ring::unwrap(&wraps, 2, &root, &CLUSTER), missing);
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", Ring { active: 1, keys: BTreeMap::from([(1, random_key())]) });
        assert_eq!(shown, "Ring { active: 1, keys: {1: LockedSecret<32>(..)} }");
    }
}
