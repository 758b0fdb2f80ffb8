//! The routes that settings and patterns can mean (wire contract, "Endpoints").

use crate::policy::{Pattern, PatternError};

/// Every route of the API; one that takes a name ends in a slash.
pub const ROUTES: [&str; 40] = [
    "/v1/api",
    "/v1/cluster/metrics",
    "/v1/cluster/status",
    "/v1/identity/create/",
    "/v1/identity/delete/",
    "/v1/identity/describe/",
    "/v1/identity/list/",
    "/v1/identity/self/describe",
    "/v1/key/bulk/decrypt/",
    "/v1/key/create/",
    "/v1/key/decrypt/",
    "/v1/key/delete/",
    "/v1/key/describe/",
    "/v1/key/disable/",
    "/v1/key/enable/",
    "/v1/key/encrypt/",
    "/v1/key/generate/",
    "/v1/key/hmac/",
    "/v1/key/import/",
    "/v1/key/list/",
    "/v1/key/purge/",
    "/v1/key/restore/",
    "/v1/key/rotate/",
    "/v1/key/versions/",
    "/v1/log/audit",
    "/v1/log/audit/trace",
    "/v1/log/error",
    "/v1/log/error/trace",
    "/v1/metrics",
    "/v1/openapi.json",
    "/v1/policy/assign/",
    "/v1/policy/create/",
    "/v1/policy/delete/",
    "/v1/policy/describe/",
    "/v1/policy/list/",
    "/v1/policy/read/",
    "/v1/policy/write/",
    "/v1/ready",
    "/v1/status",
    "/version",
];

/// The routes that may be served without a certificate (wire contract, "Identity and TLS").
pub const SKIP_AUTH_ROUTES: [&str; 4] = ["/v1/api", "/v1/metrics", "/v1/ready", "/v1/status"];

/// The route that a path of the `api` section means, without a slash at its end.
pub(super) fn named(path: &str) -> Option<&'static str> {
    let wanted = bare(path);
    ROUTES.into_iter().map(bare).find(|route| *route == wanted)
}

/// Reads a pattern that somebody writes, into a file or over the API.
///
/// # Errors
/// It can match no request: by its form, or by what follows a route in it.
pub fn written_pattern(text: &str) -> Result<Pattern, PatternError> {
    let pattern = Pattern::parse(text)?;
    pattern.check_names(ROUTES)?;
    Ok(pattern)
}

/// Whether a pattern of a policy can match the path of some request to this server.
pub fn reached_by(pattern: &Pattern) -> bool {
    ROUTES.iter().any(|route| pattern.reaches(route))
}

fn bare(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_sorted_and_named_with_or_without_a_slash() {
        assert!(ROUTES.is_sorted());
        assert!(SKIP_AUTH_ROUTES.iter().all(|route| ROUTES.contains(route)));
        for path in ["/v1/key/create", "/v1/key/create/"] {
            assert_eq!(named(path), Some("/v1/key/create"));
        }
        for path in ["/v1/key", "/v1/key/create//", "/v1/ready/x", "v1/ready", ""] {
            assert_eq!(named(path), None, "{path}");
        }
    }
}
