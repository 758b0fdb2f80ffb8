//! `keyraft identity`: making identities and telling whose they are. Nothing here speaks to a server.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::connect::Connect;
use super::output::{STRONG, fields};
use super::{Error, Output};
use crate::policy::Identity;
use crate::tls::{ApiKey, Credentials, certificate_identity};

/// Make identities, and tell whose they are
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make an API key: a client's name and password in one
    #[command(after_help = NEW_EXAMPLES)]
    New {
        /// Write its certificate to this file too, in PEM
        #[arg(long, value_name = "FILE", requires = "key")]
        cert: Option<PathBuf>,
        /// Write the certificate's private key to this file
        #[arg(long, value_name = "FILE", requires = "cert")]
        key: Option<PathBuf>,
    },
    /// Show the identity of an API key or a certificate
    #[command(after_help = OF_EXAMPLES)]
    Of {
        /// API key, `-` for one on standard input, or a PEM file; without it, your own of the environment
        #[arg(value_name = "API-KEY|FILE")]
        what: Option<String>,
    },
}

const NEW_EXAMPLES: &str = "\
Examples:
  keyraft identity new
  keyraft identity new --cert app.crt --key app.key     for curl, and clients that take files
  export MINIO_KES_API_KEY=$(keyraft identity new --json | jq -r .api_key)

The server knows the identity only; keep the API key secret, it cannot be had again.
A policy in the server's configuration says what the identity may do.";

const OF_EXAMPLES: &str = "\
Examples:
  keyraft identity of                                   your own, from MINIO_KES_API_KEY or MINIO_KES_CERT_FILE
  keyraft identity of client.crt
  keyraft identity of - < api-key.txt";

/// Makes an identity, or tells one.
pub fn run(args: &Args, output: Output) -> Result<(), Error> {
    match &args.action {
        Action::New { cert, key } => new(cert.as_deref().zip(key.as_deref()), output),
        Action::Of { what } => {
            let identity = what.as_deref().map_or_else(own, of)?;
            output.either(&json!({ "identity": identity.to_string() }), || identity.to_string())
        }
    }
}

fn new(files: Option<(&Path, &Path)>, output: Output) -> Result<(), Error> {
    let made = ApiKey::generate().map_err(Error::ApiKey)?;
    if let Some((certificate, key)) = files {
        let pem = made.certificate().map_err(Error::ApiKey)?;
        write_new(key, 0o600, pem.key_pem.as_bytes())?;
        write_new(certificate, 0o644, pem.certificate_pem.as_bytes())?;
    }
    let (api_key, identity) = (made.expose(), made.identity().to_string());
    output.either(&json!({ "api_key": *api_key, "identity": identity }), || {
        let shown = fields([("API key", format!("{STRONG}{}{STRONG:#}", *api_key)), ("identity", identity)]);
        format!("{shown}\n\nKeep the API key secret: it is shown only now. The identity goes into a policy.")
    })
}

/// Writes a file that must not be there yet.
fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(bytes)).map_err(|source| Error::File { path: path.to_owned(), source })
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
    let text = if what == "-" { super::encoding::bytes(what)? } else { what.as_bytes().to_vec().into() };
    if let Some(key) = std::str::from_utf8(&text).ok().and_then(|text| text.parse::<ApiKey>().ok()) {
        return Ok(key.identity());
    }
    // What looks like a key is one with a mistake in it; as the name of a missing file it would be shown.
    if what == "-" || what.starts_with("kes:") {
        return Err(Error::Input { what: "API key", reason: "it is 'kes:v1:' and 44 characters of base64".to_owned() });
    }
    of_file(Path::new(what))
}

fn of_file(path: &Path) -> Result<Identity, Error> {
    let pem = std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    certificate_identity(&pem)
        .ok_or_else(|| Error::Input { what: "identity", reason: format!("{} holds no certificate", path.display()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "kes:v1:AGaV6VXHasF0FnaB60WdCOeTZ8eTIDikL4zlN16c8NAs";

    #[test]
    fn a_key_and_its_certificate_have_one_identity_and_files_are_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.crt");
        let pem = KEY.parse::<ApiKey>().unwrap().certificate().unwrap().certificate_pem;
        write_new(&path, 0o600, pem.as_bytes()).unwrap();
        assert_eq!(of(KEY).unwrap(), of(path.to_str().unwrap()).unwrap());
        assert!(write_new(&path, 0o600, b"").is_err());
    }

    #[test]
    fn a_mistyped_key_is_not_shown() {
        assert!(!of("kes:v1:AGaVsecret").unwrap_err().to_string().contains("secret"));
    }
}
