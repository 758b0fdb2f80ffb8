//! Private Ed25519 keys, as their seeds and as PKCS#8.

use rcgen::{Error, KeyPair, PKCS_ED25519};
use zeroize::Zeroizing;

/// The bytes of a seed, which is the private key.
pub const SEED_LEN: usize = 32;

/// What precedes an Ed25519 seed in PKCS#8 version 1 (RFC 8410, section 7). Every OpenSSL and Go reads version 1. Some
/// do not read version 2, which also holds the public key.
const PKCS8_V1: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Makes a random seed.
pub fn random_seed() -> Result<Zeroizing<[u8; SEED_LEN]>, Error> {
    let pair = KeyPair::generate_for(&PKCS_ED25519)?;
    let pkcs8 = Zeroizing::new(pair.serialize_der());
    // The seed begins at the same place in versions 1 and 2 of PKCS#8.
    let seed = pkcs8.get(PKCS8_V1.len()..).and_then(|rest| rest.first_chunk()).ok_or(Error::CouldNotParseKeyPair)?;
    Ok(Zeroizing::new(*seed))
}

/// Makes the key pair of a seed. It serialises as PKCS#8 version 1.
pub fn key_pair(seed: &[u8; SEED_LEN]) -> Result<KeyPair, Error> {
    let mut pkcs8 = Zeroizing::new([0; PKCS8_V1.len() + SEED_LEN]);
    pkcs8[..PKCS8_V1.len()].copy_from_slice(&PKCS8_V1);
    pkcs8[PKCS8_V1.len()..].copy_from_slice(seed);
    KeyPair::try_from(pkcs8.as_slice())
}
