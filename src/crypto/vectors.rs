//! Tests with ciphertexts and keys that a real KES wrote, in every form that it reads.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Cipher, Ciphertext, KeyMaterial, NotAuthentic, OpenedKey, Secret};

#[derive(Deserialize)]
struct Ciphertexts {
    keys: HashMap<String, String>,
    ciphertexts: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    cipher: String,
    form: String,
    context: String,
    plaintext: String,
    ciphertext: String,
}

#[derive(Deserialize)]
struct StoredKey {
    content: String,
    algorithm: String,
    key: String,
    hmac_of_m: Option<String>,
}

fn base64(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

fn secret(bytes: &[u8]) -> Secret<32> {
    Secret::from_bytes(bytes.try_into().unwrap())
}

#[test]
fn every_recorded_ciphertext_opens() {
    let recorded: Ciphertexts = serde_json::from_str(include_str!("../../tests/vectors/ciphertexts.json")).unwrap();
    assert_eq!(recorded.ciphertexts.len(), 30);
    for vector in recorded.ciphertexts {
        let key =
            KeyMaterial::imported(vector.cipher.parse().unwrap(), secret(&base64(&recorded.keys[&vector.cipher])));
        let key = OpenedKey::new(&key, 1);
        let bytes = base64(&vector.ciphertext);
        let ciphertext = Ciphertext::parse(&bytes);
        assert_eq!(ciphertext.version(key.mask()), None, "{}", vector.form);
        let opened = key.open(&ciphertext, &base64(&vector.context));
        assert_eq!(opened.unwrap()[..], base64(&vector.plaintext), "{}", vector.form);
        assert_eq!(key.open(&ciphertext, b"another"), Err(NotAuthentic), "{}", vector.form);
    }
}

/// The protobuf message of a stored key begins with the encryption key and the HMAC key. Each is a message of a tag, a
/// length and a field of 32 bytes, so the keys follow after four bytes each.
#[test]
fn recorded_hmacs_agree() {
    let stored: Vec<StoredKey> = serde_json::from_str(include_str!("../../tests/vectors/stored_keys.json")).unwrap();
    let with_hmac = stored.iter().filter_map(|stored| Some((stored, stored.hmac_of_m.as_ref()?)));
    let checked = with_hmac.map(|(stored, hmac_of_m)| {
        let content = base64(&stored.content);
        assert_eq!(content[4..36], base64(&stored.key));
        let material = KeyMaterial {
            hmac: Some(secret(&content[42..74])),
            ..KeyMaterial::imported(stored.algorithm.parse::<Cipher>().unwrap(), secret(&content[4..36]))
        };
        assert_eq!(OpenedKey::new(&material, 1).hmac(b"m").unwrap()[..], base64(hmac_of_m));
    });
    assert_eq!(checked.count(), 2);
}
