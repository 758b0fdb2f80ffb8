//! Every way a request can fail, and the one place that gives each its status and text (wire contract, "Errors" and
//! "Unavailability").

use std::borrow::Cow;

use http::StatusCode;

use super::query::BadParameter;
use super::routes::Method;
use crate::clock;
use crate::kms::{self, Cipher, CipherError};
use crate::policy::{Denied, IdentityError, NameError, PatternError, PrefixError};
use crate::tls::{CertificateError, ForwardedError};

/// Why a request is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No route has this path.
    UnknownPath,
    /// The path does not decode.
    BadPath,
    /// The route has another method.
    Method {
        /// The request's.
        got: String,
        /// The route's.
        want: Method,
        /// Every method that the route takes.
        allowed: &'static str,
    },
    /// The route asks for a certificate and there is none.
    NoCertificate,
    /// The certificate is nobody's.
    Certificate(CertificateError),
    /// What a proxy forwarded gives no identity.
    Forwarded(ForwardedError),
    /// No policy lets the client do this.
    Denied,
    /// A name outside the grammar.
    Name(NameError),
    /// A listing prefix outside the grammar.
    Prefix(PrefixError),
    /// A listing's limit that is no positive number.
    Limit(String),
    /// A log stream's parameter that makes no sense.
    Parameter(BadParameter),
    /// A body that is not what the route reads.
    Body,
    /// The same for import, which has a text of its own.
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
        /// Whether it may take effect all the same.
        writes: bool,
    },
    /// A pattern that can never match.
    Pattern(PatternError),
    /// A text that is no identity, where one is to be made known or assigned.
    Identity(IdentityError),
    /// Every request must have an audit record, and no sink takes one.
    Unaudited {
        /// Whether the operation was done before that showed.
        done: bool,
    },
    /// The operation failed.
    Kms(kms::Error),
}

impl Refusal {
    /// The status and the exact text that clients compare.
    pub fn answer(&self) -> (StatusCode, Cow<'static, str>) {
        let (status, text) = match self {
            Self::UnknownPath => (404, "404 page not found\n".into()),
            Self::BadPath => (400, "invalid request path: a '%' that is no escape, or no UTF-8".into()),
            Self::Method { got, want, .. } => (405, format!("received method '{got}' expected '{want}'").into()),
            Self::NoCertificate | Self::Certificate(CertificateError::Authority) => (400, CERTIFICATE_REQUIRED.into()),
            Self::Certificate(CertificateError::Several) => {
                (400, "tls: received more than one client certificate".into())
            }
            Self::Certificate(CertificateError::Malformed) => {
                (400, "tls: the client certificate cannot be read".into())
            }
            Self::Forwarded(ForwardedError::Untrusted) | Self::Denied => (403, NOT_AUTHORIZED.into()),
            Self::Forwarded(error) => (400, error.to_string().into()),
            Self::Name(error) => (400, error.to_string().into()),
            Self::Prefix(error) => (400, error.to_string().into()),
            Self::Limit(limit) => (400, format!("limit '{limit}' is not a positive number").into()),
            Self::Parameter(BadParameter { name, value, want }) => {
                (400, format!("{name} '{value}' makes no sense: write {want}, or leave it out").into())
            }
            Self::Body => (400, "invalid request body".into()),
            Self::ImportBody => (400, "invalid import key request body".into()),
            Self::BodyTooLarge => (413, "request body too large".into()),
            Self::BodyTooSlow => (408, "the request body did not arrive in time".into()),
            Self::Cipher(error) => (406, error.to_string().into()),
            Self::KeySize(cipher) => (406, format!("invalid key size for '{cipher}'").into()),
            Self::Pattern(error) => (400, error.to_string().into()),
            Self::Identity(error) => (400, error.to_string().into()),
            Self::TimedOut { writes } => (503, timed_out(*writes).into()),
            Self::Unaudited { done: false } => (503, "the audit trail cannot be written: nothing was changed".into()),
            Self::Unaudited { done: true } => (
                503,
                "the audit trail cannot be written: the outcome is unknown, the change may have taken effect".into(),
            ),
            Self::Kms(error) => kms_error(error),
        };
        (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), text)
    }
}

const CERTIFICATE_REQUIRED: &str = "tls: client certificate is required";
const NOT_AUTHORIZED: &str = "not authorized: insufficient permissions";

fn kms_error(error: &kms::Error) -> (u16, Cow<'static, str>) {
    let (status, text) = match error {
        kms::Error::KeyNotFound => (404, "key does not exist"),
        kms::Error::KeyExists => (400, "key already exists"),
        kms::Error::KeyWaiting { until } => return (409, key_waits(*until).into()),
        kms::Error::NothingWaiting => (404, "no deleted key of this name can be restored"),
        kms::Error::VersionNotFound => (404, "key version does not exist"),
        kms::Error::VersionDisabled => (409, "key version is disabled"),
        kms::Error::VersionNewest => (400, "the newest version of a key cannot be disabled: rotate the key first"),
        kms::Error::TooManyVersions => (400, "the key has as many versions as a key may have: make a new key"),
        kms::Error::NotAuthentic => (400, "decryption failed: ciphertext is not authentic"),
        kms::Error::NoHmac => (409, "key does not support HMAC"),
        kms::Error::KeyUnopenable => (409, "key cannot be opened"),
        kms::Error::PolicyNotFound => (404, "policy does not exist"),
        kms::Error::PolicyExists => (400, "policy already exists"),
        kms::Error::PolicyChanged => (412, "the policy was changed meanwhile: read it again, and change that"),
        kms::Error::PolicyTooLarge => (413, "request body too large"),
        kms::Error::IdentityNotFound => (404, "identity does not exist"),
        kms::Error::IdentityExists => (400, "identity already exists"),
        kms::Error::IdentityIsAdmin => (400, "the identity is an admin: no policy can be assigned to it"),
        kms::Error::LastAdmin => (400, "the identity is the last admin: make another one first"),
        kms::Error::AdminOfFile => (400, "the identity is the admin of the configuration file: change it there"),
        kms::Error::Denied => (403, NOT_AUTHORIZED),
        kms::Error::NoLeader => (503, "no leader could be reached in time: nothing was changed"),
        kms::Error::OutcomeUnknown => {
            (503, "no answer from the leader in time: the outcome is unknown, the change may take effect or not")
        }
        kms::Error::NotEverywhere => (
            503,
            "the change is made, but some nodes did not confirm it in time: they may go on as before until their lease \
             runs out",
        ),
        kms::Error::Stopping => (503, "the node is stopping: nothing was changed"),
    };
    (status, text.into())
}

fn key_waits(until: i64) -> String {
    let second = until - until.rem_euclid(1_000_000_000);
    let until = clock::rfc3339(Some(second));
    format!("a deleted key of this name can be restored until {until}: restore it, or use another name")
}

fn timed_out(writes: bool) -> &'static str {
    if writes {
        "the request took too long: the outcome is unknown, the change may take effect or not"
    } else {
        "the request took too long: nothing was changed"
    }
}

impl From<kms::Error> for Refusal {
    fn from(error: kms::Error) -> Self {
        Self::Kms(error)
    }
}

impl From<Denied> for Refusal {
    fn from(Denied: Denied) -> Self {
        Self::Denied
    }
}

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<PatternError> for Refusal {
    fn from(error: PatternError) -> Self {
        Self::Pattern(error)
    }
}

impl From<IdentityError> for Refusal {
    fn from(error: IdentityError) -> Self {
        Self::Identity(error)
    }
}

impl From<PrefixError> for Refusal {
    fn from(error: PrefixError) -> Self {
        Self::Prefix(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::KeyName;

    /// The table of wire contract, "Errors".
    #[test]
    fn every_refusal_has_its_exact_status_and_text() {
        use kms::Error as K;
        let name = KeyName::parse("a b").unwrap_err();
        let cipher = "rot13".parse::<Cipher>().unwrap_err();
        let method = Refusal::Method { got: "POST".to_owned(), want: Method::Get, allowed: "GET" };
        let table = [
            (Refusal::Denied, 403, "not authorized: insufficient permissions"),
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
            (Refusal::NoCertificate, 400, "tls: client certificate is required"),
            (Refusal::Certificate(CertificateError::Several), 400, "tls: received more than one client certificate"),
            (Refusal::Body, 400, "invalid request body"),
            (Refusal::ImportBody, 400, "invalid import key request body"),
            (Refusal::Cipher(cipher), 406, "algorithm 'rot13' is not supported"),
            (Refusal::KeySize(Cipher::Aes256), 406, "invalid key size for 'AES256'"),
            (method, 405, "received method 'POST' expected 'GET'"),
            (K::NoHmac.into(), 409, "key does not support HMAC"),
            (K::KeyUnopenable.into(), 409, "key cannot be opened"),
            (Refusal::BodyTooLarge, 413, "request body too large"),
            (name.into(), 400, "key name 'a b' is empty, too long or contains invalid characters"),
            (Refusal::UnknownPath, 404, "404 page not found\n"),
        ];
        for (refusal, status, text) in table {
            assert_eq!(refusal.answer(), (StatusCode::from_u16(status).unwrap(), text.into()));
        }
    }

    #[test]
    fn what_is_unavailable_says_whether_the_outcome_is_known() {
        let text = |refusal: Refusal| {
            let (status, text) = refusal.answer();
            assert_eq!(status, 503);
            text
        };
        for known in [kms::Error::NoLeader.into(), kms::Error::Stopping.into(), Refusal::TimedOut { writes: false }] {
            assert!(text(known).contains("nothing was changed"));
        }
        assert!(text(kms::Error::NotEverywhere.into()).contains("the change is made"));
        for unknown in [kms::Error::OutcomeUnknown.into(), Refusal::TimedOut { writes: true }] {
            assert!(text(unknown).contains("outcome is unknown"));
        }
    }
}
