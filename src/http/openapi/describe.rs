//! The description of each operation. A new operation does not compile without one.

use crate::http::error::ApiError;
use crate::http::wire::query::{BadParameter, BadQuery};
use crate::kms::{Cipher, CipherError, Error};
use crate::policy::{
    ActionKind, ClusterAction, IdentityAction, IdentityError, KeyAction, LogAction, NameError, NameKind, PatternError,
    PolicyAction, PrefixError, SystemAction, Unmatchable,
};

/// An operation in words, with the names of its schemas.
pub struct Description {
    /// One line.
    pub summary: &'static str,
    /// More about the operation. May be empty.
    pub details: &'static str,
    /// Its request body.
    pub request: RequestSchema,
    /// Its answer with status 200.
    pub answer: AnswerSchema,
    /// The errors of the operation itself, beside those that every route may answer.
    pub errors: &'static [Example],
}

/// Makes an example of an error, with the status, code and text that the server answers.
pub type Example = fn() -> ApiError;

/// A request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestSchema {
    /// No body. If the client sends one, the server reads and ignores it.
    None,
    /// JSON of this schema. The client may leave it out.
    Optional(&'static str),
    /// JSON of this schema.
    Json(&'static str),
}

/// The body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerSchema {
    /// No body.
    Empty,
    /// JSON of this schema.
    Json(&'static str),
    /// JSON of the first schema, or lines of the second if the client accepts them.
    JsonOrLines(&'static str, &'static str),
    /// Lines of JSON of this schema.
    Lines(&'static str),
    /// Metrics as Prometheus text.
    Metrics,
    /// A JSON object: the description of this API.
    OpenApi,
}

const NO_LEADER: Example = || ApiError::Kms(Error::NoLeader);
const NO_ROOM: Example = || ApiError::Kms(Error::NoRoom);
const OUTCOME_UNKNOWN: Example = || ApiError::Kms(Error::OutcomeUnknown);
const NOT_EVERYWHERE: Example = || ApiError::Kms(Error::NotEverywhere);
const NO_KEY: Example = || ApiError::Kms(Error::KeyNotFound);
const NO_VERSION: Example = || ApiError::Kms(Error::VersionNotFound);
const BAD_BODY: Example = || ApiError::Body;
const NOT_AUTHENTIC: Example = || ApiError::Kms(Error::NotAuthentic);
const DISABLED: Example = || ApiError::Kms(Error::VersionDisabled);
const UNOPENABLE: Example = || ApiError::Kms(Error::KeyUnopenable);
const NO_POLICY: Example = || ApiError::Kms(Error::PolicyNotFound);
const NO_IDENTITY: Example = || ApiError::Kms(Error::IdentityNotFound);

/// Stands for a text of the request.
const ELLIPSIS: &str = "…";
/// The start of 2030, in Unix nanoseconds.
const EXAMPLE_DATE: i64 = 1_893_456_000_000_000_000;

/// A key name outside the grammar.
pub const INVALID_KEY_NAME: Example = || invalid_name(NameKind::Key);
/// A policy name outside the grammar.
pub const INVALID_POLICY_NAME: Example = || invalid_name(NameKind::Policy);
/// An identity outside the grammar of names.
pub const INVALID_IDENTITY_NAME: Example = || invalid_name(NameKind::Identity);

fn invalid_name(kind: NameKind) -> ApiError {
    ApiError::Name(NameError { kind, name: ELLIPSIS.into() })
}

/// The description of an operation.
pub const fn describe(action: ActionKind) -> Description {
    match action {
        ActionKind::System(action) => system(action),
        ActionKind::Cluster(action) => cluster(action),
        ActionKind::Key(action) => key(action),
        ActionKind::Policy(action) => policy(action),
        ActionKind::Identity(action) => identity(action),
        ActionKind::Log(log) => stream(log),
    }
}

const fn system(action: SystemAction) -> Description {
    match action {
        SystemAction::Version => get("Shows version and commit.", AnswerSchema::Json("Version"), &[]),
        SystemAction::Ready => Description {
            details: "A node that is not ready does not listen, so this is the only answer.",
            ..get("Answers while the node is ready.", AnswerSchema::Empty, &[])
        },
        SystemAction::Status => {
            get("Shows figures of the process and the keystore.", AnswerSchema::Json("Status"), &[])
        }
        SystemAction::Api => get("Lists every route, sorted by path.", AnswerSchema::Json("Routes"), &[]),
        SystemAction::OpenApi => get("Describes this API.", AnswerSchema::OpenApi, &[]),
        SystemAction::Metrics => get("Shows the metrics that KES has.", AnswerSchema::Metrics, &[]),
    }
}

const fn cluster(action: ClusterAction) -> Description {
    match action {
        ClusterAction::Status => {
            get("Shows the cluster as this node sees it.", AnswerSchema::Json("ClusterStatus"), &[])
        }
        ClusterAction::Metrics => get("Shows metrics of Raft and storage.", AnswerSchema::Metrics, &[]),
    }
}

const fn key(action: KeyAction) -> Description {
    match action {
        KeyAction::List => list("Lists keys.", AnswerSchema::JsonOrLines("KeyNames", "NameLine")),
        KeyAction::Create => put("Creates a key.", RequestSchema::None, AnswerSchema::Empty, CREATE),
        KeyAction::Import => Description {
            details: "Only an admin may set `created_at` and `created_by`.",
            ..put("Creates a key from given material.", RequestSchema::Json("KeyImport"), AnswerSchema::Empty, IMPORT)
        },
        KeyAction::Describe => get(
            "Shows a key's cipher, and when and by whom it was created.",
            AnswerSchema::Json("KeyDescription"),
            ORIGIN,
        ),
        KeyAction::Delete => Description {
            details: "Its ciphertexts cannot be decrypted afterwards, unless a client restores the key within \
                `keys.deletion_window`.",
            ..get("Deletes a key.", AnswerSchema::Empty, &[NO_KEY, NO_LEADER, OUTCOME_UNKNOWN, NOT_EVERYWHERE])
        },
        KeyAction::Generate => Description {
            details: "A client may leave out the body only if the request itself says that it has none.",
            ..put("Generates a data key.", RequestSchema::Optional("Generate"), AnswerSchema::Json("DataKey"), USE)
        },
        KeyAction::Encrypt => {
            put("Encrypts a plaintext.", RequestSchema::Json("Encrypt"), AnswerSchema::Json("Ciphertext"), USE)
        }
        KeyAction::Decrypt => {
            put("Decrypts a ciphertext.", RequestSchema::Json("Decrypt"), AnswerSchema::Json("Plaintext"), DECRYPT)
        }
        KeyAction::BulkDecrypt => Description {
            details: "The answer has the order of the request. The first error fails the whole request.",
            ..put(
                "Decrypts many ciphertexts.",
                RequestSchema::Json("BulkDecrypt"),
                AnswerSchema::Json("Plaintexts"),
                DECRYPT,
            )
        },
        KeyAction::Hmac => {
            put("Computes the HMAC of a message.", RequestSchema::Json("HmacRequest"), AnswerSchema::Json("Hmac"), HMAC)
        }
        KeyAction::Rotate
        | KeyAction::Versions
        | KeyAction::Disable
        | KeyAction::Enable
        | KeyAction::Restore
        | KeyAction::Purge => version_or_deleted_key(action),
    }
}

/// Operations on the versions of a key and on deleted keys.
const fn version_or_deleted_key(action: KeyAction) -> Description {
    match action {
        KeyAction::Rotate => Description {
            details: "The server uses it from then on. Ciphertexts of older versions still decrypt.",
            ..put("Creates a new version of a key.", RequestSchema::None, AnswerSchema::Json("NewVersion"), ROTATE)
        },
        KeyAction::Versions => get("Lists the versions of a key.", AnswerSchema::Json("KeyVersions"), ORIGIN),
        KeyAction::Disable => put("Disables a version of a key.", VERSION, AnswerSchema::Empty, DISABLE),
        KeyAction::Enable => put("Enables a disabled version of a key.", VERSION, AnswerSchema::Empty, ENABLE),
        KeyAction::Restore => put("Restores a deleted key.", RequestSchema::None, AnswerSchema::Empty, RESTORE),
        _ => get("Removes a deleted key for good.", AnswerSchema::Empty, WAITING),
    }
}

const VERSION: RequestSchema = RequestSchema::Json("VersionChoice");

const KEY_EXISTS: Example = || ApiError::Kms(Error::KeyExists);

const KEY_WAITS: Example = || ApiError::Kms(Error::KeyWaiting { until: EXAMPLE_DATE });

const CREATE: &[Example] = &[KEY_EXISTS, KEY_WAITS, NO_LEADER, NO_ROOM, OUTCOME_UNKNOWN];

const IMPORT: &[Example] = &[
    || ApiError::ImportBody,
    KEY_EXISTS,
    || ApiError::Cipher(CipherError(ELLIPSIS.into())),
    || ApiError::KeySize(Cipher::Aes256),
    KEY_WAITS,
    NO_LEADER,
    NO_ROOM,
    OUTCOME_UNKNOWN,
];

const ORIGIN: &[Example] = &[NO_KEY, UNOPENABLE, NO_LEADER];

const USE: &[Example] = &[BAD_BODY, NO_KEY, NO_VERSION, DISABLED, UNOPENABLE, NO_LEADER];

const DECRYPT: &[Example] = &[BAD_BODY, NOT_AUTHENTIC, NO_KEY, NO_VERSION, DISABLED, UNOPENABLE, NO_LEADER];

const HMAC: &[Example] =
    &[BAD_BODY, NO_KEY, NO_VERSION, DISABLED, || ApiError::Kms(Error::NoHmac), UNOPENABLE, NO_LEADER];

const ROTATE: &[Example] =
    &[|| ApiError::Kms(Error::TooManyVersions), NO_KEY, UNOPENABLE, NO_LEADER, NO_ROOM, OUTCOME_UNKNOWN];

const DISABLE: &[Example] =
    &[BAD_BODY, || ApiError::Kms(Error::VersionNewest), NO_KEY, NO_VERSION, NO_LEADER, OUTCOME_UNKNOWN, NOT_EVERYWHERE];

const ENABLE: &[Example] = &[BAD_BODY, NO_KEY, NO_VERSION, NO_LEADER, NO_ROOM, OUTCOME_UNKNOWN];

const RESTORE: &[Example] = &[|| ApiError::Kms(Error::NothingWaiting), NO_LEADER, NO_ROOM, OUTCOME_UNKNOWN];

const WAITING: &[Example] = &[|| ApiError::Kms(Error::NothingWaiting), NO_LEADER, OUTCOME_UNKNOWN];

const fn policy(action: PolicyAction) -> Description {
    match action {
        PolicyAction::List => list("Lists policies.", AnswerSchema::JsonOrLines("PolicyNames", "NameLine")),
        PolicyAction::Describe => {
            get("Shows when and by whom a policy was created.", AnswerSchema::Json("PolicyDescription"), POLICY_READ)
        }
        PolicyAction::Read => get("Shows a policy with its patterns.", AnswerSchema::Json("Policy"), POLICY_READ),
        PolicyAction::Create => {
            put("Creates a policy.", RequestSchema::Json("PolicyRules"), AnswerSchema::Empty, POLICY_CREATE)
        }
        PolicyAction::Write => {
            put("Creates or replaces a policy.", RequestSchema::Json("PolicyRules"), AnswerSchema::Empty, POLICY_WRITE)
        }
        PolicyAction::Assign => Description {
            details: "A client cannot assign a policy to itself.",
            ..put(
                "Assigns a policy to an identity.",
                RequestSchema::Json("PolicyAssignment"),
                AnswerSchema::Empty,
                POLICY_ASSIGN,
            )
        },
        PolicyAction::Delete => Description {
            details: "Identities that have it lose access at once.",
            ..get("Deletes a policy.", AnswerSchema::Empty, &[NO_POLICY, NO_LEADER, OUTCOME_UNKNOWN, NOT_EVERYWHERE])
        },
    }
}

const POLICY_READ: &[Example] = &[NO_POLICY, NO_LEADER];

const BAD_PATTERN: Example =
    || ApiError::Pattern(PatternError { pattern: "/v1/*/create".into(), why: Unmatchable::StarInside });

const POLICY_CREATE: &[Example] = &[
    BAD_BODY,
    BAD_PATTERN,
    || ApiError::Kms(Error::PolicyExists),
    NO_LEADER,
    NO_ROOM,
    OUTCOME_UNKNOWN,
    NOT_EVERYWHERE,
];

const CHANGED: Example = || ApiError::Kms(Error::PolicyChanged);

const POLICY_WRITE: &[Example] = &[BAD_BODY, BAD_PATTERN, CHANGED, NO_LEADER, NO_ROOM, OUTCOME_UNKNOWN, NOT_EVERYWHERE];

const NOT_AN_IDENTITY: Example = || ApiError::Identity(IdentityError);

const POLICY_ASSIGN: &[Example] = &[
    BAD_BODY,
    INVALID_IDENTITY_NAME,
    IDENTITY_IS_ADMIN,
    NO_POLICY,
    NO_IDENTITY,
    NO_LEADER,
    NO_ROOM,
    OUTCOME_UNKNOWN,
    NOT_EVERYWHERE,
];

const IDENTITY_IS_ADMIN: Example = || ApiError::Kms(Error::IdentityIsAdmin);

const IDENTITY_OF_FILE: Example = || ApiError::Kms(Error::AdminOfFile);

const fn identity(action: IdentityAction) -> Description {
    match action {
        IdentityAction::Describe => get(
            "Shows whether an identity is an admin, or its policy.",
            AnswerSchema::Json("IdentityDescription"),
            &[NO_IDENTITY, NO_LEADER],
        ),
        IdentityAction::List => list("Lists identities.", AnswerSchema::JsonOrLines("Identities", "IdentityLine")),
        IdentityAction::DescribeSelf => {
            get("Shows the client's own identity and policy.", AnswerSchema::Json("SelfDescription"), &[NO_LEADER])
        }
        IdentityAction::Create => Description {
            details: "Only an admin can create an admin.",
            ..put(
                "Creates an identity, as an admin or with a policy.",
                RequestSchema::Json("NewIdentity"),
                AnswerSchema::Empty,
                IDENTITY_CREATE,
            )
        },
        IdentityAction::Delete => get("Deletes an identity.", AnswerSchema::Empty, IDENTITY_DELETE),
    }
}

const IDENTITY_CREATE: &[Example] = &[
    BAD_BODY,
    NOT_AN_IDENTITY,
    INVALID_POLICY_NAME,
    || ApiError::Kms(Error::IdentityExists),
    NO_POLICY,
    NO_LEADER,
    NO_ROOM,
    OUTCOME_UNKNOWN,
    NOT_EVERYWHERE,
];

const IDENTITY_DELETE: &[Example] =
    &[|| ApiError::Kms(Error::LastAdmin), IDENTITY_OF_FILE, NO_IDENTITY, NO_LEADER, OUTCOME_UNKNOWN, NOT_EVERYWHERE];

const fn list(summary: &'static str, answer: AnswerSchema) -> Description {
    Description { details: LISTING, ..get(summary, answer, LIST) }
}

const LISTING: &str = "The names are sorted by their bytes. The answer has every name that matches the prefix, as long \
    as it stays under 1 MiB. Beyond that, `continue_at` is the first name that it leaves out.";

const LIST: &[Example] = &[
    || ApiError::Prefix(PrefixError(ELLIPSIS.into())),
    || ApiError::Query(BadQuery::Limit(ELLIPSIS.into())),
    NO_LEADER,
];

const fn stream(log: LogAction) -> Description {
    let (summary, line) = match log {
        LogAction::Audit => ("Streams a record of every request.", "AuditEvent"),
        LogAction::Error => ("Streams the errors of the node.", "ErrorEvent"),
    };
    Description { details: STREAM, ..get(summary, AnswerSchema::Lines(line), &[BAD_TAIL, BAD_SWITCH]) }
}

const BAD_TAIL: Example = || bad_parameter("tail", "a number of events");

const BAD_SWITCH: Example = || bad_parameter("follow", "true or false");

fn bad_parameter(name: &'static str, want: &'static str) -> ApiError {
    ApiError::Query(BadQuery::Parameter(BadParameter { name, value: ELLIPSIS.into(), want }))
}

const STREAM: &str = "One event a line, without an end. The headers come at once. A reader that is too slow gets an \
    event that says how many it lost. The path also works with a slash at its end.";

const fn get(summary: &'static str, answer: AnswerSchema, errors: &'static [Example]) -> Description {
    put(summary, RequestSchema::None, answer, errors)
}

const fn put(
    summary: &'static str,
    request: RequestSchema,
    answer: AnswerSchema,
    errors: &'static [Example],
) -> Description {
    Description { summary, details: "", request, answer, errors }
}
