//! Listings: every name with a prefix, from servers that stream lines and from servers that send pages.

use std::fmt::Write as _;

use hyper::Method;
use serde::Deserialize;

use super::exchange::{Answer, Call};
use super::{ApiClient, Error};
use crate::policy::ActionKind;

const NDJSON: &str = "application/x-ndjson";

#[derive(Deserialize)]
struct Line {
    #[serde(alias = "identity")]
    name: String,
}

#[derive(Deserialize)]
struct Page {
    #[serde(alias = "identities", default)]
    names: Vec<String>,
    #[serde(default)]
    continue_at: String,
}

impl ApiClient {
    /// All names that begin with `prefix`, from a listing.
    ///
    /// Keyraft sends them all as one stream of lines. Other servers send pages. Their continuation is the prefix of the
    /// next request (wire contract, "Names and listings").
    pub(super) async fn list(&self, listing: impl Into<ActionKind>, prefix: &str) -> Result<Vec<String>, Error> {
        let listing = listing.into();
        let prefix = prefix.strip_suffix('*').unwrap_or(prefix);
        let mut names = Vec::new();
        let mut from = prefix.to_owned();
        loop {
            let call = Call { accept: NDJSON, ..Call::new(Method::GET, path(listing, &from)) };
            let answer = self.exchange(&call).await?;
            if answer.content_type.starts_with(NDJSON) {
                return lines(&call, &answer);
            }
            let page: Page = answer.parse(&call.path)?;
            names.extend(page.names.into_iter().filter(|name| name.starts_with(prefix)));
            // A server whose continuation does not advance would send the same page for ever.
            if page.continue_at.is_empty() || page.continue_at <= from {
                return Ok(names);
            }
            from = page.continue_at;
        }
    }
}

fn lines(call: &Call, answer: &Answer) -> Result<Vec<String>, Error> {
    serde_json::Deserializer::from_slice(&answer.body)
        .into_iter::<Line>()
        .map(|line| line.map(|line| line.name))
        .collect::<Result<_, _>>()
        .map_err(|error| Error::Malformed { path: call.path.clone(), reason: error.to_string() })
}

/// The path of a request for an action on a name, which is empty if no name follows the path. Escapes every byte that
/// could end the segment or change its meaning.
pub fn path(action: impl Into<ActionKind>, name: &str) -> String {
    let mut path = action.into().path().to_owned();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            write!(path, "%{byte:02X}").expect("writing to a String does not fail");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::KeyAction;

    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(path(KeyAction::Create, "my-key_1"), "/v1/key/create/my-key_1");
        assert_eq!(path(KeyAction::List, "a/b*ä?"), "/v1/key/list/a%2Fb%2A%C3%A4%3F");
    }
}
