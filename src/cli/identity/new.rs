//! `keyraft identity new`: makes an API key and, as files, the certificate that belongs to it.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::cli::connect::Connect;
use crate::cli::output::titled;
use crate::cli::{Error, Output};
use crate::client::{ApiClient, NewRole};
use crate::error_code::ErrorCode;
use crate::policy::Identity;
use crate::tls::ApiKey;

/// What the command prints.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum NewKeyOutput {
    /// API key and identity.
    Whole,
    /// Only the API key, for `$(…)` in a shell.
    Bare,
}

/// Makes an API key. With a role it also adds the identity to the server.
///
/// It prints the key last, because a key without its role is of no use. It also prints the key when the server may or
/// may not have added the identity, because nobody could find the key again.
pub async fn run(
    connect: &Connect,
    files: Option<(&Path, &Path)>,
    role: Option<NewRole>,
    form: NewKeyOutput,
    output: Output,
) -> Result<(), Error> {
    let client = role.is_some().then(|| connect.client()).transpose()?;
    let made = ApiKey::generate().map_err(Error::ApiKey)?;
    if let Some(files) = files {
        write_files(&made, files)?;
    }
    let added = match client.as_ref().zip(role.as_ref()) {
        Some((client, role)) => add_to_server(client, made.identity(), role).await,
        None => Ok(()),
    };
    if let Err(error @ Error::Client(_)) = added {
        // The server did not add the identity. Its files would be in the way of the next attempt.
        remove(files);
        return Err(error);
    }
    let printed = match form {
        NewKeyOutput::Bare => output.line(&made.expose()),
        NewKeyOutput::Whole => print(&made, role.as_ref(), output),
    };
    match (printed, client) {
        // Nobody has read the key, so the identity is useless, and its files would be in the way of the next attempt.
        (Err(error), Some(client)) if added.is_ok() => {
            remove(files);
            Err(undone(&client, made.identity(), error).await)
        }
        // An unknown outcome comes first: unlike the other error, it names the identity to look for.
        (printed, _) => added.and(printed),
    }
}

/// Removes an identity whose key nobody has read. Returns the error to report.
async fn undone(client: &ApiClient, identity: Identity, error: Error) -> Error {
    match client.delete_identity(&identity.to_string()).await {
        Ok(()) => error,
        Err(refused) => Error::Denied {
            error: Box::new(error),
            advice: format!(
                "the server has the new identity {identity}, but its API key is lost, and deleting the identity failed: \
                 {refused}\nAn admin can delete it:\n  keyraft identity rm {identity}"
            ),
        },
    }
}

/// Adds an identity to the server. The error is [`Error::Client`] only if the server certainly did not add it.
async fn add_to_server(client: &ApiClient, identity: Identity, role: &NewRole) -> Result<(), Error> {
    match client.create_identity(identity, role).await {
        // The first attempt has added it: nobody else knows this new identity.
        Err(error) if error.is_after_an_earlier_attempt() && error.has_code(ErrorCode::IdentityExists) => Ok(()),
        Err(error) if error.may_be_done() => Err(Error::OutcomeUnknown {
            what: format!("the server has added {identity}"),
            look: format!("keyraft identity info {identity}"),
            error: Box::new(error.into()),
        }),
        outcome => Ok(outcome?),
    }
}

fn print(made: &ApiKey, role: Option<&NewRole>, output: Output) -> Result<(), Error> {
    let (api_key, identity) = (made.expose(), made.identity().to_string());
    let (shown, next) = match role {
        None => (String::new(), format!("\nTo give the identity access: keyraft policy assign POLICY {identity}")),
        Some(NewRole::Admin) => ("admin".to_owned(), String::new()),
        Some(NewRole::Policy(name)) => (format!("policy {name}"), String::new()),
    };
    output.either(&json!({ "api_key": *api_key, "identity": identity }), || {
        let shown = titled(("API key", &api_key), [("identity", &identity), ("role", &shown)]);
        format!("{shown}\n\nKeep the API key, and keep it secret: nobody can show it again.{next}")
    })
}

/// Writes certificate and key, or neither. Neither file may exist yet.
fn write_files(made: &ApiKey, (certificate, key): (&Path, &Path)) -> Result<(), Error> {
    let pem = made.certificate().map_err(Error::ApiKey)?;
    write_new("--key", key, 0o600, pem.key_pem.as_bytes())?;
    write_new("--cert", certificate, 0o644, pem.certificate_pem.as_bytes()).inspect_err(|_| remove_one(key))
}

/// Writes a file that must not exist yet. If that fails, the file does not stay.
fn write_new(option: &str, path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Error> {
    let wrong = |error: &io::Error| {
        let advice = match error.kind() {
            io::ErrorKind::AlreadyExists => "; name another file, because keyraft does not overwrite this one",
            io::ErrorKind::NotFound => "; create its folder first",
            _ => "",
        };
        Error::Setting { name: option.to_owned(), reason: format!("{}: {error}{advice}", path.display()) }
    };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(|error| wrong(&error))?;
    file.write_all(bytes).map_err(|error| {
        remove_one(path);
        wrong(&error)
    })
}

fn remove(files: Option<(&Path, &Path)>) {
    if let Some((certificate, key)) = files {
        remove_one(certificate);
        remove_one(key);
    }
}

/// Removes a file that was just written. It ignores a failure, because the caller reports an earlier error.
fn remove_one(path: &Path) {
    let _ = std::fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::test_server::{TestServer, refuse};
    use crate::tls::Alpn;

    /// The outcome at two servers. The second is asked only if the first answers 503.
    async fn added(first: (u16, ErrorCode), second: (u16, ErrorCode)) -> Result<(), Error> {
        let one = TestServer::start(move |_| refuse(first.0, first.1)).await;
        let other = TestServer::start_with(one.tls.clone(), move |_| refuse(second.0, second.1)).await;
        let client = one.client(vec![one.endpoint.clone(), other.endpoint.clone()], Alpn::Either);
        add_to_server(&client, Identity::from_bytes([7; 32]), &NewRole::Admin).await
    }

    #[tokio::test]
    async fn an_attempt_whose_answer_was_lost_counts_as_done() {
        let exists = (400, ErrorCode::IdentityExists);
        let unchanged = (503, ErrorCode::NodeStopping);
        let unknown = (503, ErrorCode::OutcomeUnknown);
        let denied = (403, ErrorCode::NotAuthorized);
        assert!(added(unknown, exists).await.is_ok());
        assert!(matches!(added(unchanged, exists).await, Err(Error::Client(_))));
        assert!(matches!(added(unknown, unchanged).await, Err(Error::OutcomeUnknown { .. })));
        assert!(matches!(added(unchanged, unchanged).await, Err(Error::Client(_))));
        assert!(matches!(added(denied, unknown).await, Err(Error::Client(_))));
    }

    #[test]
    fn files_are_never_overwritten_and_always_written_together() {
        let folder = tempfile::tempdir().unwrap();
        let (made, at) = (ApiKey::generate().unwrap(), |name: &str| folder.path().join(name));
        std::fs::write(at("there"), b"x").unwrap();
        for (certificate, advice) in [(at("there"), "name another file"), (at("none/crt"), "create its folder")] {
            let error = write_files(&made, (&certificate, &at("key"))).unwrap_err();
            assert!(matches!(error, Error::Setting { .. }) && error.to_string().contains(advice), "{error}");
            assert!(!at("key").exists());
        }
        assert!(write_files(&made, (&at("crt"), &at("there"))).is_err());
        assert_eq!((std::fs::read(at("there")).unwrap(), at("crt").exists()), (b"x".to_vec(), false));
        write_files(&made, (&at("crt"), &at("key"))).unwrap();
    }
}
