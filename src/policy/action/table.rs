//! The table of actions: every path by which a client can ask for one.

use super::kind::{ActionKind, ClusterAction, IdentityAction, KeyAction, LogAction, PolicyAction, SystemAction};
use crate::policy::NameKind;

/// A row of the table: a path, up to where a name follows, and the action that it asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct ActionPath {
    /// The path. It ends in a slash when a name follows.
    pub path: &'static str,
    /// The action.
    pub kind: ActionKind,
    /// What follows the path.
    pub name: NameInPath,
    /// What commands in the log call the action; 0 for an alias. A number never changes, and no other action gets it.
    pub number: u32,
}

/// What follows the path of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameInPath {
    /// Nothing.
    Nothing,
    /// A name of this kind.
    Name(NameKind),
    /// The beginning of the names to list, which may be empty.
    Prefix,
}

impl ActionPath {
    /// Whether it is another path of an action that has a row of its own.
    pub const fn is_alias(&self) -> bool {
        self.number == 0
    }
}

/// Every path, sorted.
///
/// A listing of everything is served without its slash too. Logs are served with a slash at the end, and under their
/// older names (wire contract, "Bodies and headers" and "Streams, metrics and status").
pub static PATHS: [ActionPath; 47] = {
    use ActionKind::{Cluster, Identity, Key, Log, Policy, System};
    use NameKind as Name;
    [
        plain(4, "/v1/api", System(SystemAction::Api)),
        plain(12, "/v1/cluster/metrics", Cluster(ClusterAction::Metrics)),
        plain(11, "/v1/cluster/status", Cluster(ClusterAction::Status)),
        named(84, "/v1/identity/create/", Name::Identity, Identity(IdentityAction::Create)),
        named(85, "/v1/identity/delete/", Name::Identity, Identity(IdentityAction::Delete)),
        named(81, "/v1/identity/describe/", Name::Identity, Identity(IdentityAction::Describe)),
        alias("/v1/identity/list", Identity(IdentityAction::List)),
        listing(83, "/v1/identity/list/", Identity(IdentityAction::List)),
        plain(82, "/v1/identity/self/describe", Identity(IdentityAction::DescribeSelf)),
        named(39, "/v1/key/bulk/decrypt/", Name::Key, Key(KeyAction::BulkDecrypt)),
        named(31, "/v1/key/create/", Name::Key, Key(KeyAction::Create)),
        named(38, "/v1/key/decrypt/", Name::Key, Key(KeyAction::Decrypt)),
        named(34, "/v1/key/delete/", Name::Key, Key(KeyAction::Delete)),
        named(33, "/v1/key/describe/", Name::Key, Key(KeyAction::Describe)),
        named(43, "/v1/key/disable/", Name::Key, Key(KeyAction::Disable)),
        named(44, "/v1/key/enable/", Name::Key, Key(KeyAction::Enable)),
        named(37, "/v1/key/encrypt/", Name::Key, Key(KeyAction::Encrypt)),
        named(36, "/v1/key/generate/", Name::Key, Key(KeyAction::Generate)),
        named(40, "/v1/key/hmac/", Name::Key, Key(KeyAction::Hmac)),
        named(32, "/v1/key/import/", Name::Key, Key(KeyAction::Import)),
        alias("/v1/key/list", Key(KeyAction::List)),
        listing(35, "/v1/key/list/", Key(KeyAction::List)),
        named(46, "/v1/key/purge/", Name::Key, Key(KeyAction::Purge)),
        named(45, "/v1/key/restore/", Name::Key, Key(KeyAction::Restore)),
        named(41, "/v1/key/rotate/", Name::Key, Key(KeyAction::Rotate)),
        named(42, "/v1/key/versions/", Name::Key, Key(KeyAction::Versions)),
        plain(21, "/v1/log/audit", Log(LogAction::Audit)),
        alias("/v1/log/audit/", Log(LogAction::Audit)),
        alias("/v1/log/audit/trace", Log(LogAction::Audit)),
        alias("/v1/log/audit/trace/", Log(LogAction::Audit)),
        plain(22, "/v1/log/error", Log(LogAction::Error)),
        alias("/v1/log/error/", Log(LogAction::Error)),
        alias("/v1/log/error/trace", Log(LogAction::Error)),
        alias("/v1/log/error/trace/", Log(LogAction::Error)),
        plain(6, "/v1/metrics", System(SystemAction::Metrics)),
        plain(5, "/v1/openapi.json", System(SystemAction::OpenApi)),
        named(66, "/v1/policy/assign/", Name::Policy, Policy(PolicyAction::Assign)),
        named(64, "/v1/policy/create/", Name::Policy, Policy(PolicyAction::Create)),
        named(67, "/v1/policy/delete/", Name::Policy, Policy(PolicyAction::Delete)),
        named(61, "/v1/policy/describe/", Name::Policy, Policy(PolicyAction::Describe)),
        alias("/v1/policy/list", Policy(PolicyAction::List)),
        listing(63, "/v1/policy/list/", Policy(PolicyAction::List)),
        named(62, "/v1/policy/read/", Name::Policy, Policy(PolicyAction::Read)),
        named(65, "/v1/policy/write/", Name::Policy, Policy(PolicyAction::Write)),
        plain(2, "/v1/ready", System(SystemAction::Ready)),
        plain(3, "/v1/status", System(SystemAction::Status)),
        plain(1, "/version", System(SystemAction::Version)),
    ]
};

const fn plain(number: u32, path: &'static str, kind: ActionKind) -> ActionPath {
    ActionPath { path, kind, name: NameInPath::Nothing, number }
}

const fn named(number: u32, path: &'static str, name: NameKind, kind: ActionKind) -> ActionPath {
    ActionPath { path, kind, name: NameInPath::Name(name), number }
}

const fn listing(number: u32, path: &'static str, kind: ActionKind) -> ActionPath {
    ActionPath { path, kind, name: NameInPath::Prefix, number }
}

/// Another whole path of an action; no name follows it.
const fn alias(path: &'static str, kind: ActionKind) -> ActionPath {
    plain(0, path, kind)
}
