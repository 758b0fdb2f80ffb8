//! The route table: every endpoint as data, and the match of a decoded path against it (wire contract, "Endpoints").

use std::fmt;
use std::time::Duration;

/// The largest body of a route that reads one, and how much of one is read and ignored elsewhere.
pub const MAX_BODY: usize = 1_000_000;
/// The largest body of decrypt, so that whatever encrypt made can come back.
const MAX_CIPHERTEXT_BODY: usize = 1 << 20;
/// Timeout of what asks no other node.
const SHORT: Option<Duration> = Some(Duration::from_secs(10));
/// Timeout of most routes.
pub const USUAL: Option<Duration> = Some(Duration::from_secs(15));

/// One endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path; the prefix of one, ending in a slash, when a name follows.
    pub path: &'static str,
    /// Whether a name, or the prefix of one, follows the path.
    pub takes_name: bool,
    /// The largest body it reads; 0 when it reads none.
    pub max_body: usize,
    /// How long it may take; as long as it likes when there is none.
    pub timeout: Option<Duration>,
    /// What it asks of its client.
    pub auth: Auth,
    /// What it does.
    pub op: Op,
}

/// The method of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// PUT, or POST.
    Put,
    /// DELETE.
    Delete,
}

/// What a route asks of its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// A certificate, whoever's it is.
    Certificate,
    /// A certificate, and a policy that lets it.
    Policy,
}

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Tells about the node.
    System(SystemOp),
    /// Does something with a key.
    Key(KeyOp),
    /// Does something with a policy.
    Policy(PolicyOp),
    /// Does something with an identity.
    Identity(IdentityOp),
    /// Names of one kind.
    List(Kind),
    /// The events of a log, as they happen.
    Stream(Log),
}

/// Operations that tell about the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemOp {
    /// Version and commit.
    Version,
    /// Whether it can serve.
    Ready,
    /// Figures of the process and the keystore.
    Status,
    /// The route table.
    Api,
    /// The description of this API.
    OpenApi,
    /// The metrics that KES has.
    Metrics,
    /// The cluster as this node sees it.
    ClusterStatus,
    /// Metrics of Raft and storage.
    ClusterMetrics,
}

/// Operations on one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOp {
    /// Makes one.
    Create,
    /// Makes one of given material.
    Import,
    /// Tells its origin.
    Describe,
    /// Removes it.
    Delete,
    /// Makes a data key.
    Generate,
    /// Seals a plaintext.
    Encrypt,
    /// Opens a ciphertext.
    Decrypt,
    /// Opens many.
    BulkDecrypt,
    /// Authenticates a message.
    Hmac,
    /// Makes a new version.
    Rotate,
    /// Tells of its versions.
    Versions,
    /// Keeps a version from being used.
    Disable,
    /// Lets a disabled version be used again.
    Enable,
    /// Takes a deleted one back.
    Restore,
    /// Removes a deleted one for good.
    Purge,
}

/// Operations on one policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyOp {
    /// Its origin.
    Describe,
    /// Its patterns too.
    Read,
    /// Makes one.
    Create,
    /// Makes or replaces one.
    Write,
    /// Gives it to an identity.
    Assign,
    /// Removes it.
    Delete,
}

/// Operations on one identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityOp {
    /// Any.
    Describe,
    /// The client's own.
    SelfDescribe,
    /// Makes one known.
    Create,
    /// Forgets one.
    Delete,
}

/// What has names to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Keys.
    Keys,
    /// Policies.
    Policies,
    /// Identities.
    Identities,
}

/// What is streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// A record of every request.
    Audit,
    /// Errors of this program.
    Error,
}

/// A path's route, and the name that follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched<'p> {
    /// Its place in [`ROUTES`].
    pub index: usize,
    /// The route.
    pub route: &'static Route,
    /// What follows the route's path; empty when it takes no name.
    pub name: &'p str,
}

/// Every route, sorted by path.
pub static ROUTES: [Route; 40] = {
    use Auth::{Certificate, Policy};
    use Method::{Delete, Get, Put};
    const AUDIT: Op = Op::Stream(Log::Audit);
    const ERROR: Op = Op::Stream(Log::Error);
    [
        exact("/v1/api", SHORT, Policy, Op::System(SystemOp::Api)),
        exact("/v1/cluster/metrics", USUAL, Policy, Op::System(SystemOp::ClusterMetrics)),
        exact("/v1/cluster/status", USUAL, Policy, Op::System(SystemOp::ClusterStatus)),
        named(Put, "/v1/identity/create/", MAX_BODY, Op::Identity(IdentityOp::Create)),
        named(Delete, "/v1/identity/delete/", 0, Op::Identity(IdentityOp::Delete)),
        named(Get, "/v1/identity/describe/", 0, Op::Identity(IdentityOp::Describe)),
        named(Get, "/v1/identity/list/", 0, Op::List(Kind::Identities)),
        exact("/v1/identity/self/describe", USUAL, Certificate, Op::Identity(IdentityOp::SelfDescribe)),
        named(Put, "/v1/key/bulk/decrypt/", MAX_CIPHERTEXT_BODY, Op::Key(KeyOp::BulkDecrypt)),
        named(Put, "/v1/key/create/", 0, Op::Key(KeyOp::Create)),
        named(Put, "/v1/key/decrypt/", MAX_CIPHERTEXT_BODY, Op::Key(KeyOp::Decrypt)),
        named(Delete, "/v1/key/delete/", 0, Op::Key(KeyOp::Delete)),
        named(Get, "/v1/key/describe/", 0, Op::Key(KeyOp::Describe)),
        named(Put, "/v1/key/disable/", MAX_BODY, Op::Key(KeyOp::Disable)),
        named(Put, "/v1/key/enable/", MAX_BODY, Op::Key(KeyOp::Enable)),
        named(Put, "/v1/key/encrypt/", MAX_BODY, Op::Key(KeyOp::Encrypt)),
        named(Put, "/v1/key/generate/", MAX_BODY, Op::Key(KeyOp::Generate)),
        named(Put, "/v1/key/hmac/", MAX_BODY, Op::Key(KeyOp::Hmac)),
        named(Put, "/v1/key/import/", MAX_BODY, Op::Key(KeyOp::Import)),
        named(Get, "/v1/key/list/", 0, Op::List(Kind::Keys)),
        named(Delete, "/v1/key/purge/", 0, Op::Key(KeyOp::Purge)),
        named(Put, "/v1/key/restore/", 0, Op::Key(KeyOp::Restore)),
        named(Put, "/v1/key/rotate/", 0, Op::Key(KeyOp::Rotate)),
        named(Get, "/v1/key/versions/", 0, Op::Key(KeyOp::Versions)),
        exact("/v1/log/audit", None, Policy, AUDIT),
        exact("/v1/log/audit/trace", None, Policy, AUDIT),
        exact("/v1/log/error", None, Policy, ERROR),
        exact("/v1/log/error/trace", None, Policy, ERROR),
        exact("/v1/metrics", USUAL, Policy, Op::System(SystemOp::Metrics)),
        exact("/v1/openapi.json", SHORT, Certificate, Op::System(SystemOp::OpenApi)),
        named(Put, "/v1/policy/assign/", MAX_BODY, Op::Policy(PolicyOp::Assign)),
        named(Put, "/v1/policy/create/", MAX_BODY, Op::Policy(PolicyOp::Create)),
        named(Delete, "/v1/policy/delete/", 0, Op::Policy(PolicyOp::Delete)),
        named(Get, "/v1/policy/describe/", 0, Op::Policy(PolicyOp::Describe)),
        named(Get, "/v1/policy/list/", 0, Op::List(Kind::Policies)),
        named(Get, "/v1/policy/read/", 0, Op::Policy(PolicyOp::Read)),
        named(Put, "/v1/policy/write/", MAX_BODY, Op::Policy(PolicyOp::Write)),
        exact("/v1/ready", USUAL, Policy, Op::System(SystemOp::Ready)),
        exact("/v1/status", USUAL, Policy, Op::System(SystemOp::Status)),
        exact("/version", SHORT, Certificate, Op::System(SystemOp::Version)),
    ]
};

const fn exact(path: &'static str, timeout: Option<Duration>, auth: Auth, op: Op) -> Route {
    Route { method: Method::Get, path, takes_name: false, max_body: 0, timeout, auth, op }
}

const fn named(method: Method, path: &'static str, max_body: usize, op: Op) -> Route {
    Route { method, path, takes_name: true, max_body, timeout: USUAL, auth: Auth::Policy, op }
}

/// The route of a decoded path.
///
/// No path that takes a name is the beginning of another, so that the greatest path not above this one is the only
/// candidate.
pub fn find(path: &str) -> Option<Matched<'_>> {
    let index = ROUTES.partition_point(|route| route.path <= path).checked_sub(1);
    let candidate = index.and_then(|index| {
        let route = &ROUTES[index];
        let name = path.strip_prefix(route.path)?;
        (route.takes_name || name.is_empty()).then_some(Matched { index, route, name })
    });
    candidate.or_else(|| find_twin(path))
}

/// Listings of everything are served without their slash too, log streams with one (wire contract, "Bodies and headers"
/// and "Streams, metrics and status").
fn find_twin(path: &str) -> Option<Matched<'_>> {
    let bare = |path: &str| path.strip_suffix('/').unwrap_or(path).len();
    let index = ROUTES.iter().position(|route| {
        matches!(route.op, Op::List(_) | Op::Stream(_)) && route.path[..bare(route.path)] == path[..bare(path)]
    })?;
    Some(Matched { index, route: &ROUTES[index], name: "" })
}

impl Route {
    /// Whether a request with this method is for the route. `HEAD` is wherever `GET` is, but for log streams, which have
    /// no end (wire contract, "Endpoints").
    pub fn accepts(&self, method: &http::Method) -> bool {
        self.method.accepts(method) || self.has_head() && *method == http::Method::HEAD
    }

    /// Every method that the route takes, as the `Allow` header has them.
    pub const fn allowed(&self) -> &'static str {
        match self.method {
            Method::Get if self.has_head() => "GET, HEAD",
            Method::Put => "PUT, POST",
            Method::Get | Method::Delete => self.method.as_str(),
        }
    }

    const fn has_head(&self) -> bool {
        matches!(self.method, Method::Get) && !matches!(self.op, Op::Stream(_))
    }

    /// Whether a request may change something.
    pub fn writes(&self) -> bool {
        match self.op {
            Op::Key(op) => op.writes(),
            Op::Policy(op) => !matches!(op, PolicyOp::Describe | PolicyOp::Read),
            Op::Identity(op) => matches!(op, IdentityOp::Create | IdentityOp::Delete),
            Op::System(_) | Op::List(_) | Op::Stream(_) => false,
        }
    }
}

impl KeyOp {
    fn writes(self) -> bool {
        match self {
            Self::Create | Self::Import | Self::Delete | Self::Rotate => true,
            Self::Disable | Self::Enable | Self::Restore | Self::Purge => true,
            Self::Describe | Self::Generate | Self::Encrypt | Self::Decrypt => false,
            Self::BulkDecrypt | Self::Hmac | Self::Versions => false,
        }
    }
}

impl Method {
    /// The method's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    fn accepts(self, method: &http::Method) -> bool {
        match self {
            Self::Get => *method == http::Method::GET,
            Self::Put => *method == http::Method::PUT || *method == http::Method::POST,
            Self::Delete => *method == http::Method::DELETE,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_no_name_hides_another_route() {
        assert!(ROUTES.is_sorted_by(|a, b| a.path < b.path));
        for named in ROUTES.iter().filter(|route| route.takes_name) {
            assert!(named.path.ends_with('/'));
            let beginnings = ROUTES.iter().filter(|route| route.path.starts_with(named.path)).count();
            assert_eq!(beginnings, 1, "{}", named.path);
        }
    }

    #[test]
    fn every_put_accepts_post_and_nothing_else_does() {
        for route in &ROUTES {
            let put = route.method == Method::Put;
            assert_eq!(route.accepts(&http::Method::POST), put, "{}", route.path);
            assert!(route.accepts(&route.method.as_str().parse().unwrap()));
        }
    }

    #[test]
    fn head_is_accepted_wherever_get_is_but_not_for_streams() {
        for route in &ROUTES {
            let head = route.method == Method::Get && !route.path.starts_with("/v1/log/");
            assert_eq!(route.accepts(&http::Method::HEAD), head, "{}", route.path);
            let allowed = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"];
            let accepted = allowed.into_iter().filter(|method| route.accepts(&method.parse().unwrap()));
            assert_eq!(accepted.collect::<Vec<_>>().join(", "), route.allowed(), "{}", route.path);
        }
    }

    #[test]
    fn bodies_are_read_where_something_is_put() {
        for route in &ROUTES {
            let bare = ["/v1/key/create/", "/v1/key/restore/", "/v1/key/rotate/"];
            let reads = route.method == Method::Put && !bare.contains(&route.path);
            assert_eq!(route.max_body > 0, reads, "{}", route.path);
        }
    }

    #[test]
    fn a_path_finds_its_route_and_name() {
        let found = |path| find(path).map(|matched| (matched.route.path, matched.name));
        for (path, expected) in [
            ("/version", Some(("/version", ""))),
            ("/v1/key/create/a", Some(("/v1/key/create/", "a"))),
            ("/v1/key/create/", Some(("/v1/key/create/", ""))),
            ("/v1/key/create/a/b", Some(("/v1/key/create/", "a/b"))),
            ("/v1/key/bulk/decrypt/a", Some(("/v1/key/bulk/decrypt/", "a"))),
            ("/v1/key/list", Some(("/v1/key/list/", ""))),
            ("/v1/key/list/", Some(("/v1/key/list/", ""))),
            ("/v1/policy/list", Some(("/v1/policy/list/", ""))),
            ("/v1/identity/list", Some(("/v1/identity/list/", ""))),
            ("/v1/identity/self/describe", Some(("/v1/identity/self/describe", ""))),
            ("/v1/log/audit/", Some(("/v1/log/audit", ""))),
            ("/v1/log/error/trace/", Some(("/v1/log/error/trace", ""))),
            ("/v1/key/create", None),
            ("/version/", None),
            ("/v1/ready/", None),
            ("//version", None),
            ("/v1/identity/self/describe/x", None),
            ("/v1/log/audit/x", None),
            ("/v1/log/audit//", None),
            ("", None),
            ("*", None),
            ("/zzz", None),
        ] {
            assert_eq!(found(path), expected, "{path}");
        }
    }

    #[test]
    fn every_route_is_found_by_its_own_path() {
        for (index, route) in ROUTES.iter().enumerate() {
            assert_eq!(find(route.path), Some(Matched { index, route, name: "" }));
        }
    }
}
