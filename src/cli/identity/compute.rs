//! `keyraft identity of`: computes the identity of an API key or a certificate, without a server.

use std::path::Path;

use crate::cli::connect::Connect;
use crate::cli::{Error, Output, prompt};
use crate::file::{self, Named};
use crate::tls::{ApiKey, ApiKeyError, CertificateIdentity, Content, Credentials, NoIdentity, certificate_identity};

/// Prints the identity of an API key or certificate, or the caller's own.
pub fn run(what: Option<&str>, output: Output) -> Result<(), Error> {
    let found = what.map_or_else(own_identity, compute)?;
    if !found.is_first {
        output.warn(
            "the file begins with a CA certificate, but a client presents the first certificate of its file: put the \
             client's own first",
        );
    }
    output.word("identity", &found.identity.to_string())
}

fn own_identity() -> Result<CertificateIdentity, Error> {
    match Connect::default().settings()?.credentials {
        Credentials::ApiKey(key) => Ok(CertificateIdentity { identity: key.identity(), is_first: true }),
        Credentials::Files { certificate, .. } => of_file(&certificate),
        Credentials::Nothing => Err(Error::Setting {
            name: "MINIO_KES_API_KEY".to_owned(),
            reason:
                "it is not set, and no other setting says who you are; set it, or name an API key or a certificate file"
                    .to_owned(),
        }),
    }
}

fn compute(what: &str) -> Result<CertificateIdentity, Error> {
    if what == "-" {
        return of_input(&prompt::secret("API key")?);
    }
    match of_api_key(what.as_bytes()) {
        Some(found) => Ok(found),
        // It must be a mistyped API key. An error about a missing file of that name would show the secret.
        None if is_like_api_key(what.as_bytes()) => Err(mistyped("API key")),
        None => of_file(Path::new(what)),
    }
}

/// The identity of the API key or certificate on standard input.
fn of_input(input: &[u8]) -> Result<CertificateIdentity, Error> {
    of_content(input).map_err(|error| match error {
        // This is most likely a mistyped API key.
        NoIdentity::Other(Content::Other | Content::Nothing) => mistyped("API key"),
        error => Error::Input { what: "standard input", reason: error.to_string() },
    })
}

fn of_file(path: &Path) -> Result<CertificateIdentity, Error> {
    let wrong = |reason: &str| Error::Input { what: "identity", reason: format!("{}: {reason}", path.display()) };
    if path.is_dir() {
        return Err(wrong("it is a folder: name the certificate file in it"));
    }
    let content = file::read(path, Named::ByArgument).map_err(Error::Unread)?;
    of_content(&content).map_err(|error| match error {
        NoIdentity::Other(Content::Other) if is_like_api_key(&content) => wrong(&ApiKeyError::Malformed.to_string()),
        error => wrong(&error.to_string()),
    })
}

fn of_content(content: &[u8]) -> Result<CertificateIdentity, NoIdentity> {
    of_api_key(content).map_or_else(|| certificate_identity(content), Ok)
}

fn of_api_key(text: &[u8]) -> Option<CertificateIdentity> {
    let key = std::str::from_utf8(text).ok()?.trim().parse::<ApiKey>().ok()?;
    Some(CertificateIdentity { identity: key.identity(), is_first: true })
}

fn is_like_api_key(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"kes:")
}

fn mistyped(what: &'static str) -> Error {
    Error::Input { what, reason: "it must be 'kes:v1:' and 44 characters of base64".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Authority;

    const KEY: &str = "kes:v1:AGaV6VXHasF0FnaB60WdCOeTZ8eTIDikL4zlN16c8NAs";

    #[test]
    fn a_key_and_its_certificate_have_one_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.crt");
        let pem = KEY.parse::<ApiKey>().unwrap().certificate().unwrap().certificate_pem;
        std::fs::write(&path, pem).unwrap();
        assert_eq!(compute(KEY).unwrap(), compute(path.to_str().unwrap()).unwrap());
    }

    #[test]
    fn a_file_with_an_api_key_has_its_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api-key.txt");
        std::fs::write(&path, format!("{KEY}\n")).unwrap();
        assert_eq!(compute(path.to_str().unwrap()).unwrap(), compute(KEY).unwrap());
        std::fs::write(&path, &KEY[..KEY.len() - 4]).unwrap();
        let error = compute(path.to_str().unwrap()).unwrap_err().to_string();
        assert!(error.contains("not an API key") && !error.contains("AGaV"), "{error}");
    }

    #[test]
    fn the_error_says_what_a_wrong_file_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.crt");
        let key = KEY.parse::<ApiKey>().unwrap().certificate().unwrap().key_pem;
        let authority = Authority::new("CA").unwrap().certificate_pem;
        let client = KEY.parse::<ApiKey>().unwrap().certificate().unwrap().certificate_pem;
        for (content, says) in [
            ("", "is empty"),
            (
                authority.as_str(),
                "a CA certificate only, and servers skip those: make the client's certificate with CA:FALSE",
            ),
            (&client.repeat(2), "2 certificates that are not CA certificates"),
            (&key, "a private key: name the file with the certificate"),
            ("hello", "no certificate in PEM or DER, and no API key"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = compute(path.to_str().unwrap()).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("app.crt"), "{error}");
        }
        std::fs::write(&path, authority + &client).unwrap();
        assert!(!compute(path.to_str().unwrap()).unwrap().is_first);
        let error = compute(folder.path().to_str().unwrap()).unwrap_err().to_string();
        assert!(error.contains("it is a folder: name the certificate file in it"), "{error}");
    }

    #[test]
    fn standard_input_may_be_a_certificate() {
        let client = KEY.parse::<ApiKey>().unwrap().certificate().unwrap();
        assert_eq!(of_input(client.certificate_pem.as_bytes()).unwrap(), compute(KEY).unwrap());
        assert_eq!(of_input(KEY.as_bytes()).unwrap(), compute(KEY).unwrap());
        for (bad, says) in [("", "API key"), ("secret", "API key"), (client.key_pem.as_str(), "a private key")] {
            let error = of_input(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_mistyped_key_is_not_shown() {
        assert!(!compute("kes:v1:AGaVsecret").unwrap_err().to_string().contains("secret"));
    }
}
