//! `keyraft identity of`: whose key or certificate it is. Nothing here speaks to a server.

use std::path::Path;

use crate::cli::connect::Connect;
use crate::cli::{Error, Output, prompt};
use crate::policy::Identity;
use crate::tls::{ApiKey, Credentials, certificate_identity};

/// Tells it; without anything, one's own.
pub fn run(what: Option<&str>, output: Output) -> Result<(), Error> {
    output.word("identity", &what.map_or_else(own, of)?.to_string())
}

fn own() -> Result<Identity, Error> {
    match Connect::default().settings()?.credentials {
        Credentials::ApiKey(key) => Ok(key.identity()),
        Credentials::Files { certificate, .. } => of_file(&certificate),
        Credentials::Nothing => Err(Error::Setting {
            name: "MINIO_KES_API_KEY".to_owned(),
            reason: "not set, and nothing else says who you are".to_owned(),
        }),
    }
}

fn of(what: &str) -> Result<Identity, Error> {
    let text = if what == "-" { prompt::secret("API key")? } else { what.as_bytes().to_vec().into() };
    if let Some(key) = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse::<ApiKey>().ok()) {
        return Ok(key.identity());
    }
    // What looks like a key is one with a mistake in it; as the name of a missing file it would be shown.
    if what == "-" || what.starts_with("kes:") {
        return Err(Error::Input { what: "API key", reason: "it is 'kes:v1:' and 44 characters of base64".to_owned() });
    }
    of_file(Path::new(what))
}

fn of_file(path: &Path) -> Result<Identity, Error> {
    let pem = std::fs::read(path).map_err(|source| Error::Unread { path: path.to_owned(), source })?;
    certificate_identity(&pem)
        .ok_or_else(|| Error::Input { what: "identity", reason: format!("{} holds no certificate", path.display()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "kes:v1:AGaV6VXHasF0FnaB60WdCOeTZ8eTIDikL4zlN16c8NAs";

    #[test]
    fn a_key_and_its_certificate_have_one_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.crt");
        let pem = KEY.parse::<ApiKey>().unwrap().certificate().unwrap().certificate_pem;
        std::fs::write(&path, pem).unwrap();
        assert_eq!(of(KEY).unwrap(), of(path.to_str().unwrap()).unwrap());
    }

    #[test]
    fn a_mistyped_key_is_not_shown() {
        assert!(!of("kes:v1:AGaVsecret").unwrap_err().to_string().contains("secret"));
    }
}
