//! The codes of error answers. Programs decide by the code, and people read the message beside it.

/// The header of an error answer that has the code.
pub const HEADER: &str = "keyraft-error";

/// Whether the same request may be sent again after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The server changed nothing, and may answer differently soon.
    Safe,
    /// The server changed nothing, and gives the same answer until the request or something else changes.
    Useless,
    /// The server may have done what the request asks for. Look first, before sending it again.
    LookFirst,
    /// The server did what the request asks for.
    Done,
}

impl Retry {
    /// The words for it in the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Safe => "yes",
            Self::Useless => "yes, but useless",
            Self::LookFirst => "no: check first whether it was done",
            Self::Done => "no: it was done",
        }
    }
}

/// Defines the codes. Each line has a variant, its name in the header, what a retry does, and its meaning.
macro_rules! error_codes {
    ($($variant:ident, $name:literal, $retry:ident, $meaning:literal;)+) => {
        /// The code of an error answer. There is one for each thing that a caller can do about an error.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ErrorCode {
            $(#[doc = $meaning] $variant,)+
        }

        impl ErrorCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The code as the header has it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The meaning, in one sentence.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)+
                }
            }

            /// Whether the client may send the request again.
            pub const fn retry(self) -> Retry {
                match self {
                    $(Self::$variant => Retry::$retry,)+
                }
            }
        }
    };
}

error_codes! {
    TlsRequired, "tls-required", Useless, "The client sent plain HTTP to a port for HTTPS.";
    MalformedRequest, "malformed-request", Useless, "The bytes are not a request in HTTP/1.1.";
    RequestHeadTooLarge, "request-head-too-large", Useless, "The request line and the headers exceed 64 KiB.";
    MalformedPath, "malformed-path", Useless, "The path has a `%` without two hexadecimal digits after it, or is not UTF-8.";
    UnknownPath, "unknown-path", Useless, "The server has no such path.";
    MethodNotAllowed, "method-not-allowed", Useless, "The path has another method, which the header `Allow` names.";
    CertificateRequired, "certificate-required", Useless, "The client shows no certificate of its own.";
    SeveralCertificates, "several-certificates", Useless, "The client shows more than one certificate of its own.";
    UnreadableCertificate, "unreadable-certificate", Useless,
        "The certificate of the client, or the one that a proxy forwards, cannot be read.";
    NotAuthorized, "not-authorized", Useless, "No policy lets the client do this.";
    InvalidName, "invalid-name", Useless, "A name of a key, a policy or an identity is not valid.";
    InvalidPrefix, "invalid-prefix", Useless, "The prefix of a listing is not valid.";
    InvalidParameter, "invalid-parameter", Useless, "A parameter after the `?` has a value that is not valid.";
    InvalidBody, "invalid-body", Useless, "The body is not what the path reads.";
    InvalidPattern, "invalid-pattern", Useless, "A pattern of a policy can never match.";
    InvalidIdentity, "invalid-identity", Useless, "The text is not an identity.";
    BodyTooLarge, "body-too-large", Useless, "The body, or the policy in it, exceeds its limit.";
    BodyTooSlow, "body-too-slow", Safe, "The body did not arrive in time.";
    UnsupportedCipher, "unsupported-cipher", Useless, "The server does not support this cipher.";
    InvalidKeySize, "invalid-key-size", Useless, "The length of the key material does not fit its cipher.";
    KeyNotFound, "key-not-found", Useless, "No key has this name.";
    KeyExists, "key-exists", Useless, "A key has this name already.";
    DeletedKeyExists, "deleted-key-exists", Useless, "A deleted key of this name can still be restored.";
    DeletedKeyNotFound, "deleted-key-not-found", Useless, "No deleted key of this name can be restored.";
    KeyUnopenable, "key-unopenable", Useless, "The stored key cannot be opened.";
    KeyVersionNotFound, "key-version-not-found", Useless, "The key has no such version.";
    KeyVersionDisabled, "key-version-disabled", Useless, "This version of the key is disabled.";
    KeyVersionNewest, "key-version-newest", Useless, "The newest version of a key cannot be disabled.";
    TooManyKeyVersions, "too-many-key-versions", Useless, "The key has as many versions as a key may have.";
    CiphertextNotAuthentic, "ciphertext-not-authentic", Useless,
        "The key did not make this ciphertext with this context, or somebody changed it.";
    HmacNotSupported, "hmac-not-supported", Useless, "The key has no HMAC key.";
    PolicyNotFound, "policy-not-found", Useless, "No policy has this name.";
    PolicyExists, "policy-exists", Useless, "A policy has this name already.";
    PolicyChanged, "policy-changed", Useless, "Somebody changed the policy after the client read it.";
    IdentityNotFound, "identity-not-found", Useless, "The server does not know this identity.";
    IdentityExists, "identity-exists", Useless, "The server knows this identity already.";
    IdentityIsAdmin, "identity-is-admin", Useless, "The identity is an admin, who cannot have a policy.";
    LastAdmin, "last-admin", Useless, "The identity is the last admin, whom nobody can remove.";
    AdminOfFile, "admin-of-file", Useless, "The identity is the admin that the configuration file names.";
    NoLeader, "no-leader", Safe, "The node could not reach a leader in time.";
    NoRoom, "no-room", Safe, "The disks of most nodes lack room, so the cluster makes no change that needs room.";
    NodeStopping, "node-stopping", Safe, "The node is stopping, or must not serve now.";
    TimedOut, "timed-out", Safe, "The request took longer than its path may, and nothing was changed.";
    AuditUnavailable, "audit-unavailable", Safe,
        "The node cannot write its audit trail, so it does not do what the request asks for.";
    OutcomeUnknown, "outcome-unknown", LookFirst, "The node did not learn in time whether the change was made.";
    OutcomeNotRecorded, "outcome-not-recorded", LookFirst,
        "The node could not write the audit record of the request, so it withholds the answer.";
    NotEverywhere, "not-everywhere", Done, "The change was made, but some nodes did not confirm it in time.";
}

impl ErrorCode {
    /// Reads the code of a header. Returns `None` if this release does not know it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }

    /// Whether the server may have done what the request asks for.
    pub const fn may_be_done(self) -> bool {
        matches!(self.retry(), Retry::LookFirst | Retry::Done)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_a_name_and_a_meaning_of_its_own() {
        let names: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        let meanings: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.meaning()).collect();
        assert_eq!((names.len(), meanings.len()), (ErrorCode::ALL.len(), ErrorCode::ALL.len()));
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::parse(code.as_str()), Some(code));
            let is_kebab = code.as_str().split('-').all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()));
            assert!(is_kebab && code.meaning().ends_with('.'), "{code:?}");
        }
        assert_eq!(ErrorCode::parse("a-newer-one"), None);
    }
}
