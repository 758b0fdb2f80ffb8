//! A pattern of a policy: a path, or the beginning of one when it ends in `*` (wire contract, "Policies").

use std::fmt;

use super::name::{self, KeyName, MAX_NAME, Prefix};

/// A path pattern that can match something: equal to a decoded path, or its prefix when it ends in `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Box<str>);

/// Why a text is refused as a pattern: it could never match, so it would silently grant or deny nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// The text as it came.
    pub pattern: String,
    /// Why it never matches.
    pub why: Unmatchable,
}

/// Why a pattern can match no request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmatchable {
    /// It has a `*` before its end.
    StarInside,
    /// It has a `?`, which is no wildcard.
    QuestionMark,
    /// It does not begin with a slash.
    NoSlash,
    /// It has this percent-escape, and is compared with decoded paths.
    Escape(String),
    /// It has this character, which no path has.
    Character(char),
    /// It has an empty part, `.` or `..`, and paths are not rewritten.
    Unclean,
    /// It ends where this route expects a name.
    NoName(String),
    /// What follows the route has this character, which no name has.
    NotInNames(char),
    /// What follows the route begins with `-`.
    LeadingDash,
    /// What follows the route is longer than any name.
    TooLong,
    /// What follows the route would be a name, but for its end.
    NotAName,
}

impl Pattern {
    /// Checks the form of a pattern. This is all that stored policies are held to: see [`Pattern::check_names`].
    ///
    /// # Errors
    /// A `*` before the end, a `?`, or a beginning other than `/` (a lone `*`, which matches all, apart).
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let refuse = |why| Err(PatternError { pattern: text.to_owned(), why });
        let literal = text.strip_suffix('*').unwrap_or(text);
        if literal.contains('*') {
            return refuse(Unmatchable::StarInside);
        }
        if literal.contains('?') {
            return refuse(Unmatchable::QuestionMark);
        }
        if !literal.starts_with('/') && text != "*" {
            return refuse(Unmatchable::NoSlash);
        }
        Ok(Self(text.into()))
    }

    /// Checks that what follows a route in the pattern can be a name, or the beginning of one. A pattern of a route that
    /// is not among `routes` only has to be a clean path. Whoever writes a policy is held to this; a policy that is
    /// stored is not, for earlier releases took such patterns.
    ///
    /// # Errors
    /// Why no request to a route can match.
    pub fn check_names<'r>(&self, routes: impl IntoIterator<Item = &'r str>) -> Result<(), PatternError> {
        let (literal, open) = self.0.strip_suffix('*').map_or((&*self.0, false), |literal| (literal, true));
        let clean = check_characters(literal).and_then(|()| check_parts(literal));
        clean
            .and_then(|()| routes.into_iter().try_for_each(|route| check_name(route, literal, open)))
            .map_err(|why| PatternError { pattern: self.0.to_string(), why })
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

/// The paths of all routes are made of these characters, and so are all names.
fn check_characters(literal: &str) -> Result<(), Unmatchable> {
    let in_paths = |c: char| c.is_ascii_alphanumeric() || "/_-.".contains(c);
    match literal.char_indices().find(|(_, c)| !in_paths(*c)) {
        None => Ok(()),
        Some((at, '%')) => Err(Unmatchable::Escape(literal[at..].chars().take(3).collect())),
        Some((_, other)) => Err(Unmatchable::Character(other)),
    }
}

fn check_parts(literal: &str) -> Result<(), Unmatchable> {
    let unclean = literal.contains("//") || literal.split('/').any(|part| matches!(part, "." | ".."));
    if unclean { Err(Unmatchable::Unclean) } else { Ok(()) }
}

/// Checks what follows `route` in a pattern, if it is about that route at all.
fn check_name(route: &str, literal: &str, open: bool) -> Result<(), Unmatchable> {
    let listing = route.ends_with("/list/");
    if !route.ends_with('/') || (listing || open) && literal == bare(route) {
        return Ok(());
    }
    if !open && !listing && bare(literal) == bare(route) {
        return Err(Unmatchable::NoName(route.to_owned()));
    }
    let Some(name) = literal.strip_prefix(route) else { return Ok(()) };
    if let Some(c) = name.chars().find(|c| !name::is_name_char(*c)) {
        return Err(Unmatchable::NotInNames(c));
    }
    if name.starts_with('-') {
        return Err(Unmatchable::LeadingDash);
    }
    if name.len() > MAX_NAME {
        return Err(Unmatchable::TooLong);
    }
    let complete = !listing && (!open || name.len() == MAX_NAME);
    let fits = if complete { KeyName::parse(name).is_ok() } else { Prefix::parse(name).is_ok() };
    if fits { Ok(()) } else { Err(Unmatchable::NotAName) }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pattern '{}' can never match: {}", self.pattern, self.why)
    }
}

impl fmt::Display for Unmatchable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WILDCARD: &str = "the only wildcard is a '*' at the end";
        match self {
            Self::StarInside => f.write_str("'*' has a meaning at the end only"),
            Self::QuestionMark => f.write_str("'?' has no meaning in a pattern"),
            Self::NoSlash => f.write_str("every path begins with '/'"),
            Self::Escape(escape) => {
                write!(f, "patterns are compared with the decoded path: write the character instead of '{escape}'")
            }
            Self::Character(' ') => f.write_str("no path and no name has a blank in it"),
            Self::Character(c) if c.is_control() => f.write_str("no path and no name has a control character in it"),
            Self::Character(c) => write!(f, "no path and no name has '{c}' in it; {WILDCARD}"),
            Self::Unclean => f.write_str(
                "no path has '//', '/./' or '/../' in it, for paths are not rewritten; write the path itself",
            ),
            Self::NoName(route) => write!(f, "a name must follow '{route}'; write '{route}*' for every name"),
            Self::NotInNames(c) => write!(f, "no name has '{c}' in it, but letters, digits, '_' and '-' only"),
            Self::LeadingDash => f.write_str("no name begins with '-'"),
            Self::TooLong => write!(f, "no name is longer than {MAX_NAME} characters"),
            Self::NotAName => f.write_str(
                "no name ends with '-', and '_' alone is not a name; end the pattern with '*' if more is to follow",
            ),
        }
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

    #[test]
    fn what_follows_a_route_must_be_a_possible_name() {
        let routes = ["/v1/key/create/", "/v1/key/list/", "/v1/identity/self/describe", "/v1/openapi.json"];
        let check = |text: &str| Pattern::parse(text).unwrap().check_names(routes).map_err(|error| error.why);
        let longest = "a".repeat(MAX_NAME);
        for possible in [
            "*",
            "/*",
            "/v1/*",
            "/v1/key/*",
            "/v1/key/create*",
            "/v1/key/create/*",
            "/v1/key/create/my-*",
            "/v1/key/create/_*",
            "/v1/key/create/my-key",
            "/v1/key/list",
            "/v1/key/list/",
            "/v1/key/list/*",
            "/v1/key/list*",
            "/v1/key/list/my-",
            "/v1/key/list/_",
            "/v1/identity/self/describe",
            "/v1/openapi.json",
            "/v1/enclave/create/-x",
            "/v1/enclave/*",
            "/version/",
            "/v1/key/cr*",
            &format!("/v1/key/create/{longest}"),
            &format!("/v1/key/create/{longest}*"),
        ] {
            assert_eq!(check(possible), Ok(()), "{possible}");
        }
        let route = || "/v1/key/create/".to_owned();
        for (impossible, why) in [
            ("/v1/key/create/app-[0-9]*", Unmatchable::Character('[')),
            ("/v1/key/create/app%2Dprod*", Unmatchable::Escape("%2D".to_owned())),
            ("/v1/key/create/app%", Unmatchable::Escape("%".to_owned())),
            ("/v1/key/create/app prod*", Unmatchable::Character(' ')),
            ("/v1/key/create/{a,b}", Unmatchable::Character('{')),
            ("/v1/key/create/\u{7}*", Unmatchable::Character('\u{7}')),
            ("/v1/key/create/ä*", Unmatchable::Character('ä')),
            ("/v1/enclave/\\d*", Unmatchable::Character('\\')),
            ("/v1//key/create/*", Unmatchable::Unclean),
            ("/v1/key/../key/create/a", Unmatchable::Unclean),
            ("/v1/key/create/..", Unmatchable::Unclean),
            ("/v1/key/create/a.b*", Unmatchable::NotInNames('.')),
            ("/v1/key/create/team/a", Unmatchable::NotInNames('/')),
            ("/v1/key/list/a/*", Unmatchable::NotInNames('/')),
            ("/v1/key/create/-a*", Unmatchable::LeadingDash),
            ("/v1/key/list/-*", Unmatchable::LeadingDash),
            ("/v1/key/create/a-", Unmatchable::NotAName),
            ("/v1/key/create/_", Unmatchable::NotAName),
            ("/v1/key/create/", Unmatchable::NoName(route())),
            ("/v1/key/create", Unmatchable::NoName(route())),
            (&format!("/v1/key/create/{longest}a"), Unmatchable::TooLong),
            (&format!("/v1/key/list/{longest}a*"), Unmatchable::TooLong),
            (&format!("/v1/key/create/{}-*", &longest[1..]), Unmatchable::NotAName),
        ] {
            assert_eq!(check(impossible), Err(why), "{impossible}");
        }
    }

    /// The oracle: a pattern that is refused matches no path that a route and a name make.
    #[test]
    fn what_is_refused_matches_no_request() {
        let routes = ["/v1/key/create/", "/v1/key/list/", "/v1/status"];
        let ends = ["", "a", "_", "-", "a-", "-a", "a.b", "a/b", "a b", "%41", "a[0]", "..", "/"];
        let names = ["a", "a-b", "_a", "A1"];
        let prefixes = ["", "a", "a-", "_"];
        for (start, end, star) in ["/v1/key/create", "/v1/key/create/", "/v1/key/list/", "/v1/key/list", "/v1/"]
            .into_iter()
            .flat_map(|start| ends.map(|end| (start, end)))
            .flat_map(|(start, end)| ["", "*"].map(|star| (start, end, star)))
        {
            let Ok(pattern) = Pattern::parse(&format!("{start}{end}{star}")) else { continue };
            if pattern.check_names(routes).is_err() {
                let creates = names.map(|name| format!("/v1/key/create/{name}"));
                let lists = prefixes.map(|prefix| format!("/v1/key/list/{prefix}"));
                let paths = creates.iter().chain(&lists).map(String::as_str).chain(["/v1/key/list", "/v1/status"]);
                let matched: Vec<_> = paths.filter(|path| pattern.matches(path)).collect();
                assert!(matched.is_empty(), "{pattern:?} matches {matched:?}");
            }
        }
    }
}
