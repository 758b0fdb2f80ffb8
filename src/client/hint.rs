//! What to do next after a request failed.

use std::io;

use super::Error;
use crate::error_code::ErrorCode;
use crate::policy::{Action, ActionKind, IdentityAction, KeyAction, PolicyAction};
use crate::tls::CertificateRefusal;

const NO_CERTIFICATE: &str = "the server requires a client certificate: set MINIO_KES_API_KEY, or --cert and --key; a \
                              CA's certificate does not serve as one, and `keyraft identity of FILE` shows the \
                              identity in a file";
const UNKNOWN: &str = "the outcome is unknown: check whether the change took effect before you try again";
const NO_LEADER: &str = "`keyraft cluster status` shows the leader and which nodes are up; more than half of the \
                         nodes must be up: 2 of 3, or 3 of 5";
const NO_ROOM: &str = "`keyraft cluster status` shows whose disks lack room; deletions and decryptions go on, and the nodes take \
                       changes again once more than half of them have room";
const NO_AUDIT: &str =
    "the node cannot write its audit trail: its log says why, and it accepts requests again once it can write";
const NOT_PERMITTED: &str = "your identity may not do this; `keyraft identity info` shows what its policy allows";
const EARLIER: &str = "an earlier attempt of this command, at another server, may have";

impl Error {
    /// What to do next, if there is something to recommend.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Status { path, code: Some(code), retried, .. } => code_hint(path, *code, *retried),
            Self::Status { status, code: None, .. } => status_hint(*status).map(str::to_owned),
            Self::NoServer(failures) => {
                // A server that answers knows more about the cluster than one that cannot be reached.
                let answered = failures.iter().find(|(_, error)| error.is_status(503));
                let (_, telling) = answered.or_else(|| failures.iter().find(|(_, error)| error.hint().is_some()))?;
                let unknown = failures.iter().any(|(_, error)| matches!(error, Self::TimedOut { sent: true, .. }));
                let hint = telling.hint().filter(|hint| hint != UNKNOWN);
                let lines: Vec<_> = hint.into_iter().chain(unknown.then(|| UNKNOWN.to_owned())).collect();
                Some(lines.join("\n"))
            }
            Self::Transport { source, .. } => Some(transport_hint(source.as_ref()).to_owned()),
            Self::TimedOut { sent: true, .. } => Some(UNKNOWN.to_owned()),
            Self::TimedOut { .. } => {
                Some("is the server running? MINIO_KES_SERVER (or --server) names the servers".to_owned())
            }
            Self::Malformed { .. } => {
                Some("check the address: the server there does not seem to be compatible with KES".to_owned())
            }
            Self::Socket { source, .. } => Some(socket_hint(source.kind()).to_owned()),
        }
    }

    /// Whether the cause may be that the client showed no certificate. Many servers then close the connection without
    /// saying why.
    pub fn may_want_a_certificate(&self) -> bool {
        match self {
            Self::Status { status, code, .. } => *status == 403 || *code == Some(ErrorCode::CertificateRequired),
            Self::NoServer(failures) => failures.iter().any(|(_, error)| error.may_want_a_certificate()),
            Self::Transport { source, .. } => match CertificateRefusal::of(source.as_ref()) {
                Some(refusal) => refusal == CertificateRefusal::ClientCertificate,
                None => is_ended(source.as_ref()),
            },
            Self::TimedOut { .. } | Self::Malformed { .. } | Self::Socket { .. } => false,
        }
    }
}

/// Whether the server accepted the connection and then ended it.
fn is_ended(error: &(dyn std::error::Error + 'static)) -> bool {
    use io::ErrorKind as Kind;
    const ENDED: [Kind; 5] =
        [Kind::UnexpectedEof, Kind::ConnectionReset, Kind::ConnectionAborted, Kind::BrokenPipe, Kind::Other];
    // An error of HTTP itself comes after the handshake.
    error.downcast_ref::<io::Error>().is_none_or(|io| ENDED.contains(&io.kind()))
}

/// Whether a second request for this action finds nothing left to act on.
fn ends_something(action: Option<ActionKind>) -> bool {
    use ActionKind::{Identity, Key, Policy};
    matches!(
        action,
        Some(
            Key(KeyAction::Delete | KeyAction::Purge | KeyAction::Restore)
                | Policy(PolicyAction::Delete)
                | Identity(IdentityAction::Delete)
        )
    )
}

fn code_hint(path: &str, code: ErrorCode, retried: bool) -> Option<String> {
    let (name, action) = (name_in(path), Action::parse(path).map(|action| action.kind()));
    let hint = match code {
        ErrorCode::KeyExists | ErrorCode::PolicyExists | ErrorCode::IdentityExists if retried => {
            format!("{EARLIER} created it")
        }
        ErrorCode::KeyNotFound
        | ErrorCode::DeletedKeyNotFound
        | ErrorCode::PolicyNotFound
        | ErrorCode::IdentityNotFound
            if retried && ends_something(action) =>
        {
            format!("{EARLIER} done it")
        }
        ErrorCode::CertificateRequired => NO_CERTIFICATE.to_owned(),
        ErrorCode::NotAuthorized => NOT_PERMITTED.to_owned(),
        ErrorCode::KeyNotFound => "`keyraft key ls` lists the keys".to_owned(),
        ErrorCode::PolicyNotFound => "`keyraft policy ls` lists the policies".to_owned(),
        ErrorCode::IdentityNotFound => "`keyraft identity ls` lists the identities".to_owned(),
        ErrorCode::KeyVersionNotFound => format!("`keyraft key versions {name}` lists the key's versions"),
        ErrorCode::DeletedKeyNotFound if action == Some(KeyAction::Purge.into()) => {
            format!("only a deleted key can be purged; `keyraft key info {name}` shows whether the key exists")
        }
        ErrorCode::DeletedKeyNotFound => format!(
            "`keyraft key info {name}` shows whether the key exists; a deleted key can be restored only if the server \
             has a deletion window, and only until that ends"
        ),
        ErrorCode::KeyExists => {
            format!(
                "`keyraft key info {name}` shows the key; `keyraft key rotate {name}` adds a version with new key material"
            )
        }
        ErrorCode::PolicyExists => {
            format!("`keyraft policy create {name} --replace` replaces it; `keyraft policy edit {name}` changes it")
        }
        ErrorCode::IdentityExists => format!(
            "`keyraft policy assign POLICY {name}` gives it another policy; `keyraft identity rm {name}` takes away all \
             its access"
        ),
        ErrorCode::KeyVersionDisabled => format!(
            "`keyraft key versions {name}` lists the key's versions; `keyraft key enable {name} VERSION` enables one again"
        ),
        ErrorCode::BodyTooLarge if matches!(action, Some(ActionKind::Policy(_))) => {
            "the policy is too large; one pattern that ends in '*' can stand for many".to_owned()
        }
        ErrorCode::UnknownPath => "this server does not have that operation".to_owned(),
        ErrorCode::AuditUnavailable | ErrorCode::OutcomeNotRecorded => NO_AUDIT.to_owned(),
        ErrorCode::NoRoom => NO_ROOM.to_owned(),
        ErrorCode::NoLeader
        | ErrorCode::NodeStopping
        | ErrorCode::TimedOut
        | ErrorCode::OutcomeUnknown
        | ErrorCode::NotEverywhere => NO_LEADER.to_owned(),
        _ => return None,
    };
    Some(hint)
}

/// The hint for an answer whose code is unknown.
fn status_hint(status: u16) -> Option<&'static str> {
    match status {
        403 => Some(NOT_PERMITTED),
        503 => Some(NO_LEADER),
        _ => None,
    }
}

/// The name at the end of a path, for a command to paste. `NAME` if a shell would not take it as it is.
fn name_in(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_plain { name } else { "NAME" }
}

fn transport_hint(source: &(dyn std::error::Error + 'static)) -> &'static str {
    match CertificateRefusal::of(source) {
        Some(CertificateRefusal::Untrusted) => {
            "KEYRAFT_CA (or --ca) must name a file with the CA that issued the server's certificate, or with that \
             certificate itself"
        }
        Some(CertificateRefusal::NoName) => {
            "issue the server's certificate with its names: openssl req … -addext subjectAltName=DNS:HOST,IP:ADDRESS"
        }
        Some(CertificateRefusal::NotForServers) => {
            "issue the server's certificate with serverAuth among its extended key usages, or without any extended key usage"
        }
        Some(CertificateRefusal::WrongName) => {
            "the server's certificate is for other names: use one of those names as the server's address"
        }
        Some(CertificateRefusal::Expired) => {
            "the server's certificate is not valid now: renew it, or correct the clock of this machine"
        }
        Some(CertificateRefusal::ClientCertificate) => NO_CERTIFICATE,
        None => {
            "is the server running? MINIO_KES_SERVER (or --server) names the servers; `keyraft dev` starts a test cluster"
        }
    }
}

fn socket_hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => "run this command as the user that runs the node",
        _ => "the node does not run on this machine, or it has another data folder",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Endpoint;

    fn refused(path: &str, status: u16, code: Option<ErrorCode>, retried: bool) -> Error {
        Error::Status {
            path: path.to_owned(),
            status,
            code,
            message: "a message of another server".to_owned(),
            retried,
        }
    }

    fn hint(path: &str, code: ErrorCode) -> String {
        refused(path, 400, Some(code), false).hint().unwrap()
    }

    #[test]
    fn a_hint_names_the_key_or_policy_of_the_request() {
        for (path, code, says) in [
            ("/v1/key/create/k", ErrorCode::KeyExists, "keyraft key rotate k`"),
            ("/v1/key/enable/k", ErrorCode::KeyVersionNotFound, "keyraft key versions k`"),
            ("/v1/key/enable/k%20x", ErrorCode::KeyVersionNotFound, "keyraft key versions NAME`"),
            ("/v1/key/decrypt/k", ErrorCode::KeyVersionDisabled, "keyraft key enable k VERSION`"),
            ("/v1/key/purge/k", ErrorCode::DeletedKeyNotFound, "keyraft key info k`"),
            ("/v1/key/restore/k", ErrorCode::DeletedKeyNotFound, "keyraft key info k`"),
            ("/v1/policy/create/p", ErrorCode::PolicyExists, "keyraft policy create p --replace`"),
            ("/v1/policy/create/p", ErrorCode::BodyTooLarge, "one pattern"),
        ] {
            let hint = hint(path, code);
            assert!(hint.contains(says), "{path}: {hint}");
        }
    }

    #[test]
    fn a_hint_mentions_an_earlier_attempt_only_where_it_may_be_the_cause() {
        let hint = |path, code| refused(path, 404, Some(code), true).hint().unwrap();
        assert_eq!(hint("/v1/key/create/k", ErrorCode::KeyExists), format!("{EARLIER} created it"));
        assert_eq!(hint("/v1/key/delete/k", ErrorCode::KeyNotFound), format!("{EARLIER} done it"));
        assert!(hint("/v1/key/describe/k", ErrorCode::KeyNotFound).contains("key ls"));
        assert!(hint("/v1/key/purge/k", ErrorCode::UnknownPath).contains("does not have that"));
    }

    #[test]
    fn hints_tell_a_missing_audit_trail_from_a_missing_leader() {
        assert_eq!(hint("/v1/key/create/k", ErrorCode::AuditUnavailable), NO_AUDIT);
        assert_eq!(hint("/v1/key/create/k", ErrorCode::NoLeader), NO_LEADER);
        assert_eq!(refused("/v1/key/create/k", 503, None, false).hint().unwrap(), NO_LEADER);
        assert_eq!(refused("/v1/key/create/k", 502, None, false).hint(), None);
    }

    #[test]
    fn the_hint_of_a_server_that_answers_precedes_that_of_one_that_does_not() {
        let at = |port| Endpoint { host: "a".to_owned(), port };
        let away = |port, kind: io::ErrorKind| {
            (at(port), Error::Transport { endpoint: at(port), source: io::Error::from(kind).into(), sent: false })
        };
        let refusing = |port| away(port, io::ErrorKind::ConnectionRefused);
        let leaderless = (at(3), refused("/v1/key/create/k", 503, Some(ErrorCode::NoLeader), false));
        let hint = Error::NoServer(vec![refusing(1), refusing(2), leaderless]).hint().unwrap();
        assert!(hint.contains("cluster status") && !hint.contains("is the server running"), "{hint}");
        let hint = Error::NoServer(vec![refusing(1), refusing(2)]).hint().unwrap();
        assert!(hint.contains("is the server running"), "{hint}");
        assert!(!refusing(1).1.may_want_a_certificate());
        let (_, closed) = away(1, io::ErrorKind::UnexpectedEof);
        assert!(closed.may_want_a_certificate() && closed.to_string().ends_with("the server closed the connection"));
    }
}
