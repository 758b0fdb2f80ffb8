//! What each operation says of itself: a new one does not compile without its description.

use super::super::routes::{IdentityOp, KeyOp, Kind, Log, Op, PolicyOp, SystemOp};

/// An operation in words, and by the names of its schemas.
pub struct Description {
    /// One line.
    pub summary: &'static str,
    /// What the line leaves open; may be empty.
    pub details: &'static str,
    /// Its request body.
    pub request: Request,
    /// Its answer with status 200.
    pub answer: Answer,
    /// Statuses and texts of its own, beside those of the guard.
    pub refusals: &'static [Refusal],
}

/// A status and the text that comes with it.
pub type Refusal = (u16, &'static str);

/// A request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// None; one that is sent all the same is read and ignored.
    None,
    /// JSON of this schema, which may be left out.
    Optional(&'static str),
    /// JSON of this schema.
    Json(&'static str),
}

/// The body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// None.
    Empty,
    /// JSON of this schema.
    Json(&'static str),
    /// JSON of the first schema, or lines of the second when the client accepts them.
    JsonOrLines(&'static str, &'static str),
    /// Lines of JSON of this schema.
    Lines(&'static str),
    /// Metrics as Prometheus text.
    Metrics,
    /// Any JSON object: the description of this API.
    OpenApi,
}

const NO_LEADER: Refusal = (503, "no leader could be reached in time: nothing was changed");
const OUTCOME_UNKNOWN: Refusal =
    (503, "no answer from the leader in time: the outcome is unknown, the change may take effect or not");
const NOT_EVERYWHERE: Refusal = (
    503,
    "the change is made, but some nodes did not confirm it in time: they may go on as before until their lease runs out",
);
const NO_KEY: Refusal = (404, "key does not exist");
const NO_VERSION: Refusal = (404, "key version does not exist");
const BAD_BODY: Refusal = (400, "invalid request body");
const NOT_AUTHENTIC: Refusal = (400, "decryption failed: ciphertext is not authentic");
const DISABLED: Refusal = (409, "key version is disabled");
const UNOPENABLE: Refusal = (409, "key cannot be opened");
const NO_POLICY: Refusal = (404, "policy does not exist");
const NO_IDENTITY: Refusal = (404, "identity does not exist");

/// The description of an operation.
pub const fn describe(op: Op) -> Description {
    match op {
        Op::System(op) => system(op),
        Op::Key(op) => key(op),
        Op::Policy(op) => policy(op),
        Op::Identity(op) => identity(op),
        Op::List(kind) => list(kind),
        Op::Stream(log) => stream(log),
    }
}

const fn system(op: SystemOp) -> Description {
    match op {
        SystemOp::Version => get("Tells version and commit.", Answer::Json("Version"), &[]),
        SystemOp::Ready => Description {
            details: "A node that is not ready does not listen, so that there is no other answer.",
            ..get("Answers when the node is ready.", Answer::Empty, &[])
        },
        SystemOp::Status => get("Tells figures of the process and the keystore.", Answer::Json("Status"), &[]),
        SystemOp::Api => get("Lists every route, sorted by path.", Answer::Json("Routes"), &[]),
        SystemOp::OpenApi => get("Describes this API.", Answer::OpenApi, &[]),
        SystemOp::Metrics => get("Tells the metrics that KES has.", Answer::Metrics, &[]),
        SystemOp::ClusterStatus => get("Tells the cluster as this node sees it.", Answer::Json("ClusterStatus"), &[]),
        SystemOp::ClusterMetrics => get("Tells metrics of Raft and storage.", Answer::Metrics, &[]),
    }
}

const fn key(op: KeyOp) -> Description {
    match op {
        KeyOp::Create => put("Makes a key.", Request::None, Answer::Empty, CREATE),
        KeyOp::Import => Description {
            details: "Only an admin may say when and by whom it was made.",
            ..put("Makes a key of given material.", Request::Json("KeyImport"), Answer::Empty, IMPORT)
        },
        KeyOp::Describe => get("Tells a key's origin.", Answer::Json("KeyDescription"), ORIGIN),
        KeyOp::Delete => Description {
            details: "What it encrypted cannot be decrypted afterwards, unless it is restored within the window that \
                `keys.deletion_window` configures.",
            ..get("Removes a key.", Answer::Empty, &[NO_KEY, NO_LEADER, OUTCOME_UNKNOWN, NOT_EVERYWHERE])
        },
        KeyOp::Generate => Description {
            details: "A body may be left out only when the request says itself that it has none.",
            ..put("Makes a data key.", Request::Optional("Generate"), Answer::Json("DataKey"), USE)
        },
        KeyOp::Encrypt => put("Encrypts a plaintext.", Request::Json("Encrypt"), Answer::Json("Ciphertext"), USE),
        KeyOp::Decrypt => put("Decrypts a ciphertext.", Request::Json("Decrypt"), Answer::Json("Plaintext"), DECRYPT),
        KeyOp::BulkDecrypt => Description {
            details: "The answer has the order of the request; the first error fails all.",
            ..put("Decrypts many ciphertexts.", Request::Json("BulkDecrypt"), Answer::Json("Plaintexts"), DECRYPT)
        },
        KeyOp::Hmac => put("Authenticates a message.", Request::Json("HmacRequest"), Answer::Json("Hmac"), HMAC),
        KeyOp::Rotate | KeyOp::Versions | KeyOp::Disable | KeyOp::Enable | KeyOp::Restore | KeyOp::Purge => life(op),
    }
}

/// What becomes of a key and its versions; only reached with operations that do that.
const fn life(op: KeyOp) -> Description {
    match op {
        KeyOp::Rotate => Description {
            details: "It is used from then on; ciphertexts of older versions are decrypted as before.",
            ..put("Makes a new version of a key.", Request::None, Answer::Json("NewVersion"), ROTATE)
        },
        KeyOp::Versions => get("Tells of a key's versions.", Answer::Json("KeyVersions"), ORIGIN),
        KeyOp::Disable => put("Keeps a version from being used.", VERSION, Answer::Empty, DISABLE),
        KeyOp::Enable => put("Lets a disabled version be used again.", VERSION, Answer::Empty, ENABLE),
        KeyOp::Restore => put("Takes a deleted key back.", Request::None, Answer::Empty, WAITING),
        _ => get("Removes a deleted key for good.", Answer::Empty, WAITING),
    }
}

const VERSION: Request = Request::Json("VersionChoice");

const KEY_EXISTS: Refusal = (400, "key already exists");

const KEY_WAITS: Refusal = (409, "a deleted key of this name can be restored until …: restore it, or use another name");

const CREATE: &[Refusal] = &[KEY_EXISTS, KEY_WAITS, NO_LEADER, OUTCOME_UNKNOWN];

const IMPORT: &[Refusal] = &[
    (400, "invalid import key request body"),
    KEY_EXISTS,
    (406, "algorithm '…' is not supported"),
    (406, "invalid key size for '…'"),
    KEY_WAITS,
    NO_LEADER,
    OUTCOME_UNKNOWN,
];

const ORIGIN: &[Refusal] = &[NO_KEY, UNOPENABLE, NO_LEADER];

const USE: &[Refusal] = &[BAD_BODY, NO_KEY, NO_VERSION, DISABLED, UNOPENABLE, NO_LEADER];

const DECRYPT: &[Refusal] = &[BAD_BODY, NOT_AUTHENTIC, NO_KEY, NO_VERSION, DISABLED, UNOPENABLE, NO_LEADER];

const HMAC: &[Refusal] =
    &[BAD_BODY, NO_KEY, NO_VERSION, DISABLED, (409, "key does not support HMAC"), UNOPENABLE, NO_LEADER];

const ROTATE: &[Refusal] = &[
    (400, "the key has as many versions as a key may have: make a new key"),
    NO_KEY,
    UNOPENABLE,
    NO_LEADER,
    OUTCOME_UNKNOWN,
];

const DISABLE: &[Refusal] = &[
    BAD_BODY,
    (400, "the newest version of a key cannot be disabled: rotate the key first"),
    NO_KEY,
    NO_VERSION,
    NO_LEADER,
    OUTCOME_UNKNOWN,
    NOT_EVERYWHERE,
];

const ENABLE: &[Refusal] = &[BAD_BODY, NO_KEY, NO_VERSION, NO_LEADER, OUTCOME_UNKNOWN];

const WAITING: &[Refusal] = &[(404, "no deleted key of this name can be restored"), NO_LEADER, OUTCOME_UNKNOWN];

const fn policy(op: PolicyOp) -> Description {
    match op {
        PolicyOp::Describe => get("Tells a policy's origin.", Answer::Json("PolicyDescription"), POLICY_READ),
        PolicyOp::Read => get("Reads a policy.", Answer::Json("Policy"), POLICY_READ),
        PolicyOp::Create => put("Makes a policy.", Request::Json("PolicyRules"), Answer::Empty, POLICY_CREATE),
        PolicyOp::Write => {
            put("Makes or replaces a policy.", Request::Json("PolicyRules"), Answer::Empty, POLICY_WRITE)
        }
        PolicyOp::Assign => Description {
            details: "Nobody assigns a policy to themselves.",
            ..put("Gives a policy to an identity.", Request::Json("PolicyAssignment"), Answer::Empty, POLICY_ASSIGN)
        },
        PolicyOp::Delete => Description {
            details: "Identities that have it lose access at once.",
            ..get("Removes a policy.", Answer::Empty, &[NO_POLICY, NO_LEADER, OUTCOME_UNKNOWN, NOT_EVERYWHERE])
        },
    }
}

const POLICY_READ: &[Refusal] = &[NO_POLICY, NO_LEADER];

const BAD_PATTERN: Refusal = (400, "pattern '…' can never match: …");

const POLICY_CREATE: &[Refusal] =
    &[BAD_BODY, BAD_PATTERN, (400, "policy already exists"), NO_LEADER, OUTCOME_UNKNOWN, NOT_EVERYWHERE];

const CHANGED: Refusal = (412, "the policy was changed meanwhile: read it again, and change that");

const POLICY_WRITE: &[Refusal] = &[BAD_BODY, BAD_PATTERN, CHANGED, NO_LEADER, OUTCOME_UNKNOWN, NOT_EVERYWHERE];

const NO_DIGITS: Refusal = (400, "an identity is 64 lower-case hexadecimal digits, as `keyraft identity of` prints it");

const POLICY_ASSIGN: &[Refusal] = &[
    BAD_BODY,
    (400, "identity '…' is empty, too long or contains invalid characters"),
    IDENTITY_IS_ADMIN,
    NO_POLICY,
    NO_IDENTITY,
    NO_LEADER,
    OUTCOME_UNKNOWN,
    NOT_EVERYWHERE,
];

const IDENTITY_IS_ADMIN: Refusal = (400, "the identity is an admin: no policy can be assigned to it");

const IDENTITY_OF_FILE: Refusal = (400, "the identity is the admin of the configuration file: change it there");

const fn identity(op: IdentityOp) -> Description {
    match op {
        IdentityOp::Describe => {
            get("Tells what an identity is.", Answer::Json("IdentityDescription"), &[NO_IDENTITY, NO_LEADER])
        }
        IdentityOp::SelfDescribe => {
            get("Tells the client what it is, and may do.", Answer::Json("SelfDescription"), &[NO_LEADER])
        }
        IdentityOp::Create => Description {
            details: "Only an admin makes an admin.",
            ..put("Makes an identity known.", Request::Json("NewIdentity"), Answer::Empty, IDENTITY_CREATE)
        },
        IdentityOp::Delete => get("Forgets an identity.", Answer::Empty, IDENTITY_DELETE),
    }
}

const IDENTITY_CREATE: &[Refusal] = &[
    BAD_BODY,
    NO_DIGITS,
    (400, "policy name '…' is empty, too long or contains invalid characters"),
    (400, "identity already exists"),
    NO_POLICY,
    NO_LEADER,
    OUTCOME_UNKNOWN,
    NOT_EVERYWHERE,
];

const IDENTITY_DELETE: &[Refusal] = &[
    (400, "the identity is the last admin: make another one first"),
    IDENTITY_OF_FILE,
    NO_IDENTITY,
    NO_LEADER,
    OUTCOME_UNKNOWN,
    NOT_EVERYWHERE,
];

const fn list(kind: Kind) -> Description {
    let (summary, answer) = match kind {
        Kind::Keys => ("Lists keys.", Answer::JsonOrLines("KeyNames", "NameLine")),
        Kind::Policies => ("Lists policies.", Answer::JsonOrLines("PolicyNames", "NameLine")),
        Kind::Identities => ("Lists identities.", Answer::JsonOrLines("Identities", "IdentityLine")),
    };
    Description { details: LISTING, ..get(summary, answer, LIST) }
}

const LISTING: &str = "Sorted by bytes; all that match the prefix, while the answer stays under 1 MiB. `continue_at` \
    then names the first one left out.";

const LIST: &[Refusal] = &[
    (400, "listing pattern '…' is empty, too long or is invalid"),
    (400, "limit '…' is not a positive number"),
    NO_LEADER,
];

const fn stream(log: Log) -> Description {
    let (summary, line) = match log {
        Log::Audit => ("Streams a record of every request.", "AuditEvent"),
        Log::Error => ("Streams errors of the program.", "ErrorEvent"),
    };
    Description {
        details: STREAM,
        ..get(summary, Answer::Lines(line), &[(400, "`tail`, `follow` or `cluster` is wrong")])
    }
}

const STREAM: &str = "One event a line, without end; the headers come at once. A reader that is too slow is told how \
    many events it lost. The path is served with a slash at its end too.";

const fn get(summary: &'static str, answer: Answer, refusals: &'static [Refusal]) -> Description {
    put(summary, Request::None, answer, refusals)
}

const fn put(summary: &'static str, request: Request, answer: Answer, refusals: &'static [Refusal]) -> Description {
    Description { summary, details: "", request, answer, refusals }
}
