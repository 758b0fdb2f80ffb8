//! The queries of requests. The query of a listing says where to go on and how many names to return (wire contract,
//! "Names and listings"). The query of a log stream says which events to send.

use crate::http::pipeline::path;

/// The query of a listing. The server ignores other parameters, such as `enclave`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListingQuery {
    /// The first name of the answer.
    pub continue_at: Option<String>,
    /// The most names of the answer.
    pub limit: Option<usize>,
}

/// Which events a log stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamQuery {
    /// How many of the last events it begins with.
    pub tail: usize,
    /// Whether it goes on with new events.
    pub follow: bool,
    /// Whether it has the events of every node.
    pub cluster: bool,
}

/// A query that the route does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadQuery {
    /// The limit of a listing is not a positive number.
    #[error("limit '{0}' is not a positive number")]
    Limit(String),
    /// A parameter of a log stream has a value that it cannot have.
    #[error(transparent)]
    Parameter(#[from] BadParameter),
}

/// A parameter of a log stream with a value that it cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the parameter '{name}' cannot be '{value}': write {want}, or leave it out")]
pub struct BadParameter {
    /// The parameter.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// The values that it can have.
    pub want: &'static str,
}

/// Reads the query of a log stream. If a parameter comes twice, the first one counts.
///
/// # Errors
/// A parameter has a value that it cannot have.
pub fn stream(query: Option<&str>) -> Result<StreamQuery, BadQuery> {
    let (mut tail, mut follow, mut cluster) = (None, None, None);
    for pair in query.unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "tail" if tail.is_none() => tail = Some(count(&text(value))?),
            "follow" if follow.is_none() => follow = Some(switch("follow", &text(value))?),
            "cluster" if cluster.is_none() => cluster = Some(switch("cluster", &text(value))?),
            _ => {}
        }
    }
    Ok(StreamQuery { tail: tail.unwrap_or(0), follow: follow.unwrap_or(true), cluster: cluster.unwrap_or(false) })
}

fn count(text: &str) -> Result<usize, BadQuery> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let bad = || BadQuery::Parameter(BadParameter { name: "tail", value: text.to_owned(), want: "a number of events" });
    // A number that does not fit asks for all events.
    digits.then(|| text.parse().unwrap_or(usize::MAX)).ok_or_else(bad)
}

fn switch(name: &'static str, text: &str) -> Result<bool, BadQuery> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(BadQuery::Parameter(BadParameter { name, value: text.to_owned(), want: "true or false" })),
    }
}

/// Reads the query of a listing. If a parameter comes twice, the first one counts.
///
/// # Errors
/// The limit is not a positive number.
pub fn listing(query: Option<&str>) -> Result<ListingQuery, BadQuery> {
    let mut found = ListingQuery::default();
    for pair in query.unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "continue_at" if found.continue_at.is_none() && !value.is_empty() => found.continue_at = Some(text(value)),
            "limit" if found.limit.is_none() => found.limit = Some(limit(&text(value))?),
            _ => {}
        }
    }
    Ok(found)
}

fn text(value: &str) -> String {
    let spaced = value.replace('+', " ");
    path::decode(&spaced).unwrap_or(spaced)
}

/// A number that does not fit means no limit.
fn limit(text: &str) -> Result<usize, BadQuery> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<usize>() {
        Ok(limit) if digits && limit > 0 => Ok(limit),
        Err(_) if digits => Ok(usize::MAX),
        _ => Err(BadQuery::Limit(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_a_listing_says_where_and_how_many() {
        let query =
            |continue_at: Option<&str>, limit| ListingQuery { continue_at: continue_at.map(str::to_owned), limit };
        for (text, expected) in [
            (None, query(None, None)),
            (Some(""), query(None, None)),
            (Some("enclave=x"), query(None, None)),
            (Some("continue_at=a-1&limit=2"), query(Some("a-1"), Some(2))),
            (Some("limit=2&limit=3&continue_at=%61"), query(Some("a"), Some(2))),
            (Some("continue_at="), query(None, None)),
            (Some("limit=99999999999999999999999"), query(None, Some(usize::MAX))),
        ] {
            assert_eq!(listing(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_query_of_a_stream_says_which_events() {
        let query = |tail, follow, cluster| StreamQuery { tail, follow, cluster };
        for (text, expected) in [
            (None, query(0, true, false)),
            (Some("enclave=x&tail=7"), query(7, true, false)),
            (Some("tail=0&follow=false&cluster=true"), query(0, false, true)),
            (Some("tail=1&tail=x&follow=%74rue"), query(1, true, false)),
            (Some("tail=99999999999999999999999"), query(usize::MAX, true, false)),
        ] {
            assert_eq!(stream(text).unwrap(), expected, "{text:?}");
        }
        for bad in
            ["tail=", "tail", "tail=-1", "tail=+1", "tail=all", "follow=1", "follow", "cluster=TRUE", "follow=no"]
        {
            assert!(matches!(stream(Some(bad)), Err(BadQuery::Parameter(_))), "{bad}");
        }
    }

    #[test]
    fn a_limit_is_a_positive_number() {
        for bad in ["limit=0", "limit=", "limit", "limit=-1", "limit=+1", "limit=%2B1", "limit=x", "limit=1.5"] {
            assert!(matches!(listing(Some(bad)), Err(BadQuery::Limit(_))), "{bad}");
        }
    }
}
