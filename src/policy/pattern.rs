//! A pattern of a policy: a path, or the beginning of one when it ends in `*` (contract, section 6).

use std::fmt;

/// A path pattern that can match something: equal to a decoded path, or its prefix when it ends in `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Box<str>);

/// Why a text is refused as a pattern: it could never match, so it would silently grant or deny nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// The text as it came.
    pub pattern: String,
    /// Why it never matches.
    pub reason: &'static str,
}

impl Pattern {
    /// Checks a pattern.
    ///
    /// # Errors
    /// A `*` before the end, a `?`, or a beginning other than `/` (a lone `*`, which matches all, apart).
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let refuse = |reason| Err(PatternError { pattern: text.to_owned(), reason });
        let literal = text.strip_suffix('*').unwrap_or(text);
        if literal.contains('*') {
            return refuse("'*' has a meaning at the end only");
        }
        if literal.contains('?') {
            return refuse("'?' has no meaning in a pattern");
        }
        if !literal.starts_with('/') && text != "*" {
            return refuse("every path begins with '/'");
        }
        Ok(Self(text.into()))
    }

    /// Whether the pattern matches a decoded path.
    pub fn matches(&self, path: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => *self.0 == *path,
        }
    }

    /// Whether some request to a route can match. A route that takes a name ends in a slash, and a listing takes an
    /// empty one, with its slash or without.
    pub fn reaches(&self, route: &str) -> bool {
        let takes_name = |path: &str| route.ends_with('/') && path.len() > route.len() && path.starts_with(route);
        match self.0.strip_suffix('*') {
            Some(prefix) => route.starts_with(prefix) || takes_name(prefix),
            None => {
                let nameless = !route.ends_with('/') || route.ends_with("/list/");
                takes_name(&self.0) || nameless && bare(route) == bare(&self.0)
            }
        }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn bare(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pattern '{}' can never match: {}", self.pattern, self.reason)
    }
}

impl std::error::Error for PatternError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_a_path_or_a_prefix() {
        let table = [
            ("/v1/status", "/v1/status", true),
            ("/v1/status", "/v1/status/", false),
            ("/v1/key/list/", "/v1/key/list/a", false),
            ("/v1/key/create/my-*", "/v1/key/create/my-key", true),
            ("/v1/key/create/my-*", "/v1/key/create/my", false),
            ("/v1/*", "/v1/", true),
            ("*", "/version", true),
        ];
        for (pattern, path, expected) in table {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn a_pattern_reaches_the_routes_whose_requests_it_can_match() {
        let routes = ["/v1/key/create/", "/v1/key/list/", "/v1/log/audit", "/v1/status", "/version"];
        let reaches = |pattern| routes.iter().any(|route| Pattern::parse(pattern).unwrap().reaches(route));
        for here in ["*", "/*", "/v1/key/*", "/v1/key/create/my-*", "/v1/key/create/my-key", "/v1/status", "/version"] {
            assert!(reaches(here), "{here}");
        }
        for listing in ["/v1/key/list", "/v1/key/list/", "/v1/key/list/*", "/v1/log/audit/"] {
            assert!(reaches(listing), "{listing}");
        }
        let nowhere = ["/v1/enclave/*", "/v1/kye/*", "/v1/key/create/", "/v1/key/create", "/v2/*", "/v1/status/x", "/"];
        for nowhere in nowhere {
            assert!(!reaches(nowhere), "{nowhere}");
        }
    }

    #[test]
    fn what_could_never_match_is_refused() {
        for bad in ["", "v1/key", "/v1/*/key", "/v1/key/**", "/v1/key/my-?", "x*"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
