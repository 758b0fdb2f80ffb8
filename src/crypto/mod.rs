//! Secrets, the AEAD and the ciphertext codec, and sealing keys at rest.
//!
//! A [`RootKey`] unwraps the [`Ring`]. The ring opens the [`KeyMaterial`] in a stored record. The material makes an
//! [`OpenedKey`], which seals and opens for clients. Everything here is pure, except that it draws random bytes.

mod aead;
mod binding;
mod bootstrap;
mod cipher;
mod ciphertext;
mod cluster_key;
mod dek_info;
mod hmac;
mod integrity;
mod key;
mod locked;
mod mask;
mod older;
pub mod random;
mod record;
mod ring;
mod ring_wrap;
mod root;
mod sealed_secret;
mod secret;
mod signing;
#[cfg(test)]
mod vectors;

pub use aead::NotAuthentic;
pub use binding::{Binding, RecordKind};
pub use bootstrap::{BootstrapKey, ProvingSide};
pub use cipher::{Cipher, CipherError};
pub use ciphertext::Ciphertext;
pub use cluster_key::{ClusterKey, ClusterKeys, ClusterPublicKey, SignatureUse};
pub use dek_info::{DekInfo, DekInfoError};
pub use integrity::{ChainKey, DigestKey, FIRST_INTEGRITY_VERSION, IntegrityKeys, SealedIntegrityKey, TagPurpose};
pub use key::{KeyMaterial, OpenedKey};
pub use locked::{LockedSecret, MemoryUnprotected, check_memory_protection};
pub use mask::{FIRST_VERSION, Mask, candidates};
pub use record::RecordOpenError;
pub use ring::{Ring, UnwrapError};
pub use ring_wrap::{RingWrap, SealedRingVersion, is_link};
pub use root::{RootKey, RootKeyError};
pub use sealed_secret::{SealedSecretError, SecretKind, ring_version_of};
pub use secret::Secret;
pub use signing::{SigningKey, VerifyingKey, VerifyingKeyError};
