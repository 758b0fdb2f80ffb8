//! `keyraft identity new`: an API key, and as files the certificate it stands for.

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

/// What is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum KeyOutput {
    /// API key and identity.
    Whole,
    /// The API key alone, for a shell to take.
    Bare,
}

/// Makes one, and makes it known when it is to have a role.
///
/// The key is printed last: a key that the server does not know is of no use to anyone who asked for a role. One that
/// it may know is printed, for nobody could find it again.
pub async fn run(
    connect: &Connect,
    files: Option<(&Path, &Path)>,
    role: Option<NewRole>,
    form: KeyOutput,
    output: Output,
) -> Result<(), Error> {
    let client = role.is_some().then(|| connect.client()).transpose()?;
    let made = ApiKey::generate().map_err(Error::ApiKey)?;
    if let Some(files) = files {
        write_files(&made, files)?;
    }
    let known = match client.as_ref().zip(role.as_ref()) {
        Some((client, role)) => make_known(client, made.identity(), role).await,
        None => Ok(()),
    };
    if let Err(error @ Error::Client(_)) = known {
        // Files of one that is not known would be in the way of the next attempt.
        remove(files);
        return Err(error);
    }
    let told = match form {
        KeyOutput::Bare => output.line(&made.expose()),
        KeyOutput::Whole => print(&made, role.as_ref(), output),
    };
    match (told, client) {
        // Nobody has the key, but for the files, and they would be in the way of the next attempt.
        (Err(error), Some(client)) if known.is_ok() => {
            remove(files);
            Err(taken_back(&client, made.identity(), error).await)
        }
        // What is not known names the identity, which is more than that it was not printed.
        (told, _) => known.and(told),
    }
}

/// Takes back what nobody was told of; the error is what became of it.
async fn taken_back(client: &ApiClient, identity: Identity, error: Error) -> Error {
    match client.delete_identity(&identity.to_string()).await {
        Ok(()) => error,
        Err(refused) => Error::Denied {
            error: Box::new(error),
            advice: format!(
                "{identity} is known to the server now, and its API key is lost; taking it back failed: {refused}\n  \
                 keyraft identity rm {identity}"
            ),
        },
    }
}

/// Makes it known; a failure is the client's only when it is certain that nothing was done.
async fn make_known(client: &ApiClient, identity: Identity, role: &NewRole) -> Result<(), Error> {
    match client.create_identity(identity, role).await {
        // The first attempt did it: nobody else has an identity that was made just now.
        Err(error) if error.is_of_a_second_attempt() && error.has_code(ErrorCode::IdentityExists) => Ok(()),
        Err(error) if error.may_be_done() => Err(Error::OutcomeUnknown {
            what: format!("whether {identity} is made known"),
            look: format!("keyraft identity info {identity}"),
            error: Box::new(error.into()),
        }),
        outcome => Ok(outcome?),
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

/// Writes certificate and key, or neither: each must not be there yet.
fn write_files(made: &ApiKey, (certificate, key): (&Path, &Path)) -> Result<(), Error> {
    let pem = made.certificate().map_err(Error::ApiKey)?;
    write_new("--key", key, 0o600, pem.key_pem.as_bytes())?;
    write_new("--cert", certificate, 0o644, pem.certificate_pem.as_bytes()).inspect_err(|_| remove_one(key))
}

/// Writes a file that must not be there yet; it is there only when all of it is.
fn write_new(option: &str, path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Error> {
    let wrong = |error: &io::Error| {
        let advice = match error.kind() {
            io::ErrorKind::AlreadyExists => "; name another file, or remove this one: none is overwritten",
            io::ErrorKind::NotFound => "; make its folder first",
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

/// Removes a file that was written just now; where that fails, the error before it is the one to tell.
fn remove_one(path: &Path) {
    let _ = std::fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::test_server::{TestServer, refuse};
    use crate::tls::Alpn;

    /// What comes of it at two servers, the second asked only when the first is of no use.
    async fn made_known(first: (u16, ErrorCode), second: (u16, ErrorCode)) -> Result<(), Error> {
        let one = TestServer::start(move |_| refuse(first.0, first.1)).await;
        let other = TestServer::start_with(one.tls.clone(), move |_| refuse(second.0, second.1)).await;
        let client = one.client(vec![one.endpoint.clone(), other.endpoint.clone()], Alpn::Either);
        make_known(&client, Identity::from_bytes([7; 32]), &NewRole::Admin).await
    }

    #[tokio::test]
    async fn an_attempt_whose_answer_was_lost_counts() {
        let exists = (400, ErrorCode::IdentityExists);
        let unchanged = (503, ErrorCode::NodeStopping);
        let unknown = (503, ErrorCode::OutcomeUnknown);
        let denied = (403, ErrorCode::NotAuthorized);
        assert!(made_known(unknown, exists).await.is_ok());
        assert!(matches!(made_known(unchanged, exists).await, Err(Error::Client(_))));
        assert!(matches!(made_known(unknown, unchanged).await, Err(Error::OutcomeUnknown { .. })));
        assert!(matches!(made_known(unchanged, unchanged).await, Err(Error::Client(_))));
        assert!(matches!(made_known(denied, unknown).await, Err(Error::Client(_))));
    }

    #[test]
    fn files_are_never_overwritten_and_both_are_written_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let (made, at) = (ApiKey::generate().unwrap(), |name: &str| folder.path().join(name));
        std::fs::write(at("there"), b"x").unwrap();
        for (certificate, advice) in [(at("there"), "remove this one"), (at("none/crt"), "make its folder")] {
            let error = write_files(&made, (&certificate, &at("key"))).unwrap_err();
            assert!(matches!(error, Error::Setting { .. }) && error.to_string().contains(advice), "{error}");
            assert!(!at("key").exists());
        }
        assert!(write_files(&made, (&at("crt"), &at("there"))).is_err());
        assert_eq!((std::fs::read(at("there")).unwrap(), at("crt").exists()), (b"x".to_vec(), false));
        write_files(&made, (&at("crt"), &at("key"))).unwrap();
    }
}
