//! The query of a listing: where to go on, and how many names (contract, section 3).

use super::error::Refusal;
use super::path;

/// What a listing's query asks for. Other parameters, such as `enclave`, are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// The first name wanted.
    pub continue_at: Option<String>,
    /// The most names wanted.
    pub limit: Option<usize>,
}

/// Reads a query; of a parameter that comes twice, the first counts.
///
/// # Errors
/// A limit that is no positive number.
pub fn parse(query: Option<&str>) -> Result<Query, Refusal> {
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
fn limit(text: &str) -> Result<usize, Refusal> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<usize>() {
        Ok(limit) if digits && limit > 0 => Ok(limit),
        Err(_) if digits => Ok(usize::MAX),
        _ => Err(Refusal::Limit(text.to_owned())),
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
    fn a_limit_is_a_positive_number() {
        for bad in ["limit=0", "limit=", "limit", "limit=-1", "limit=+1", "limit=%2B1", "limit=x", "limit=1.5"] {
            assert!(matches!(parse(Some(bad)), Err(Refusal::Limit(_))), "{bad}");
        }
    }
}
