//! The errors of the API, and the one table of their statuses, codes and texts (wire contract, "Errors" and
//! "Unavailability").

use std::borrow::Cow;

use http::StatusCode;

use super::pipeline::routes::Method;
use super::wire::json::BadJson;
use super::wire::query::BadQuery;
use crate::clock;
use crate::error_code::{ErrorCode, ErrorCode as Code};
use crate::kms::{self, Cipher, CipherError};
use crate::policy::{BadName, Denied, IdentityError, NameError, PatternError, PermitError, PrefixError};
use crate::tls::{CertificateError, ForwardedError};

/// Why the server did not do what a request asks for, or does not say that it did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.answer().2)]
pub enum ApiError {
    /// No route has this path.
    UnknownPath,
    /// The path does not decode.
    BadPath,
    /// The route does not take the method of the request.
    Method {
        /// The method of the request.
        got: String,
        /// The method of the route.
        want: Method,
        /// Every method that the route takes.
        allowed: &'static str,
    },
    /// The route needs a certificate, and the client showed none.
    NoCertificate,
    /// The client's certificate does not give an identity.
    Certificate(CertificateError),
    /// The certificate that a proxy forwarded does not give an identity.
    Forwarded(ForwardedError),
    /// No policy lets the client do this.
    Denied,
    /// A name that breaks the grammar.
    Name(#[from] NameError),
    /// A listing prefix that breaks the grammar.
    Prefix(#[from] PrefixError),
    /// A query that the route does not take.
    Query(#[from] BadQuery),
    /// A body that is not what the route reads.
    Body,
    /// A body of an import that is not what the route reads. It has a text of its own.
    ImportBody,
    /// A body beyond the route's limit.
    BodyTooLarge,
    /// A body that did not arrive within the route's timeout.
    BodyTooSlow,
    /// A cipher that does not exist.
    Cipher(CipherError),
    /// Key material that does not have its cipher's length.
    KeySize(Cipher),
    /// The operation did not end within the route's timeout.
    TimedOut {
        /// Whether the operation may still take effect.
        writes: bool,
    },
    /// A pattern that can never match.
    Pattern(#[from] PatternError),
    /// A text that is not an identity, where the request creates or assigns one.
    Identity(#[from] IdentityError),
    /// Every request needs an audit record, and no sink accepts it.
    Unaudited {
        /// Whether the operation was already done.
        done: bool,
    },
    /// The operation failed.
    Kms(#[from] kms::Error),
}

impl ApiError {
    /// The status, the code that programs decide by, and the exact text that clients of KES compare.
    pub fn answer(&self) -> (StatusCode, ErrorCode, Cow<'static, str>) {
        let (status, code, text) = match self {
            Self::UnknownPath => (404, Code::UnknownPath, "404 page not found\n".into()),
            Self::BadPath => (400, Code::MalformedPath, BAD_PATH.into()),
            Self::Method { got, want, .. } => {
                (405, Code::MethodNotAllowed, format!("received method '{got}' expected '{want}'").into())
            }
            Self::NoCertificate => certificate_error(CertificateError::Authority),
            Self::Certificate(error) => certificate_error(*error),
            Self::Forwarded(error) => forwarded_error(error),
            Self::Denied => not_authorized(),
            Self::Name(error) => (400, Code::InvalidName, error.to_string().into()),
            Self::Prefix(error) => (400, Code::InvalidPrefix, error.to_string().into()),
            Self::Query(error) => (400, Code::InvalidParameter, error.to_string().into()),
            Self::Body => (400, Code::InvalidBody, "invalid request body".into()),
            Self::ImportBody => (400, Code::InvalidBody, "invalid import key request body".into()),
            Self::BodyTooLarge => (413, Code::BodyTooLarge, BODY_TOO_LARGE.into()),
            Self::BodyTooSlow => (408, Code::BodyTooSlow, "the request body did not arrive in time".into()),
            Self::Cipher(error) => (406, Code::UnsupportedCipher, error.to_string().into()),
            Self::KeySize(cipher) => (406, Code::InvalidKeySize, format!("invalid key size for '{cipher}'").into()),
            Self::Pattern(error) => (400, Code::InvalidPattern, error.to_string().into()),
            Self::Identity(error) => (400, Code::InvalidIdentity, error.to_string().into()),
            Self::TimedOut { writes: false } => {
                (503, Code::TimedOut, "the request took too long: nothing was changed".into())
            }
            Self::TimedOut { writes: true } => (
                503,
                Code::OutcomeUnknown,
                "the request took too long: the outcome is unknown; check whether the change was made before you try \
                 again"
                    .into(),
            ),
            Self::Unaudited { done: false } => {
                (503, Code::AuditUnavailable, "the node cannot write its audit trail: nothing was changed".into())
            }
            Self::Unaudited { done: true } => (
                503,
                Code::OutcomeNotRecorded,
                "the node cannot write its audit trail: the outcome is unknown; check whether the change was made \
                 before you try again"
                    .into(),
            ),
            Self::Kms(error) => kms_error(error),
        };
        (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), code, text)
    }
}

/// A row of the table: the status, the code and the text.
type Row = (u16, ErrorCode, Cow<'static, str>);

const BAD_PATH: &str = "invalid request path: two hexadecimal digits must follow a '%', and the result must be UTF-8";
const BODY_TOO_LARGE: &str = "request body too large";
const NOT_AUTHENTIC: &str = "decryption failed: ciphertext is not authentic";
const VERSION_NEWEST: &str = "the newest version of a key cannot be disabled: rotate the key first";
const TOO_MANY_VERSIONS: &str = "the key has as many versions as a key may have: create a new key";
const POLICY_CHANGED: &str = "somebody changed the policy after you read it: read it again, and change that version";
const IDENTITY_IS_ADMIN: &str = "the identity is an admin: no policy can be assigned to it";
const ADMIN_OF_FILE: &str = "the identity is the admin of the configuration file: change it there";
const OUTCOME_UNKNOWN: &str =
    "the leader did not answer in time: the outcome is unknown; check whether the change was made before you try again";
const NO_ROOM: &str = "the disks of most nodes lack room: nothing was changed";
const NOT_EVERYWHERE: &str = "the change is made, but some nodes did not confirm it in time: they may use the earlier \
    state until their leases end";

fn not_authorized() -> Row {
    (403, Code::NotAuthorized, "not authorized: insufficient permissions".into())
}

fn certificate_error(error: CertificateError) -> Row {
    let (code, text) = match error {
        CertificateError::Authority => (Code::CertificateRequired, "tls: client certificate is required"),
        CertificateError::Several => (Code::SeveralCertificates, "tls: received more than one client certificate"),
        CertificateError::Malformed => (Code::UnreadableCertificate, "tls: the client certificate cannot be read"),
    };
    (400, code, text.into())
}

fn forwarded_error(error: &ForwardedError) -> Row {
    let code = match error {
        ForwardedError::Untrusted => return not_authorized(),
        ForwardedError::Unreadable => Code::UnreadableCertificate,
        ForwardedError::NoIdentity(CertificateError::Several) => Code::SeveralCertificates,
        ForwardedError::NoIdentity(CertificateError::Authority | CertificateError::Malformed) => {
            Code::CertificateRequired
        }
    };
    (400, code, error.to_string().into())
}

fn kms_error(error: &kms::Error) -> Row {
    let (status, code, text) = match error {
        kms::Error::KeyNotFound => (404, Code::KeyNotFound, "key does not exist"),
        kms::Error::KeyExists => (400, Code::KeyExists, "key already exists"),
        kms::Error::KeyWaiting { until } => return (409, Code::DeletedKeyExists, key_waits(*until).into()),
        kms::Error::NothingWaiting => (404, Code::DeletedKeyNotFound, "no deleted key of this name can be restored"),
        kms::Error::VersionNotFound => (404, Code::KeyVersionNotFound, "key version does not exist"),
        kms::Error::VersionDisabled => (409, Code::KeyVersionDisabled, "key version is disabled"),
        kms::Error::VersionNewest => (400, Code::KeyVersionNewest, VERSION_NEWEST),
        kms::Error::TooManyVersions => (400, Code::TooManyKeyVersions, TOO_MANY_VERSIONS),
        kms::Error::NotAuthentic => (400, Code::CiphertextNotAuthentic, NOT_AUTHENTIC),
        kms::Error::NoHmac => (409, Code::HmacNotSupported, "key does not support HMAC"),
        kms::Error::KeyUnopenable => (409, Code::KeyUnopenable, "key cannot be opened"),
        kms::Error::Denied => return not_authorized(),
        kms::Error::NoLeader => (503, Code::NoLeader, "the node could not reach a leader in time: nothing was changed"),
        kms::Error::NoRoom => (503, Code::NoRoom, NO_ROOM),
        kms::Error::OutcomeUnknown => (503, Code::OutcomeUnknown, OUTCOME_UNKNOWN),
        kms::Error::UnknownOutcome(number) => {
            return (503, Code::OutcomeUnknown, done_by_newer_version(*number).into());
        }
        kms::Error::NotEverywhere => (503, Code::NotEverywhere, NOT_EVERYWHERE),
        kms::Error::Stopping => (503, Code::NodeStopping, "the node is stopping: nothing was changed"),
        kms::Error::PolicyNotFound => (404, Code::PolicyNotFound, "policy does not exist"),
        kms::Error::PolicyExists => (400, Code::PolicyExists, "policy already exists"),
        kms::Error::PolicyChanged => (412, Code::PolicyChanged, POLICY_CHANGED),
        kms::Error::PolicyTooLarge => (413, Code::BodyTooLarge, BODY_TOO_LARGE),
        kms::Error::IdentityNotFound => (404, Code::IdentityNotFound, "identity does not exist"),
        kms::Error::IdentityExists => (400, Code::IdentityExists, "identity already exists"),
        kms::Error::IdentityIsAdmin => (400, Code::IdentityIsAdmin, IDENTITY_IS_ADMIN),
        kms::Error::LastAdmin => (400, Code::LastAdmin, "the identity is the last admin: create another admin first"),
        kms::Error::AdminOfFile => (400, Code::AdminOfFile, ADMIN_OF_FILE),
    };
    (status, code, text.into())
}

fn done_by_newer_version(number: u16) -> String {
    format!(
        "the write was done by a newer version, outcome {number}: the outcome is unknown to this version; check whether the \
         change was made before you try again"
    )
}

fn key_waits(until: i64) -> String {
    let second = until - until.rem_euclid(1_000_000_000);
    let until = clock::rfc3339(Some(second));
    format!("a deleted key of this name can be restored until {until}: restore it, or use another name")
}

impl From<Denied> for ApiError {
    fn from(Denied: Denied) -> Self {
        Self::Denied
    }
}

impl From<BadJson> for ApiError {
    fn from(BadJson: BadJson) -> Self {
        Self::Body
    }
}

impl From<PermitError> for ApiError {
    fn from(error: PermitError) -> Self {
        match error {
            PermitError::OtherAction => Self::Denied,
            PermitError::Name(error) => error.into(),
            PermitError::Identity(error) => error.into(),
        }
    }
}

impl From<BadName> for ApiError {
    fn from(error: BadName) -> Self {
        match error {
            BadName::Name(error) => Self::Name(error),
            BadName::Prefix(error) => Self::Prefix(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::error_code::Retry;
    use crate::http::wire::query::BadParameter;
    use crate::policy::{KeyName, NameKind, Unmatchable};

    /// The table of wire contract, "Errors".
    #[test]
    fn every_error_has_its_exact_status_and_text() {
        use kms::Error as K;
        let name = KeyName::parse("a b").unwrap_err();
        let cipher = "rot13".parse::<Cipher>().unwrap_err();
        let method = ApiError::Method { got: "POST".to_owned(), want: Method::Get, allowed: "GET" };
        let parameter = BadParameter { name: "tail", value: "x".to_owned(), want: "a number of events" };
        let parameter = BadQuery::Parameter(parameter);
        let table = [
            (ApiError::Denied, 403, "not authorized: insufficient permissions"),
            (K::Denied.into(), 403, "not authorized: insufficient permissions"),
            (K::KeyNotFound.into(), 404, "key does not exist"),
            (K::KeyExists.into(), 400, "key already exists"),
            (K::NotAuthentic.into(), 400, "decryption failed: ciphertext is not authentic"),
            (K::PolicyNotFound.into(), 404, "policy does not exist"),
            (K::IdentityNotFound.into(), 404, "identity does not exist"),
            (K::PolicyExists.into(), 400, "policy already exists"),
            (K::IdentityExists.into(), 400, "identity already exists"),
            (K::PolicyTooLarge.into(), 413, "request body too large"),
            (K::VersionNotFound.into(), 404, "key version does not exist"),
            (K::VersionDisabled.into(), 409, "key version is disabled"),
            (ApiError::NoCertificate, 400, "tls: client certificate is required"),
            (ApiError::Certificate(CertificateError::Several), 400, "tls: received more than one client certificate"),
            (ApiError::Body, 400, "invalid request body"),
            (ApiError::ImportBody, 400, "invalid import key request body"),
            (ApiError::Cipher(cipher), 406, "algorithm 'rot13' is not supported"),
            (ApiError::KeySize(Cipher::Aes256), 406, "invalid key size for 'AES256'"),
            (method, 405, "received method 'POST' expected 'GET'"),
            (K::NoHmac.into(), 409, "key does not support HMAC"),
            (K::KeyUnopenable.into(), 409, "key cannot be opened"),
            (ApiError::BodyTooLarge, 413, "request body too large"),
            (name.into(), 400, "key name 'a b' is empty, too long or contains invalid characters"),
            (ApiError::UnknownPath, 404, "404 page not found\n"),
            (ApiError::BadPath, 400, BAD_PATH),
            (parameter.into(), 400, "the parameter 'tail' cannot be 'x': write a number of events, or leave it out"),
        ];
        for (error, status, text) in table {
            let (found, _, message) = error.answer();
            assert_eq!((found.as_u16(), &*message), (status, text));
        }
    }

    /// Every error, as an example if it has several.
    fn every_error() -> Vec<ApiError> {
        use kms::Error as K;
        let name = |kind: NameKind| ApiError::Name(kind.check("a b").unwrap_err());
        let names = [NameKind::Key, NameKind::Policy, NameKind::Identity].map(name);
        let parameter = BadParameter { name: "tail", value: "x".to_owned(), want: "a number of events" };
        let certificates = [CertificateError::Several, CertificateError::Authority, CertificateError::Malformed];
        let nobody = certificates.map(|error| ApiError::Forwarded(ForwardedError::NoIdentity(error)));
        let own = [
            ApiError::UnknownPath,
            ApiError::BadPath,
            ApiError::Method { got: "POST".to_owned(), want: Method::Get, allowed: "GET" },
            ApiError::NoCertificate,
            ApiError::Forwarded(ForwardedError::Unreadable),
            ApiError::Forwarded(ForwardedError::Untrusted),
            ApiError::Denied,
            ApiError::Prefix(PrefixError("*".to_owned())),
            ApiError::Query(BadQuery::Limit("x".to_owned())),
            ApiError::Query(BadQuery::Parameter(parameter)),
            ApiError::Body,
            ApiError::ImportBody,
            ApiError::BodyTooLarge,
            ApiError::BodyTooSlow,
            ApiError::Cipher(CipherError("rot13".to_owned())),
            ApiError::KeySize(Cipher::Aes256),
            ApiError::TimedOut { writes: false },
            ApiError::TimedOut { writes: true },
            ApiError::Pattern(PatternError { pattern: "x".to_owned(), why: Unmatchable::NoSlash }),
            ApiError::Identity(IdentityError),
            ApiError::Unaudited { done: false },
            ApiError::Unaudited { done: true },
        ];
        let of_kms = [
            [K::KeyNotFound, K::KeyExists, K::VersionNotFound, K::KeyWaiting { until: 0 }, K::NothingWaiting],
            [K::VersionDisabled, K::VersionNewest, K::TooManyVersions, K::NotAuthentic, K::NoHmac],
            [K::KeyUnopenable, K::PolicyNotFound, K::PolicyExists, K::PolicyChanged, K::PolicyTooLarge],
            [K::IdentityNotFound, K::IdentityExists, K::IdentityIsAdmin, K::LastAdmin, K::AdminOfFile],
            [K::Denied, K::NoLeader, K::OutcomeUnknown, K::NotEverywhere, K::Stopping],
            [K::UnknownOutcome(999), K::NoRoom, K::Denied, K::Denied, K::Denied],
        ];
        let of_kms = of_kms.into_iter().flatten().map(ApiError::Kms);
        own.into_iter()
            .chain(names)
            .chain(certificates.map(ApiError::Certificate))
            .chain(nobody)
            .chain(of_kms)
            .collect()
    }

    /// Each code with its statuses and the texts that come with it.
    fn answers_by_code() -> BTreeMap<ErrorCode, (BTreeSet<u16>, BTreeSet<String>)> {
        let mut answers = BTreeMap::<_, (BTreeSet<_>, BTreeSet<_>)>::new();
        for error in every_error() {
            let (status, code, text) = error.answer();
            let (statuses, texts) = answers.entry(code).or_default();
            statuses.insert(status.as_u16());
            texts.insert(text.into_owned());
        }
        answers
    }

    /// Codes of answers that come before the API: the listener and hyper make them.
    const UNHANDLED: [(ErrorCode, u16); 3] =
        [(Code::TlsRequired, 400), (Code::MalformedRequest, 400), (Code::RequestHeadTooLarge, 431)];

    #[test]
    fn errors_with_one_code_mean_the_same_to_a_caller() {
        let answers = answers_by_code();
        // These say the same in several texts: which kind of name, whose certificate, which parameter, who did not
        // answer.
        let in_several_words = [
            Code::UnreadableCertificate,
            Code::InvalidName,
            Code::InvalidParameter,
            Code::InvalidBody,
            Code::OutcomeUnknown,
        ];
        for (code, (statuses, texts)) in &answers {
            assert_eq!(statuses.len(), 1, "{code:?}");
            assert_eq!(texts.len() > 1, in_several_words.contains(code), "{code:?}: {texts:?}");
        }
        let unhandled = UNHANDLED.map(|(code, _)| code);
        let unused: Vec<_> =
            ErrorCode::ALL.iter().filter(|code| !answers.contains_key(code) && !unhandled.contains(code)).collect();
        assert!(unused.is_empty(), "no error has {unused:?}");
    }

    #[test]
    fn a_code_and_its_text_agree_on_whether_a_retry_is_safe() {
        for (code, (statuses, texts)) in answers_by_code() {
            for text in texts {
                let says = |words| text.contains(words);
                let retry = match () {
                    () if says("nothing was changed") => Retry::Safe,
                    () if says("outcome is unknown") => Retry::LookFirst,
                    () if says("the change is made") => Retry::Done,
                    () if statuses.contains(&408) => Retry::Safe,
                    () => Retry::Useless,
                };
                assert_eq!(code.retry(), retry, "{code:?}: {text}");
            }
        }
    }

    #[test]
    fn the_documentation_lists_every_code() {
        let answers = answers_by_code();
        let status_of = |code| {
            let handled = answers.get(&code).and_then(|(statuses, _)| statuses.first().copied());
            handled.or_else(|| UNHANDLED.iter().find(|(unhandled, _)| *unhandled == code).map(|(_, status)| *status))
        };
        let rows = ErrorCode::ALL.iter().map(|&code| {
            let (status, retry) = (status_of(code).unwrap(), code.retry().as_str());
            format!("| `{}` | {status} | {} | {retry} |", code.as_str(), code.meaning())
        });
        let wanted: Vec<_> = rows.collect();
        let document = include_str!("../../docs/compatibility.md");
        let (_, section) = document.split_once("\n## Error codes\n").expect("the section exists");
        let section = section.split("\n## ").next().unwrap_or_default();
        let listed: Vec<_> = section.lines().filter(|line| line.starts_with("| `")).collect();
        for (listed, wanted) in listed.iter().zip(&wanted) {
            assert_eq!(listed, wanted);
        }
        assert_eq!(listed.len(), wanted.len(), "the table must be:\n{}", wanted.join("\n"));
    }

    #[test]
    fn a_503_says_whether_the_outcome_is_known() {
        let text = |error: ApiError| {
            let (status, _, text) = error.answer();
            assert_eq!(status, 503);
            text
        };
        for known in [
            kms::Error::NoLeader.into(),
            kms::Error::NoRoom.into(),
            kms::Error::Stopping.into(),
            ApiError::TimedOut { writes: false },
        ] {
            assert!(text(known).contains("nothing was changed"));
        }
        assert!(text(kms::Error::NotEverywhere.into()).contains("the change is made"));
        for unknown in [
            kms::Error::OutcomeUnknown.into(),
            kms::Error::UnknownOutcome(999).into(),
            ApiError::TimedOut { writes: true },
        ] {
            assert!(text(unknown).contains("outcome is unknown"));
        }
    }
}
