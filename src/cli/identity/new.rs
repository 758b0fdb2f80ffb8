//! `keyraft identity new`: an API key, and as files the certificate it stands for.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::cli::connect::Connect;
use crate::cli::output::titled;
use crate::cli::{Error, Output};
use crate::client::{self, NewRole};
use crate::tls::ApiKey;

/// What is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// API key and identity.
    Whole,
    /// The API key alone, for a shell to take.
    Bare,
}

/// Makes one, and makes it known when it is to have a role.
///
/// The key is printed last: a key that the server does not know is of no use to anyone who asked for a role.
pub async fn run(
    connect: &Connect,
    files: Option<(&Path, &Path)>,
    role: Option<NewRole>,
    form: Form,
    output: Output,
) -> Result<(), Error> {
    let made = ApiKey::generate().map_err(Error::ApiKey)?;
    if let Some((certificate, key)) = files {
        let pem = made.certificate().map_err(Error::ApiKey)?;
        write_new(key, 0o600, pem.key_pem.as_bytes())?;
        write_new(certificate, 0o644, pem.certificate_pem.as_bytes())?;
    }
    if let Some(role) = &role {
        let outcome = connect.client()?.create_identity(made.identity(), role).await;
        // Files of one that was refused would be in the way of the next attempt; an unknown outcome may need them.
        if let (Err(client::Error::Status { .. }), Some((certificate, key))) = (&outcome, files) {
            let _ = (std::fs::remove_file(certificate), std::fs::remove_file(key));
        }
        outcome?;
    }
    match form {
        Form::Bare => output.line(&made.expose()),
        Form::Whole => print(&made, role.as_ref(), output),
    }
}

fn print(made: &ApiKey, role: Option<&NewRole>, output: Output) -> Result<(), Error> {
    let (api_key, identity) = (made.expose(), made.identity().to_string());
    let (shown, next) = match role {
        None => (String::new(), format!("\nTo let it in: keyraft policy assign POLICY {identity}")),
        Some(NewRole::Admin) => ("admin".to_owned(), String::new()),
        Some(NewRole::Policy(name)) => (format!("policy {name}"), String::new()),
    };
    output.either(&json!({ "api_key": *api_key, "identity": identity }), || {
        let shown = titled(("API key", &api_key), [("identity", &identity), ("role", &shown)]);
        format!("{shown}\n\nKeep the API key secret: it is shown only now.{next}")
    })
}

/// Writes a file that must not be there yet.
fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(bytes)).map_err(|source| Error::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.crt");
        write_new(&path, 0o600, b"x").unwrap();
        assert!(write_new(&path, 0o600, b"").is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
    }
}
