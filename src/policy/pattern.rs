//! A pattern of a policy: a path, or the beginning of one when it ends in `*` (wire contract, "Policies").

use std::fmt;

use thiserror::Error;

use super::action::{self, Action, ActionKind, ActionPath, NameInPath};
use super::name::{self, KeyName, MAX_NAME, Prefix};

/// A pattern, in the form that it must have to match anything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Box<str>);

/// A text that is refused as a pattern. It could never match, so a policy with it would silently allow or deny nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("pattern '{pattern}' can never match: {why}")]
pub struct PatternError {
    /// The text that was refused.
    pub pattern: String,
    /// Why it can never match.
    pub why: Unmatchable,
}

/// Why a pattern can match no request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmatchable {
    /// It has a `*` before its end.
    StarInside,
    /// It has a `?`, which is not a wildcard.
    QuestionMark,
    /// It does not begin with a slash.
    NoSlash,
    /// It has this percent-escape, and patterns are compared with decoded paths.
    Escape(String),
    /// It has this character, which occurs in no path.
    Character(char),
    /// It has an empty part, `.` or `..`, and the server does not rewrite paths.
    Unclean,
    /// It ends where this route expects a name.
    NoName(String),
    /// What follows the route has this character, which occurs in no name.
    NotInNames(char),
    /// What follows the route begins with `-`.
    LeadingDash,
    /// What follows the route is longer than any name.
    TooLong,
    /// What follows the route could begin a name, but cannot end one.
    NotAName,
}

impl Pattern {
    /// Checks the form of a pattern. Stored policies need no more: an earlier release may have taken patterns that
    /// [`Pattern::written`] refuses.
    ///
    /// # Errors
    /// A `*` before the end, a `?`, or a beginning other than `/`. A lone `*` is allowed, and matches everything.
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

    /// Reads a pattern that somebody writes, into a file or over the API. What follows the path of an action in it must be
    /// a name, or the beginning of one. A pattern for other paths only has to be a clean path.
    ///
    /// # Errors
    /// No request can match it: because of its form, or because of what follows the path of an action.
    pub fn written(text: &str) -> Result<Self, PatternError> {
        let pattern = Self::parse(text)?;
        let (literal, open) = pattern.parts();
        let clean = check_characters(literal).and_then(|()| check_parts(literal));
        clean
            .and_then(|()| action::PATHS.iter().try_for_each(|row| check_name(row, literal, open)))
            .map_err(|why| PatternError { pattern: text.to_owned(), why })?;
        Ok(pattern)
    }

    /// Whether the pattern matches an action: one of the paths by which a client can ask for it.
    pub fn matches(&self, action: Action<'_>) -> bool {
        action.paths().any(|(path, name)| self.matches_path(path, name))
    }

    /// Whether the pattern matches a path, which comes in two parts.
    pub(super) fn matches_path(&self, path: &str, name: &str) -> bool {
        let (literal, open) = self.parts();
        match literal.strip_prefix(path) {
            Some(rest) if open => name.starts_with(rest),
            Some(rest) => name == rest,
            None => open && path.starts_with(literal),
        }
    }

    /// Whether the pattern matches all that another one matches.
    pub fn covers(&self, other: &Self) -> bool {
        let (literal, open) = self.parts();
        match other.parts() {
            (narrow, true) => open && narrow.starts_with(literal),
            (path, false) => self.matches_decoded(path),
        }
    }

    /// Whether the pattern matches a decoded path, which may ask for no action that this release knows.
    pub fn matches_decoded(&self, path: &str) -> bool {
        match Action::parse(path) {
            Some(action) => self.matches(action),
            None => self.matches_path(path, ""),
        }
    }

    /// The one of two patterns that matches what both match, if anything. It is always one of the two: of two prefixes,
    /// one begins with the other, or no path has both.
    pub fn narrower<'p>(&'p self, other: &'p Self) -> Option<&'p Self> {
        match () {
            () if self.covers(other) => Some(other),
            () if other.covers(self) => Some(self),
            () => None,
        }
    }

    /// The names for which the pattern matches an action, as the end of a pattern: a name, or the beginning of names and
    /// `*`. `None` if it does not match the action for any name.
    pub(super) fn names(&self, kind: ActionKind) -> Option<String> {
        let (literal, open) = self.parts();
        match literal.strip_prefix(kind.path()) {
            Some(name) => Some([name, if open { "*" } else { "" }].concat()),
            None => (open && kind.path().starts_with(literal)).then(|| "*".to_owned()),
        }
    }

    /// Whether some request to this server can match.
    pub fn is_reached(&self) -> bool {
        action::PATHS.iter().any(|row| self.reaches_row(row))
    }

    /// Whether some request to a route of a server can match. The route may be one that this release does not know: if it
    /// ends in a slash, a name follows it.
    pub fn reaches(&self, route: &str) -> bool {
        match Action::parse(route) {
            Some(action) => action.kind().rows().any(|row| self.reaches_row(row)),
            None => self.reaches_path(route, route.ends_with('/').then_some(1)),
        }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn reaches_row(&self, row: &ActionPath) -> bool {
        let shortest_name = match row.name {
            NameInPath::Nothing => None,
            NameInPath::Prefix => Some(0),
            NameInPath::Name(_) => Some(1),
        };
        self.reaches_path(row.path, shortest_name)
    }

    /// Whether the pattern can match a path, or, if names follow it, the path with a name that is not shorter than this.
    fn reaches_path(&self, path: &str, shortest_name: Option<usize>) -> bool {
        let (literal, open) = self.parts();
        match (literal.strip_prefix(path), shortest_name) {
            (Some(rest), Some(shortest)) => open || rest.len() >= shortest,
            (Some(rest), None) => rest.is_empty(),
            (None, _) => open && path.starts_with(literal),
        }
    }

    /// What stands before the `*` at the end, or all of it, and whether there is a `*`.
    fn parts(&self) -> (&str, bool) {
        self.0.strip_suffix('*').map_or((&*self.0, false), |literal| (literal, true))
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

/// Checks what follows the path of an action in a pattern, if the pattern is about that action at all.
fn check_name(row: &ActionPath, literal: &str, open: bool) -> Result<(), Unmatchable> {
    let listing = row.name == NameInPath::Prefix;
    if row.name == NameInPath::Nothing || (listing || open) && literal == bare(row.path) {
        return Ok(());
    }
    if !open && !listing && bare(literal) == bare(row.path) {
        return Err(Unmatchable::NoName(row.path.to_owned()));
    }
    let Some(name) = literal.strip_prefix(row.path) else { return Ok(()) };
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

impl fmt::Display for Unmatchable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WILDCARD: &str = "the only wildcard is a '*' at the end";
        match self {
            Self::StarInside => f.write_str("'*' has a meaning at the end only"),
            Self::QuestionMark => f.write_str("'?' has no meaning in a pattern"),
            Self::NoSlash => f.write_str("every path begins with '/'"),
            Self::Escape(escape) => {
                write!(f, "the server compares patterns with the decoded path: write the character instead of '{escape}'")
            }
            Self::Character(' ') => f.write_str("no path and no name has a blank in it"),
            Self::Character(c) if c.is_control() => f.write_str("no path and no name has a control character in it"),
            Self::Character(c) => write!(f, "no path and no name has '{c}' in it; {WILDCARD}"),
            Self::Unclean => f.write_str(
                "no path has '//', '/./' or '/../' in it, because the server does not rewrite paths; write the path itself",
            ),
            Self::NoName(route) => write!(f, "a name must follow '{route}'; write '{route}*' for every name"),
            Self::NotInNames(c) => write!(f, "a name has letters, digits, '_' and '-' only, and not '{c}'"),
            Self::LeadingDash => f.write_str("no name begins with '-'"),
            Self::TooLong => write!(f, "no name is longer than {MAX_NAME} characters"),
            Self::NotAName => f.write_str(
                "no name ends with '-', and '_' alone is not a name; end the pattern with '*' if more is to follow",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PATHS;

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
            assert_eq!(Pattern::parse(pattern).unwrap().matches_decoded(path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn a_pattern_reaches_the_routes_whose_requests_it_can_match() {
        let reaches = |pattern| {
            let pattern = Pattern::parse(pattern).unwrap();
            let by_a_route = PATHS.iter().any(|row| pattern.reaches(row.path));
            assert_eq!(by_a_route, pattern.is_reached(), "{pattern:?}");
            by_a_route
        };
        for here in ["*", "/*", "/v1/key/*", "/v1/key/create/my-*", "/v1/key/create/my-key", "/v1/status", "/version"] {
            assert!(reaches(here), "{here}");
        }
        for listing in ["/v1/key/list", "/v1/key/list/", "/v1/key/list/*", "/v1/log/audit/"] {
            assert!(reaches(listing), "{listing}");
        }
        let nowhere = ["/v1/enclave/*", "/v1/kye/*", "/v1/key/create/", "/v1/key/create", "/v2/*", "/v1/status/", "/"];
        for nowhere in nowhere {
            assert!(!reaches(nowhere), "{nowhere}");
        }
    }

    #[test]
    fn a_route_of_another_release_is_reached_by_its_path() {
        let reaches = |pattern, route| Pattern::parse(pattern).unwrap().reaches(route);
        assert!(
            reaches("/v1/enclave/create/a", "/v1/enclave/create/") && reaches("/v1/enclave/*", "/v1/enclave/create/")
        );
        assert!(
            !reaches("/v1/enclave/create/", "/v1/enclave/create/") && !reaches("/v1/enclave", "/v1/enclave/create/")
        );
    }

    #[test]
    fn a_pattern_covers_another_if_it_matches_all_that_the_other_matches() {
        for (wide, narrow, expected) in [
            ("/v1/*", "/v1/key/*", true),
            ("/v1/key/*", "/v1/*", false),
            ("/v1/key/create/a", "/v1/key/create/a*", false),
            ("/v1/log/audit", "/v1/log/audit/trace/", true),
            ("/v1/log/audit/t*", "/v1/log/audit", true),
            ("/v1/key/list", "/v1/key/list/", true),
            ("/v1/enclave/*", "/v1/enclave/a", true),
        ] {
            let covers = Pattern::parse(wide).unwrap().covers(&Pattern::parse(narrow).unwrap());
            assert_eq!(covers, expected, "{wide} and {narrow}");
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
        let check = |text: &str| Pattern::written(text).map(drop).map_err(|error| error.why);
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
        let ends = ["", "a", "_", "-", "a-", "-a", "a.b", "a/b", "a b", "%41", "a[0]", "..", "/"];
        let names = ["a", "a-b", "_a", "A1"];
        let prefixes = ["", "a", "a-", "_"];
        for (start, end, star) in ["/v1/key/create", "/v1/key/create/", "/v1/key/list/", "/v1/key/list", "/v1/"]
            .into_iter()
            .flat_map(|start| ends.map(|end| (start, end)))
            .flat_map(|(start, end)| ["", "*"].map(|star| (start, end, star)))
        {
            let Ok(pattern) = Pattern::parse(&format!("{start}{end}{star}")) else { continue };
            if Pattern::written(pattern.as_str()).is_err() {
                let creates = names.map(|name| format!("/v1/key/create/{name}"));
                let lists = prefixes.map(|prefix| format!("/v1/key/list/{prefix}"));
                let paths = creates.iter().chain(&lists).map(String::as_str).chain(["/v1/key/list", "/v1/status"]);
                let matched: Vec<_> = paths.filter(|path| pattern.matches_decoded(path)).collect();
                assert!(matched.is_empty(), "{pattern:?} matches {matched:?}");
            }
        }
    }
}
