//! Patterns of a policy as answers show them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::policy::Pattern;

/// Patterns as the API shows them: the keys of an object.
pub type PatternMap<'a> = BTreeMap<&'a str, EmptyObject>;

/// The value of a pattern: `{}`.
#[derive(Serialize)]
pub struct EmptyObject {}

/// Patterns as the keys of an object.
pub fn patterns(patterns: &[Pattern]) -> PatternMap<'_> {
    patterns.iter().map(|pattern| (pattern.as_str(), EmptyObject {})).collect()
}
