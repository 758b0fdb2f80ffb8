//! The queries: of a listing, where to go on and how many names (wire contract, "Names and listings"); of a log stream,
//! which events.

use crate::http::pipeline::path;

/// What a listing's query asks for. Other parameters, such as `enclave`, are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// The first name wanted.
    pub continue_at: Option<String>,
    /// The most names wanted.
    pub limit: Option<usize>,
}

/// Which events a log stream tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamQuery {
    /// Of the last events, as many as this to begin with.
    pub tail: usize,
    /// Those that happen from now on.
    pub follow: bool,
    /// Those of every node.
    pub cluster: bool,
}

/// A query that the route does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadQuery {
    /// The limit of a listing is not a positive number.
    Limit(String),
    /// A parameter of a log stream has another value than it may have.
    Parameter(BadParameter),
}

/// A parameter of a log stream, and what it may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadParameter {
    /// Which.
    pub name: &'static str,
    /// What it says.
    pub value: String,
    /// What it may say.
    pub want: &'static str,
}

/// Reads the query of a log stream; of a parameter that comes twice, the first counts.
///
/// # Errors
/// A parameter that makes no sense.
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
    // A number beyond what fits asks for all there are.
    digits.then(|| text.parse().unwrap_or(usize::MAX)).ok_or_else(bad)
}

fn switch(name: &'static str, text: &str) -> Result<bool, BadQuery> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(BadQuery::Parameter(BadParameter { name, value: text.to_owned(), want: "true or false" })),
    }
}

/// Reads the query of a listing; of a parameter that comes twice, the first counts.
///
/// # Errors
/// A limit that is no positive number.
pub fn parse(query: Option<&str>) -> Result<Query, BadQuery> {
    let mut found = Query::default();
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

/// A number beyond what fits is as good as no limit.
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
    fn a_query_says_where_and_how_many() {
        let query = |continue_at: Option<&str>, limit| Query { continue_at: continue_at.map(str::to_owned), limit };
        for (text, expected) in [
            (None, query(None, None)),
            (Some(""), query(None, None)),
            (Some("enclave=x"), query(None, None)),
            (Some("continue_at=a-1&limit=2"), query(Some("a-1"), Some(2))),
            (Some("limit=2&limit=3&continue_at=%61"), query(Some("a"), Some(2))),
            (Some("continue_at="), query(None, None)),
            (Some("limit=99999999999999999999999"), query(None, Some(usize::MAX))),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_stream_is_told_which_events() {
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
            assert!(matches!(parse(Some(bad)), Err(BadQuery::Limit(_))), "{bad}");
        }
    }
}
