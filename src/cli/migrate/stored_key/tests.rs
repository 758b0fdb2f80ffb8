//! Tests with keys that a real KES stored, and with bytes that are not keys.

use super::*;
use crate::crypto::OpenedKey;

#[derive(Deserialize)]
struct Recorded {
    file: String,
    content: String,
    algorithm: String,
    key: String,
    hmac_of_m: Option<String>,
    created_at: Option<String>,
}

fn recorded() -> Vec<Recorded> {
    serde_json::from_str(include_str!("../../../../tests/vectors/stored_keys.json")).unwrap()
}

#[test]
fn every_recorded_key_is_read_whole() {
    for recorded in recorded() {
        let read = decode(&recorded.file, format!("{}\n", recorded.content).as_bytes()).unwrap();
        assert_eq!(read.material.cipher.name(), recorded.algorithm, "{}", recorded.file);
        assert_eq!(BASE64_STANDARD.encode(read.material.encryption.expose()), recorded.key);
        let hmac = OpenedKey::new(&read.material, 1).hmac(b"m").map(|hmac| BASE64_STANDARD.encode(hmac));
        assert_eq!(hmac, recorded.hmac_of_m, "{}", recorded.file);
        assert_eq!(read.created_at, recorded.created_at, "{}", recorded.file);
        assert_eq!(read.created_by.is_some(), recorded.content.contains("8bc7c801") || hmac.is_some());
    }
}

#[test]
fn bytes_that_are_not_a_key_are_refused_and_not_shown() {
    let short = BASE64_STANDARD.encode([7; 16]);
    let json = |fields: &str| format!("{{\"bytes\": \"{}\"{fields}}}", BASE64_STANDARD.encode([7; 32]));
    let proto = |key: TypedSecret, hmac_key: Option<TypedSecret>| {
        let version = StoredKey { key: Some(key), hmac_key, created_at: None, created_by: String::new() };
        BASE64_STANDARD.encode(version.encode_to_vec())
    };
    let typed = |length, algorithm| TypedSecret { bytes: vec![7; length], algorithm };
    for (text, error) in [
        (String::new(), StoredError::Fields),
        ("secret!".to_owned(), StoredError::Encoding),
        (BASE64_STANDARD.encode("secret"), StoredError::Fields),
        ("{}".to_owned(), StoredError::Fields),
        (format!("{{\"bytes\": \"{short}\"}}"), StoredError::Length(16)),
        (json(", \"algorithm\": \"DES\""), StoredError::Cipher("DES".to_owned())),
        (json(", \"created_at\": \"soon\""), StoredError::Date),
        (proto(typed(31, 1), None), StoredError::Length(31)),
        (proto(typed(32, 3), None), StoredError::Cipher("3".to_owned())),
        (proto(typed(32, 1), Some(typed(32, 2))), StoredError::Hash(2)),
    ] {
        let refused = decode("k", text.as_bytes()).unwrap_err();
        assert_eq!(refused, error, "{text}");
        assert!(!refused.to_string().contains("secret"));
    }
}

#[test]
fn a_creator_that_is_not_an_identity_is_remarked_and_the_key_is_read() {
    let read = |creator: &str| {
        let bytes = BASE64_STANDARD.encode([7; 32]);
        decode("k", format!("{{\"bytes\": \"{bytes}\", \"created_by\": \"{creator}\"}}").as_bytes()).unwrap()
    };
    let (nobody, somebody) = (read("root"), read(&"ab".repeat(32)));
    assert_eq!((nobody.created_by, nobody.remark.is_some()), (None, true));
    assert_eq!((somebody.created_by.is_some(), somebody.remark, read("").remark), (true, None, None));
}
