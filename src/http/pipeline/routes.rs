//! The route table: the method, the largest body, the timeout and the client that each path wants (wire contract,
//! "Endpoints").

use std::fmt;
use std::time::Duration;

use crate::policy::{
    self, Action, ActionKind, ActionPath, IdentityAction, KeyAction, PATHS, PolicyAction, SystemAction,
};

/// The largest body of a route that reads one, and how much of one is read and ignored elsewhere.
pub const MAX_BODY: usize = 1_000_000;
/// The largest body of decrypt: large enough for every answer of encrypt.
const MAX_CIPHERTEXT_BODY: usize = 1 << 20;
/// Timeout of routes that ask no other node.
const SHORT: Option<Duration> = Some(Duration::from_secs(10));
/// Timeout of most routes.
pub const USUAL: Option<Duration> = Some(Duration::from_secs(15));

/// One endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// What a request to it asks for.
    pub action: ActionKind,
    /// Its path. It ends in a slash when a name follows.
    pub path: &'static str,
    /// Whether `/v1/api` lists it.
    pub listed: bool,
    /// Its method.
    pub method: Method,
    /// The largest body that it reads, in bytes; 0 when it reads none.
    pub max_body: usize,
    /// How long a request may take; without a limit for log streams.
    pub timeout: Option<Duration>,
    /// What it asks of its client.
    pub auth: Auth,
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
    /// A certificate, of any client.
    Certificate,
    /// A certificate, and a policy that allows the action.
    Policy,
}

/// The route of a request, and what the request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatchedRoute<'p> {
    /// The place of the route in [`ROUTES`].
    pub index: usize,
    /// The route.
    pub route: &'static Route,
    /// What the request asks for.
    pub action: Action<'p>,
}

/// A route for each path of each action, sorted by path.
pub static ROUTES: [Route; PATHS.len()] = {
    let mut routes = [Route::of(&PATHS[0]); PATHS.len()];
    let mut index = 0;
    while index < PATHS.len() {
        routes[index] = Route::of(&PATHS[index]);
        index += 1;
    }
    routes
};

/// The route of a decoded path.
pub fn find(path: &str) -> Option<MatchedRoute<'_>> {
    let (index, action) = policy::find(path)?;
    Some(MatchedRoute { index, route: &ROUTES[index], action })
}

impl Route {
    const fn of(row: &ActionPath) -> Self {
        let (method, max_body) = match row.kind {
            ActionKind::Key(action) => key(action),
            ActionKind::Policy(action) => policy(action),
            ActionKind::Identity(action) => identity(action),
            ActionKind::Log(_) | ActionKind::Cluster(_) | ActionKind::System(_) => (Method::Get, 0),
        };
        let timeout = match row.kind {
            ActionKind::Log(_) => None,
            ActionKind::System(SystemAction::Version | SystemAction::Api | SystemAction::OpenApi) => SHORT,
            _ => USUAL,
        };
        let auth = match row.kind {
            ActionKind::System(SystemAction::Version | SystemAction::OpenApi)
            | ActionKind::Identity(IdentityAction::DescribeSelf) => Auth::Certificate,
            _ => Auth::Policy,
        };
        Self { action: row.kind, path: row.path, listed: is_listed(row), method, max_body, timeout, auth }
    }

    /// Whether a request with this method is for the route. `HEAD` is accepted wherever `GET` is, except for log
    /// streams, which have no end (wire contract, "Endpoints").
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
        matches!(self.method, Method::Get) && !matches!(self.action, ActionKind::Log(_))
    }

    /// Whether a request may change something.
    pub fn writes(&self) -> bool {
        match self.action {
            ActionKind::Key(action) => key_writes(action),
            ActionKind::Policy(action) => {
                !matches!(action, PolicyAction::Describe | PolicyAction::Read | PolicyAction::List)
            }
            ActionKind::Identity(action) => matches!(action, IdentityAction::Create | IdentityAction::Delete),
            ActionKind::Log(_) | ActionKind::Cluster(_) | ActionKind::System(_) => false,
        }
    }
}

/// `/v1/api` lists each action once, and the older names of the logs.
const fn is_listed(row: &ActionPath) -> bool {
    !row.is_alias() || matches!(row.kind, ActionKind::Log(_)) && !matches!(row.path.as_bytes(), [.., b'/'])
}

/// The method and the largest body of an action on keys.
const fn key(action: KeyAction) -> (Method, usize) {
    match action {
        KeyAction::Describe | KeyAction::List | KeyAction::Versions => (Method::Get, 0),
        KeyAction::Delete | KeyAction::Purge => (Method::Delete, 0),
        KeyAction::Create | KeyAction::Rotate | KeyAction::Restore => (Method::Put, 0),
        KeyAction::Decrypt | KeyAction::BulkDecrypt => (Method::Put, MAX_CIPHERTEXT_BODY),
        KeyAction::Import | KeyAction::Generate | KeyAction::Encrypt => (Method::Put, MAX_BODY),
        KeyAction::Hmac | KeyAction::Disable | KeyAction::Enable => (Method::Put, MAX_BODY),
    }
}

/// The method and the largest body of an action on policies.
const fn policy(action: PolicyAction) -> (Method, usize) {
    match action {
        PolicyAction::Describe | PolicyAction::Read | PolicyAction::List => (Method::Get, 0),
        PolicyAction::Delete => (Method::Delete, 0),
        PolicyAction::Create | PolicyAction::Write | PolicyAction::Assign => (Method::Put, MAX_BODY),
    }
}

/// The method and the largest body of an action on identities.
const fn identity(action: IdentityAction) -> (Method, usize) {
    match action {
        IdentityAction::Describe | IdentityAction::DescribeSelf | IdentityAction::List => (Method::Get, 0),
        IdentityAction::Delete => (Method::Delete, 0),
        IdentityAction::Create => (Method::Put, MAX_BODY),
    }
}

fn key_writes(action: KeyAction) -> bool {
    match action {
        KeyAction::Create | KeyAction::Import | KeyAction::Delete | KeyAction::Rotate => true,
        KeyAction::Disable | KeyAction::Enable | KeyAction::Restore | KeyAction::Purge => true,
        KeyAction::Describe | KeyAction::List | KeyAction::Versions => false,
        KeyAction::Generate | KeyAction::Encrypt | KeyAction::Decrypt => false,
        KeyAction::BulkDecrypt | KeyAction::Hmac => false,
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

    fn by_path(path: &str) -> Route {
        *find(path).expect("a route").route
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
            let without = ["/v1/key/create/", "/v1/key/restore/", "/v1/key/rotate/"];
            let reads = route.method == Method::Put && !without.contains(&route.path);
            assert_eq!(route.max_body > 0, reads, "{}", route.path);
        }
    }

    #[test]
    fn an_alias_is_served_like_its_action_and_listed_only_if_it_is_an_older_name() {
        for (alias, path) in [("/v1/key/list", "/v1/key/list/"), ("/v1/log/error/trace/", "/v1/log/error")] {
            let own = by_path(path);
            assert_eq!(by_path(alias), Route { path: by_path(alias).path, listed: false, ..own });
            assert!(own.listed);
        }
        let listed: Vec<_> = ROUTES.iter().filter(|route| route.listed).map(|route| route.path).collect();
        assert_eq!(listed.len(), 40);
        assert!(listed.contains(&"/v1/log/audit/trace"));
    }
}
