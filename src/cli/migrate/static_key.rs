//! Reads the static key of a MinIO without a key server: `NAME:BASE64` in a variable, a file, or its environment file.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::source::{KeySource, SourceKey};
use crate::cli::{Error, prompt};
use crate::crypto::{Cipher, KeyMaterial, Secret};
use crate::file::{self, Named};
use crate::policy::KeyName;

const VARIABLE: &str = "MINIO_KMS_SECRET_KEY";
/// The variable of old MinIO releases, with a key in hex.
const OLD_VARIABLE: &str = "MINIO_KMS_MASTER_KEY";
const FILE_VARIABLE: &str = "MINIO_KMS_SECRET_KEY_FILE";
const WHAT: &str = "static key";

/// Reads one key, or several on a line each.
pub fn read(file: Option<&Path>, cipher: Cipher) -> Result<KeySource, Error> {
    let text = match file {
        Some(path) if path == Path::new("-") => prompt::secret("Static key as NAME:BASE64")?,
        Some(path) => of_file(path)?,
        None => of_environment()?,
    };
    parse(&text, cipher)
}

fn of_environment() -> Result<Zeroizing<Vec<u8>>, Error> {
    let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (value(VARIABLE).or_else(|| value(OLD_VARIABLE)), value(FILE_VARIABLE)) {
        (Some(key), _) => Ok(Zeroizing::new(key.into_bytes())),
        (None, Some(file)) => of_file(Path::new(&file)),
        (None, None) => {
            let reason = "it is not set; set it, or name a file, or `-` for standard input".to_owned();
            Err(Error::Setting { name: VARIABLE.to_owned(), reason })
        }
    }
}

fn of_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    file::read(path, Named::ByArgument).map_err(Error::Unread)
}

/// The content of a line.
enum KeyLine<'a> {
    Key(&'a str),
    /// The name of a file with the key.
    File(&'a str),
}

/// Parses keys, and reads those in a file that a line names.
fn parse(text: &[u8], cipher: Cipher) -> Result<KeySource, Error> {
    let mut source = KeySource::default();
    for (number, line) in lines(text)? {
        match line {
            KeyLine::Key(text) => add(&mut source, number, text, cipher)?,
            KeyLine::File(path) => {
                for (inner, line) in lines(&of_file(Path::new(path))?)? {
                    let KeyLine::Key(text) = line else {
                        return Err(wrong(
                            number,
                            "the file that this line names must hold a key, but it names another file",
                        ));
                    };
                    add(&mut source, inner, text, cipher)?;
                }
            }
        }
    }
    if source.keys.is_empty() {
        let reason = "it does not hold a key; write one as NAME:BASE64, as in MINIO_KMS_SECRET_KEY".to_owned();
        return Err(Error::Input { what: WHAT, reason });
    }
    Ok(source)
}

fn add(source: &mut KeySource, number: usize, text: &str, cipher: Cipher) -> Result<(), Error> {
    let key = key(text, cipher).map_err(|reason| wrong(number, reason))?;
    if source.keys.iter().any(|other| other.name == key.name) {
        return Err(wrong(number, "an earlier line has the same name"));
    }
    source.keys.push(key);
    Ok(())
}

fn wrong(number: usize, reason: &str) -> Error {
    Error::Input { what: WHAT, reason: format!("line {number}: {reason}") }
}

/// The lines with a key or a file name, each with its number.
fn lines(text: &[u8]) -> Result<Vec<(usize, KeyLine<'_>)>, Error> {
    let text = std::str::from_utf8(text)
        .map_err(|_| Error::Input { what: WHAT, reason: "it must be UTF-8 text".to_owned() })?;
    Ok(text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, content(line)?))).collect())
}

/// The content of a line; `None` if it is empty, a comment, or another variable of an environment file.
fn content(line: &str) -> Option<KeyLine<'_>> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line).trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    match line.split_once('=').map(|(name, value)| (name, value.trim_matches(['"', '\'']))) {
        Some((VARIABLE | OLD_VARIABLE, value)) => Some(KeyLine::Key(value)),
        Some((FILE_VARIABLE, value)) => (!value.is_empty()).then_some(KeyLine::File(value)),
        // A key has a colon before the `=` that pads its base64.
        Some((name, _)) if !name.contains(':') => None,
        _ => Some(KeyLine::Key(line)),
    }
}

fn key(text: &str, cipher: Cipher) -> Result<SourceKey, &'static str> {
    let (name, encoded) = text.split_once(':').ok_or("it must be NAME:BASE64")?;
    KeyName::parse(name).map_err(|_| "the name must be 1 to 80 of A–Z a–z 0–9 _ -")?;
    let bytes = decode(encoded.trim()).ok_or("what follows the name is neither base64 nor hex")?;
    let secret = <&[u8; 32]>::try_from(&bytes[..])
        .map_err(|_| "the key is not 32 bytes long: that is 44 characters of base64, or 64 digits of hex")?;
    let material = KeyMaterial { hmac: None, ..KeyMaterial::imported(cipher, Secret::from_bytes(secret)) };
    Ok(SourceKey { name: name.to_owned(), material, created_at: None, created_by: None, remark: None })
}

/// Decodes a key from base64 or, as in the older MINIO_KMS_MASTER_KEY, from hex. 64 hexadecimal digits are hex, because
/// as base64 they would be 48 bytes, and a key has 32.
fn decode(encoded: &str) -> Option<Zeroizing<Vec<u8>>> {
    let is_hex = encoded.len() == 64 && encoded.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex { hex::decode(encoded).ok() } else { BASE64_STANDARD.decode(encoded).ok() }.map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "my-key:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn names(text: &str) -> Vec<String> {
        parse(text.as_bytes(), Cipher::Aes256).unwrap().keys.into_iter().map(|key| key.name).collect()
    }

    #[test]
    fn the_value_and_the_environment_file_are_read() {
        assert_eq!(names(KEY), ["my-key"]);
        assert_eq!(
            names(&format!("# MinIO\nMINIO_ROOT_USER=admin\nexport MINIO_KMS_SECRET_KEY=\"{KEY}\"\n")),
            ["my-key"]
        );
        assert_eq!(names(&format!("{KEY}\nother{}\n", &KEY[6..])), ["my-key", "other"]);
    }

    #[test]
    fn a_key_in_hex_is_the_same_key() {
        const HEX: &str = "my-key:000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
        let material = |text: &str| {
            let source = parse(text.as_bytes(), Cipher::Aes256).unwrap();
            let [key] = &source.keys[..] else { panic!("{text}") };
            assert_eq!(key.name, "my-key");
            key.material.encryption.expose().to_vec()
        };
        assert_eq!(material(HEX), material(KEY));
        assert_eq!(material(HEX), (0..32).collect::<Vec<u8>>());
        assert_eq!(material(&format!("export MINIO_KMS_MASTER_KEY=\"{HEX}\"\n")), material(KEY));
        // Hexadecimal digits are also valid base64, and mean another key there.
        assert_eq!(material(&format!("my-key:{}ABA=", "ABCD".repeat(10))).len(), 32);
        let cut = parse(&HEX.as_bytes()[..HEX.len() - 1], Cipher::Aes256).err().unwrap().to_string();
        assert!(!cut.contains("0001"), "{cut}");
    }

    #[test]
    fn a_file_that_a_line_names_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, format!("{KEY}\n")).unwrap();
        let text = format!("MINIO_ROOT_USER=admin\nMINIO_KMS_SECRET_KEY_FILE='{}'\n", path.display());
        assert_eq!(names(&text), ["my-key"]);
        std::fs::write(&path, &text).unwrap();
        let circle = parse(text.as_bytes(), Cipher::Aes256).unwrap_err().to_string();
        assert!(circle.contains("line 2: the file that this line names must hold a key"), "{circle}");
        assert!(matches!(parse(b"MINIO_KMS_SECRET_KEY_FILE=/none", Cipher::Aes256), Err(Error::Unread(_))));
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        let error = parse(format!("# one\n{KEY}\nother:AAEC\n").as_bytes(), Cipher::Aes256).unwrap_err().to_string();
        assert_eq!(
            error,
            "static key: line 3: the key is not 32 bytes long: that is 44 characters of base64, or 64 digits of hex"
        );
    }

    #[test]
    fn errors_do_not_show_the_key() {
        let twice = format!("{KEY}\n{KEY}");
        for bad in ["", "A=b", "my-key", "-x:AAEC", "my-key:AAECAwQ", "my-key:AAEC", twice.as_str()] {
            let error = parse(bad.as_bytes(), Cipher::Aes256).unwrap_err().to_string();
            assert!(error.starts_with("static key: ") && !error.contains("AAEC"), "{bad}: {error}");
        }
    }
}
