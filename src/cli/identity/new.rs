//! `keyraft identity new`: an API key, and as files the certificate it stands for.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::cli::connect::Connect;
use crate::cli::output::titled;
use crate::cli::{Error, Output};
use crate::client::{Client, NewRole};
use crate::policy::Identity;
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
/// The key is printed last: a key that the server does not know is of no use to anyone who asked for a role. One that
/// it may know is printed, for nobody could find it again.
pub async fn run(
    connect: &Connect,
    files: Option<(&Path, &Path)>,
    role: Option<NewRole>,
    form: Form,
    output: Output,
) -> Result<(), Error> {
    let client = role.is_some().then(|| connect.client()).transpose()?;
    let made = ApiKey::generate().map_err(Error::ApiKey)?;
    if let Some((certificate, key)) = files {
        let pem = made.certificate().map_err(Error::ApiKey)?;
        write_new(key, 0o600, pem.key_pem.as_bytes())?;
        write_new(certificate, 0o644, pem.certificate_pem.as_bytes())?;
    }
    let known = match client.zip(role.as_ref()) {
        Some((client, role)) => make_known(&client, made.identity(), role).await,
        None => Ok(()),
    };
    if let Err(error @ Error::Client(_)) = known {
        // Files of one that is not known would be in the way of the next attempt.
        if let Some((certificate, key)) = files {
            let _ = (std::fs::remove_file(certificate), std::fs::remove_file(key));
        }
        return Err(error);
    }
    match form {
        Form::Bare => output.line(&made.expose())?,
        Form::Whole => print(&made, role.as_ref(), output)?,
    }
    known
}

/// Makes it known; a failure is the client's only when it is certain that nothing was done.
async fn make_known(client: &Client, identity: Identity, role: &NewRole) -> Result<(), Error> {
    match client.create_identity(identity, role).await {
        // The first attempt did it: nobody else has an identity that was made just now.
        Err(error) if error.is_of_a_second_attempt() && error.says(400, "identity already exists") => Ok(()),
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

/// Writes a file that must not be there yet.
fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(bytes)).map_err(|source| Error::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::Response;

    use super::*;
    use crate::client::test_server::TestServer;
    use crate::tls::Alpn;

    fn answer(code: u16, body: &'static str) -> Response<Full<Bytes>> {
        Response::builder().status(code).body(Full::new(Bytes::from(body))).unwrap()
    }

    /// What comes of it at two servers, the second asked only when the first is of no use.
    async fn made_known(first: (u16, &'static str), second: (u16, &'static str)) -> Result<(), Error> {
        let one = TestServer::start(move |_| answer(first.0, first.1)).await;
        let other = TestServer::start_with(one.tls.clone(), move |_| answer(second.0, second.1)).await;
        let client = one.client(vec![one.endpoint.clone(), other.endpoint.clone()], Alpn::Either);
        make_known(&client, Identity::from_bytes([7; 32]), &NewRole::Admin).await
    }

    #[tokio::test]
    async fn an_attempt_whose_answer_was_lost_counts() {
        const EXISTS: &str = r#"{"message":"identity already exists"}"#;
        const UNCHANGED: &str = r#"{"message":"the node is stopping: nothing was changed"}"#;
        const UNKNOWN: &str = r#"{"message":"the outcome is unknown"}"#;
        assert!(made_known((503, UNKNOWN), (400, EXISTS)).await.is_ok());
        assert!(matches!(made_known((503, UNCHANGED), (400, EXISTS)).await, Err(Error::Client(_))));
        assert!(matches!(made_known((503, UNKNOWN), (503, UNCHANGED)).await, Err(Error::OutcomeUnknown { .. })));
        assert!(matches!(made_known((503, UNCHANGED), (503, UNCHANGED)).await, Err(Error::Client(_))));
        assert!(matches!(made_known((403, UNKNOWN), (200, "")).await, Err(Error::Client(_))));
    }

    #[test]
    fn files_are_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.crt");
        write_new(&path, 0o600, b"x").unwrap();
        assert!(write_new(&path, 0o600, b"").is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
    }
}
