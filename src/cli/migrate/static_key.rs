//! The static key of a MinIO without a key server: `NAME:BASE64` in a variable, in a file, or in its environment file.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::source::{Source, SourceKey};
use crate::cli::{Error, encoding};
use crate::crypto::{Cipher, KeyMaterial, Secret};
use crate::policy::KeyName;

const VARIABLE: &str = "MINIO_KMS_SECRET_KEY";
const FILE_VARIABLE: &str = "MINIO_KMS_SECRET_KEY_FILE";

/// Reads the key, or several, each on a line of its own.
pub fn read(file: Option<&Path>, cipher: Cipher) -> Result<Source, Error> {
    let text = match file {
        Some(path) if path == Path::new("-") => encoding::bytes("-")?,
        Some(path) => of_file(path)?,
        None => of_environment()?,
    };
    parse(&text, cipher)
}

fn of_environment() -> Result<Zeroizing<Vec<u8>>, Error> {
    let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (value(VARIABLE), value(FILE_VARIABLE)) {
        (Some(key), _) => Ok(Zeroizing::new(key.into_bytes())),
        (None, Some(file)) => of_file(Path::new(&file)),
        (None, None) => {
            let reason = "not set; or name a file, or `-` for standard input".to_owned();
            Err(Error::Setting { name: VARIABLE.to_owned(), reason })
        }
    }
}

fn of_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    std::fs::read(path).map(Zeroizing::new).map_err(|source| Error::Unread { path: path.to_owned(), source })
}

fn parse(text: &[u8], cipher: Cipher) -> Result<Source, Error> {
    let wrong = |reason: &str| Error::Input { what: "static key", reason: reason.to_owned() };
    let text = std::str::from_utf8(text).map_err(|_| wrong("it is no text"))?;
    let mut source = Source::default();
    for line in text.lines().filter_map(key_of_line) {
        let key = key(line, cipher).map_err(wrong)?;
        if source.keys.iter().any(|other| other.name == key.name) {
            return Err(wrong("two lines have the same name"));
        }
        source.keys.push(key);
    }
    if source.keys.is_empty() {
        return Err(wrong("there is none; it is NAME:BASE64, the value of MINIO_KMS_SECRET_KEY"));
    }
    Ok(source)
}

/// The `NAME:BASE64` of a line; none where it is empty, a comment, or another variable of an environment file.
fn key_of_line(line: &str) -> Option<&str> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line).trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    match line.split_once('=') {
        Some((VARIABLE, value)) => Some(value.trim_matches(['"', '\''])),
        // The padding of base64 has `=` too, but after the colon.
        Some((name, _)) if !name.contains(':') => None,
        _ => Some(line),
    }
}

fn key(text: &str, cipher: Cipher) -> Result<SourceKey, &'static str> {
    let (name, base64) = text.split_once(':').ok_or("it is NAME:BASE64")?;
    KeyName::parse(name).map_err(|_| "its name is empty, too long or has characters that no key name has")?;
    let bytes = BASE64_STANDARD.decode(base64).map(Zeroizing::new).map_err(|_| "what follows the name is no base64")?;
    let secret = <&[u8; 32]>::try_from(&bytes[..]).map_err(|_| "the key is not 32 bytes long")?;
    let material = KeyMaterial { hmac: None, ..KeyMaterial::imported(cipher, Secret::from_bytes(secret)) };
    Ok(SourceKey { name: name.to_owned(), material, created_at: None, created_by: None, remark: None })
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
    fn what_is_wrong_is_told_without_the_key() {
        let twice = format!("{KEY}\n{KEY}");
        for bad in ["", "A=b", "my-key", "-x:AAEC", "my-key:AAECAwQ", "my-key:AAEC", twice.as_str()] {
            let error = parse(bad.as_bytes(), Cipher::Aes256).unwrap_err().to_string();
            assert!(error.starts_with("static key: ") && !error.contains("AAEC"), "{bad}: {error}");
        }
    }
}
