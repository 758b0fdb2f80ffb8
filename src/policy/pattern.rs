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

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
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
    fn what_could_never_match_is_refused() {
        for bad in ["", "v1/key", "/v1/*/key", "/v1/key/**", "/v1/key/my-?", "x*"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
