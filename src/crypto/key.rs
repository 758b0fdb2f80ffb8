//! A version of a key: its material, which is stored sealed, and the opened key, which seals and opens for clients.

use chacha20::cipher::consts::U10;
use chacha20::hchacha;
use zeroize::Zeroizing;

use super::aead::{self, NONCE};
use super::ciphertext::OVERHEAD;
use super::hmac::Hmac;
use super::mask::{IV, IV_RANDOM};
use super::{Cipher, Ciphertext, Mask, NotAuthentic, Secret, random};

/// The random bytes in a ciphertext: those of the iv, and the nonce.
const DRAWN: usize = IV_RANDOM + NONCE;

/// The secrets of one version of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyMaterial {
    /// The cipher that the key is for.
    pub cipher: Cipher,
    /// The encryption key, which differs from version to version.
    pub encryption: Secret<32>,
    /// The HMAC key, the same in every version of a name. A migrated key may lack one.
    pub hmac: Option<Secret<32>>,
    /// The mask secret, which hides versions in ivs. It is the same in every version of a name.
    pub mask: Secret<16>,
}

/// A version of a key, ready for use. Everything that depends on its secrets alone is computed in advance.
#[derive(Debug)]
pub struct OpenedKey {
    version: u32,
    sub_keys: SubKeys,
    hmac: Option<Hmac>,
    mask: Mask,
}

/// Derives a sub-key for each iv (wire contract, "Ciphertexts").
#[derive(Debug)]
enum SubKeys {
    Aes256(Hmac),
    ChaCha20(Secret<32>),
}

impl KeyMaterial {
    /// New material for a new name.
    pub fn random(cipher: Cipher) -> Self {
        Self::imported(cipher, Secret::random())
    }

    /// Material for a new name with the encryption key `key`.
    pub fn imported(cipher: Cipher, key: Secret<32>) -> Self {
        Self { cipher, encryption: key, hmac: Some(Secret::random()), mask: Secret::random() }
    }
}

impl OpenedKey {
    /// Prepares the material of `version` for use.
    pub fn new(material: &KeyMaterial, version: u32) -> Self {
        let sub_keys = match material.cipher {
            Cipher::Aes256 => SubKeys::Aes256(Hmac::new(&material.encryption)),
            Cipher::ChaCha20 => SubKeys::ChaCha20(material.encryption.clone()),
        };
        Self { version, sub_keys, hmac: material.hmac.as_ref().map(Hmac::new), mask: Mask::new(&material.mask) }
    }

    /// The number of the version, from 1.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Its cipher.
    pub fn cipher(&self) -> Cipher {
        match self.sub_keys {
            SubKeys::Aes256(_) => Cipher::Aes256,
            SubKeys::ChaCha20(_) => Cipher::ChaCha20,
        }
    }

    /// The name's mask, which finds the version of a ciphertext.
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Makes a data key of 32 random bytes, and encrypts it as [`OpenedKey::seal`] does.
    pub fn generate(&self, context: &[u8]) -> (Zeroizing<[u8; 32]>, Vec<u8>) {
        // One draw for all of it, because a draw costs much more than its bytes.
        let mut drawn = Zeroizing::new([0; 32 + DRAWN]);
        random::fill(&mut *drawn);
        let (data_key, rest) = drawn.split_first_chunk().expect("it is longer");
        let ciphertext = self.seal_with(rest.try_into().expect("the rest has this length"), data_key, context);
        (Zeroizing::new(*data_key), ciphertext)
    }

    /// Encrypts `plaintext`, bound to `context`. The ciphertext `sealed ‖ iv ‖ nonce` has 44 bytes more.
    pub fn seal(&self, plaintext: &[u8], context: &[u8]) -> Vec<u8> {
        self.seal_with(&random::bytes(), plaintext, context)
    }

    fn seal_with(&self, drawn: &[u8; DRAWN], plaintext: &[u8], context: &[u8]) -> Vec<u8> {
        let (r, nonce) = drawn.split_first_chunk().expect("it is longer");
        let iv = self.mask.iv(self.version, *r);
        let nonce: &[u8; NONCE] = nonce.try_into().expect("the rest is a nonce");
        let mut ciphertext = Vec::with_capacity(plaintext.len() + OVERHEAD);
        ciphertext.extend_from_slice(plaintext);
        let tag = aead::seal(self.cipher(), &self.sub_keys.of(&iv), nonce, context, &mut ciphertext);
        ciphertext.extend_from_slice(&tag);
        ciphertext.extend_from_slice(&iv);
        ciphertext.extend_from_slice(nonce);
        ciphertext
    }

    /// Decrypts a ciphertext of any form.
    ///
    /// # Errors
    /// Another key or version sealed it, or with another `context`, or somebody changed it, or it names another cipher.
    pub fn open(&self, ciphertext: &Ciphertext<'_>, context: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotAuthentic> {
        if ciphertext.claimed.is_some_and(|claimed| claimed != self.cipher()) {
            return Err(NotAuthentic);
        }
        let (text, tag) = ciphertext.text_and_tag()?;
        let mut text = Zeroizing::new(text.to_vec());
        let sub_key = self.sub_keys.of(&ciphertext.iv);
        aead::open(self.cipher(), &sub_key, &ciphertext.nonce, context, &mut text, tag)?;
        Ok(text)
    }

    /// HMAC-SHA-256 of `message` under the name's HMAC key, if it has one.
    pub fn hmac(&self, message: &[u8]) -> Option<[u8; 32]> {
        self.hmac.as_ref().map(|hmac| *hmac.of(message))
    }
}

impl SubKeys {
    fn of(&self, iv: &[u8; IV]) -> Zeroizing<[u8; 32]> {
        match self {
            Self::Aes256(hmac) => hmac.of(iv),
            Self::ChaCha20(key) => Zeroizing::new(hchacha::<U10>(key.expose().into(), iv.into()).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::candidates;

    const CIPHERS: [Cipher; 2] = [Cipher::Aes256, Cipher::ChaCha20];

    fn key(cipher: Cipher) -> OpenedKey {
        OpenedKey::new(&KeyMaterial::random(cipher), 1)
    }

    #[test]
    fn a_ciphertext_opens_with_its_own_context_only() {
        let large = vec![7; 1_000_000];
        for key in CIPHERS.map(key) {
            for (plaintext, context) in [(&b""[..], &b""[..]), (b"hello", b"bucket/object"), (&large, b"")] {
                let sealed = key.seal(plaintext, context);
                assert_eq!(sealed.len(), plaintext.len() + 44);
                let ciphertext = Ciphertext::parse(&sealed);
                assert_eq!(key.open(&ciphertext, context).unwrap()[..], *plaintext);
                assert_eq!(key.open(&ciphertext, b"another"), Err(NotAuthentic));
            }
        }
    }

    #[test]
    fn a_generated_data_key_opens_and_does_not_repeat() {
        for key in CIPHERS.map(key) {
            let (first, sealed) = key.generate(b"context");
            assert_eq!(sealed.len(), 32 + 44);
            assert_eq!(key.open(&Ciphertext::parse(&sealed), b"context").unwrap()[..], first[..]);
            assert_ne!(first[..], key.generate(b"context").0[..]);
        }
    }

    #[test]
    fn a_ciphertext_with_a_flipped_bit_or_a_missing_byte_does_not_open() {
        for key in CIPHERS.map(key) {
            let mut sealed = key.seal(b"data key", b"context");
            for bit in 0..sealed.len() * 8 {
                sealed[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(key.open(&Ciphertext::parse(&sealed), b"context"), Err(NotAuthentic), "bit {bit}");
                sealed[bit / 8] ^= 1 << (bit % 8);
            }
            for length in 0..sealed.len() {
                assert_eq!(key.open(&Ciphertext::parse(&sealed[..length]), b"context"), Err(NotAuthentic));
            }
        }
    }

    #[test]
    fn another_key_does_not_open_a_ciphertext() {
        for (key, other) in CIPHERS.into_iter().flat_map(|a| CIPHERS.map(|b| (key(a), key(b)))) {
            assert_eq!(other.open(&Ciphertext::parse(&key.seal(b"x", b"")), b""), Err(NotAuthentic));
        }
    }

    #[test]
    fn a_cipher_that_an_older_form_names_must_be_the_keys() {
        for (key, other) in [(CIPHERS[0], CIPHERS[1]), (CIPHERS[1], CIPHERS[0])].map(|(a, b)| (key(a), b)) {
            let sealed = key.seal(b"x", b"");
            let mut ciphertext = Ciphertext::parse(&sealed);
            ciphertext.claimed = Some(key.cipher());
            assert!(key.open(&ciphertext, b"").is_ok());
            ciphertext.claimed = Some(other);
            assert_eq!(key.open(&ciphertext, b""), Err(NotAuthentic));
        }
    }

    #[test]
    fn every_version_of_a_name_opens_in_at_most_two_tries() {
        let first = KeyMaterial::random(Cipher::Aes256);
        let later = || KeyMaterial { encryption: Secret::random(), ..first.clone() };
        let versions = [OpenedKey::new(&first, 1), OpenedKey::new(&later(), 2), OpenedKey::new(&later(), 3)];
        let newest = &versions[2];
        let open = |sealed: &[u8]| {
            let ciphertext = Ciphertext::parse(sealed);
            candidates(ciphertext.version(newest.mask()))
                .filter_map(|version| versions.iter().find(|key| key.version() == version))
                .find_map(|key| key.open(&ciphertext, b"").ok())
        };
        for key in &versions {
            let sealed = key.seal(b"x", b"");
            assert_eq!(Ciphertext::parse(&sealed).version(newest.mask()), Some(key.version()));
            assert_eq!(open(&sealed).unwrap()[..], *b"x");
        }
        let elsewhere = OpenedKey::new(&KeyMaterial { mask: Secret::random(), ..first.clone() }, 1);
        assert_eq!(open(&elsewhere.seal(b"imported", b"")).unwrap()[..], *b"imported");
    }

    #[test]
    fn every_version_of_a_name_has_the_same_hmac() {
        let first = KeyMaterial::random(Cipher::ChaCha20);
        let second = KeyMaterial { encryption: Secret::random(), ..first.clone() };
        let none = KeyMaterial { hmac: None, ..first.clone() };
        assert_eq!(OpenedKey::new(&first, 1).hmac(b"m"), OpenedKey::new(&second, 2).hmac(b"m"));
        assert_eq!(OpenedKey::new(&none, 1).hmac(b"m"), None);
    }

    #[test]
    fn debug_shows_no_secret() {
        for cipher in CIPHERS {
            let material = KeyMaterial::imported(cipher, Secret::from_bytes(&[65; 32]));
            let shown = format!("{material:?} {:?}", OpenedKey::new(&material, 1));
            assert!(shown.contains("version: 1") && !shown.contains("65") && !shown.contains('['), "{shown}");
        }
    }
}
