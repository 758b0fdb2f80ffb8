//! A second opinion on who may do what. It uses nothing of `keyraft`, and is slower, simpler and built in another way, so
//! that both are unlikely to have the same mistake.
//!
//! It is written from the wire contract: "Endpoints", "Bodies and headers", "Errors", "Identity and TLS" and "Policies".

use std::sync::LazyLock;

/// How the checks before an operation end, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// 400: the path does not decode.
    BadPath,
    /// 404: no route has it.
    UnknownPath,
    /// 405: the route has another method.
    WrongMethod,
    /// 400: the route asks for one certificate.
    NoCertificate,
    /// 403: the client's policy does not permit the request.
    Forbidden,
    /// The operation answers.
    Permitted,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// A client without a certificate, or with several.
    Unknown,
    /// An admin.
    Admin,
    /// An identity without any assignment.
    Unassigned,
    /// An identity with the policy of this number.
    Assigned(usize),
}

/// The patterns of a policy, as they were written.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    /// What it allows.
    pub allow: Vec<String>,
    /// What it denies.
    pub deny: Vec<String>,
}

/// Every route: its method, its path, and what it asks for. `NAME` and `PREFIX` stand for what follows.
const ROUTES: &str = "\
GET    /version                     certificate
GET    /v1/ready                    policy
GET    /v1/status                   policy
GET    /v1/api                      policy
GET    /v1/openapi.json             certificate
GET    /v1/metrics                  policy
GET    /v1/cluster/metrics          policy
GET    /v1/cluster/status           policy
PUT    /v1/key/create/NAME          policy
PUT    /v1/key/import/NAME          policy
GET    /v1/key/describe/NAME        policy
DELETE /v1/key/delete/NAME          policy
GET    /v1/key/list/PREFIX          policy
PUT    /v1/key/generate/NAME        policy
PUT    /v1/key/encrypt/NAME         policy
PUT    /v1/key/decrypt/NAME         policy
PUT    /v1/key/bulk/decrypt/NAME    policy
PUT    /v1/key/hmac/NAME            policy
PUT    /v1/key/rotate/NAME          policy
GET    /v1/key/versions/NAME        policy
PUT    /v1/key/disable/NAME         policy
PUT    /v1/key/enable/NAME          policy
PUT    /v1/key/restore/NAME         policy
DELETE /v1/key/purge/NAME           policy
GET    /v1/policy/describe/NAME     policy
GET    /v1/policy/read/NAME         policy
GET    /v1/policy/list/PREFIX       policy
PUT    /v1/policy/create/NAME       policy
PUT    /v1/policy/write/NAME        policy
PUT    /v1/policy/assign/NAME       policy
DELETE /v1/policy/delete/NAME       policy
GET    /v1/identity/describe/NAME   policy
GET    /v1/identity/self/describe   certificate
GET    /v1/identity/list/PREFIX     policy
PUT    /v1/identity/create/NAME     policy
DELETE /v1/identity/delete/NAME     policy
GET    /v1/log/audit                stream
GET    /v1/log/audit/trace          stream
GET    /v1/log/error                stream
GET    /v1/log/error/trace          stream
";

/// The paths that ask for the same action, one line for each action. A pattern that matches one of them matches all.
///
/// Every other path is the only one of its action.
const SAME_ACTION: &str = "\
/v1/key/list /v1/key/list/
/v1/policy/list /v1/policy/list/
/v1/identity/list /v1/identity/list/
/v1/log/audit /v1/log/audit/ /v1/log/audit/trace /v1/log/audit/trace/
/v1/log/error /v1/log/error/ /v1/log/error/trace /v1/log/error/trace/
";

/// The routes that skip authentication where the test configures it.
pub const OPEN: [&str; 2] = ["/v1/ready", "/v1/status"];

/// How the checks of a request end. The `target` is the raw one, up to its query.
pub fn judge(policies: &[Patterns], asker: &Asker, method: &str, target: &str) -> Verdict {
    let Some(path) = decoded(target) else { return Verdict::BadPath };
    let Some((wanted, route, access)) = routes().find(|(_, route, access)| leads_to(route, access, &path)) else {
        return Verdict::UnknownPath;
    };
    let head = wanted == "GET" && method == "HEAD" && access != "stream";
    if method != wanted && !(wanted == "PUT" && method == "POST") && !head {
        return Verdict::WrongMethod;
    }
    if OPEN.contains(&route) {
        return Verdict::Permitted;
    }
    match asker {
        Asker::Unknown => Verdict::NoCertificate,
        Asker::Admin => Verdict::Permitted,
        _ if access == "certificate" => Verdict::Permitted,
        Asker::Unassigned => Verdict::Forbidden,
        Asker::Assigned(number) if lets(&policies[*number], &path) => Verdict::Permitted,
        Asker::Assigned(_) => Verdict::Forbidden,
    }
}

/// Method, path and access of each route.
pub fn routes() -> impl Iterator<Item = Route> {
    static PARSED: LazyLock<Vec<Route>> = LazyLock::new(|| ROUTES.lines().map(parsed).collect());
    PARSED.iter().copied()
}

type Route = (&'static str, &'static str, &'static str);

fn parsed(line: &'static str) -> Route {
    let mut words = line.split_whitespace();
    let mut word = || words.next().expect("three words a line");
    (word(), word(), word())
}

/// The text between escapes is taken as it is, and what follows each `%` is two digits and more such text.
fn decoded(target: &str) -> Option<Vec<u8>> {
    let mut pieces = target.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let digits = piece.as_bytes().get(..2)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    std::str::from_utf8(&bytes).is_ok().then_some(bytes)
}

fn leads_to(route: &str, access: &str, path: &[u8]) -> bool {
    let before = |word: &str| route.strip_suffix(word).map(str::as_bytes);
    match (before("NAME"), before("PREFIX")) {
        (Some(beginning), _) => path.starts_with(beginning),
        (_, Some(beginning)) => path.starts_with(beginning) || path == &beginning[..beginning.len() - 1],
        _ => path == route.as_bytes() || access == "stream" && path == [route.as_bytes(), b"/"].concat(),
    }
}

/// Deny comes before allow, and without a match the answer is no.
fn lets(policy: &Patterns, path: &[u8]) -> bool {
    let any =
        |patterns: &[String]| same_action(path).iter().any(|path| patterns.iter().any(|pattern| covers(pattern, path)));
    if any(&policy.deny) { false } else { any(&policy.allow) }
}

/// Every path of the action that a path asks for.
fn same_action(path: &[u8]) -> Vec<&[u8]> {
    let mut lines = SAME_ACTION.lines().map(|line| line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
    lines.find(|paths| paths.contains(&path)).unwrap_or_else(|| vec![path])
}

/// Byte by byte, until the pattern's star or the end of both.
fn covers(pattern: &str, path: &[u8]) -> bool {
    let mut rest = path.iter();
    for byte in pattern.bytes() {
        if byte == b'*' {
            return true;
        }
        if rest.next() != Some(&byte) {
            return false;
        }
    }
    rest.next().is_none()
}

#[test]
fn the_contract_says_so() {
    let policies = [Patterns {
        allow: ["/v1/key/create/my-*", "/v1/key/list", "/v1/log/audit"].map(String::from).to_vec(),
        deny: ["/v1/key/create/my-secret"].map(String::from).to_vec(),
    }];
    use Verdict::{BadPath, Forbidden, NoCertificate, Permitted, UnknownPath, WrongMethod};
    let app = Asker::Assigned(0);
    for (asker, method, target, expected) in [
        (&app, "PUT", "/v1/key/create/my-key", Permitted),
        (&app, "POST", "/v1/key/create/%6dy-key", Permitted),
        (&app, "PUT", "/v1/key/create/my-secret", Forbidden),
        (&app, "PUT", "/v1/key/create/my-secret2", Permitted),
        (&app, "PUT", "/v1/key/create/%256dy-key", Forbidden),
        (&app, "GET", "/v1/key/create/my-secret", WrongMethod),
        (&app, "GET", "/v1/key/list/", Permitted),
        (&app, "GET", "/v1/key/list", Permitted),
        (&app, "GET", "/v1/key/list/a", Forbidden),
        (&app, "GET", "/v1/key/list/%2A", Forbidden),
        (&app, "GET", "/v1/log/audit/", Permitted),
        (&app, "GET", "/v1/log/audit/trace", Permitted),
        (&app, "GET", "/v1/log/error", Forbidden),
        (&app, "HEAD", "/v1/key/list", Permitted),
        (&app, "HEAD", "/v1/key/create/my-key", WrongMethod),
        (&app, "HEAD", "/v1/log/audit", WrongMethod),
        (&Asker::Unknown, "HEAD", "/version", NoCertificate),
        (&app, "GET", "/v1/nothing", UnknownPath),
        (&app, "GET", "/v1/%zz", BadPath),
        (&app, "GET", "/version", Permitted),
        (&Asker::Unknown, "GET", "/version", NoCertificate),
        (&Asker::Unknown, "GET", "/v1/ready", Permitted),
        (&Asker::Unassigned, "GET", "/v1/api", Forbidden),
        (&Asker::Admin, "GET", "/v1/api", Permitted),
    ] {
        assert_eq!(judge(&policies, asker, method, target), expected, "{asker:?} {method} {target}");
    }
}

#[test]
fn a_pattern_for_one_path_of_an_action_decides_all_of_them() {
    let app = Asker::Assigned(0);
    let judged = |allow: &str, deny: &str, path: &str| {
        let texts = |text: &str| text.split_whitespace().map(String::from).collect();
        judge(&[Patterns { allow: texts(allow), deny: texts(deny) }], &app, "GET", path)
    };
    for line in SAME_ACTION.lines() {
        for (pattern, path) in line.split(' ').flat_map(|pattern| line.split(' ').map(move |path| (pattern, path))) {
            assert_eq!(judged("/v1/*", pattern, path), Verdict::Forbidden, "deny {pattern}: {path}");
            assert_eq!(judged(pattern, "", path), Verdict::Permitted, "allow {pattern}: {path}");
        }
    }
    for (allow, deny, path, expected) in [
        ("/v1/*", "/v1/log/audit", "/v1/log/audit/trace", Verdict::Forbidden),
        ("/v1/*", "/v1/log/error/trace/", "/v1/log/error", Verdict::Forbidden),
        ("/v1/*", "/v1/log/audit/*", "/v1/log/audit", Verdict::Forbidden),
        ("/v1/*", "/v1/log/audit", "/v1/log/error", Verdict::Permitted),
        ("/v1/log/audit/t*", "", "/v1/log/audit/", Verdict::Permitted),
        ("/v1/log/audit/t*", "", "/v1/log/error", Verdict::Forbidden),
        ("/v1/*", "/v1/policy/list/", "/v1/policy/list", Verdict::Forbidden),
        ("/v1/*", "/v1/policy/list", "/v1/policy/list/a", Verdict::Permitted),
        ("/v1/*", "/v1/key/list/a", "/v1/key/list", Verdict::Permitted),
    ] {
        assert_eq!(judged(allow, deny, path), expected, "allow {allow}, deny {deny}: {path}");
    }
}
