//! The forms of a listing: one JSON answer, or lines of JSON (wire contract, "Names and listings").

use bytes::Bytes;
use http::HeaderMap;
use http::header::ACCEPT;

/// Every answer is shorter than this, which is the most that the SDK reads.
const MAX_ANSWER: usize = 1 << 20;
/// Room for the end of an answer: `continue_at` and a name of 80 bytes.
const TAIL: usize = 120;

/// The kind of names that a listing has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Keys.
    Keys,
    /// Policies.
    Policies,
    /// Identities.
    Identities,
}

/// Whether the client accepts lines instead of one answer.
pub fn wants_lines(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_lines = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-ndjson"));
        // A weight of zero means that the client does not accept it (RFC 9110, section 12.4.2).
        let weight = |part: &str| part.to_ascii_lowercase().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok());
        is_lines && parts.filter_map(weight).all(|weight| weight > 0.0)
    })
}

/// A JSON answer in the making.
pub struct ListingPage {
    kind: Listing,
    out: Vec<u8>,
    cut: Option<String>,
}

impl ListingPage {
    /// Begins an answer.
    pub fn new(kind: Listing) -> Self {
        let opening = match kind {
            Listing::Keys | Listing::Policies => "{\"names\":[",
            Listing::Identities => "{\"identities\":[",
        };
        Self { kind, out: opening.as_bytes().to_vec(), cut: None }
    }

    /// Whether every added name fitted.
    pub fn has_room(&self) -> bool {
        self.cut.is_none()
    }

    /// Adds names, up to the first one that does not fit.
    pub fn add(&mut self, names: Vec<String>) {
        for name in names {
            // The name, its quotes and a comma.
            if self.out.len() + name.len() + 3 + TAIL >= MAX_ANSWER {
                self.cut = Some(name);
                return;
            }
            if self.out.last() != Some(&b'[') {
                self.out.push(b',');
            }
            self.quote(&name);
        }
    }

    /// Ends the answer. `rest` is the next name if all added names fit.
    pub fn finish(mut self, rest: Option<String>) -> Vec<u8> {
        self.out.push(b']');
        match (self.cut.take().or(rest), self.kind) {
            (None, Listing::Keys) => {}
            (at, _) => {
                self.out.extend_from_slice(b",\"continue_at\":");
                self.quote(&at.unwrap_or_default());
            }
        }
        self.out.push(b'}');
        self.out
    }

    /// Names need no escapes.
    fn quote(&mut self, name: &str) {
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'"');
    }
}

/// The names as JSON lines.
pub fn as_lines(kind: Listing, names: &[String]) -> Bytes {
    let field = match kind {
        Listing::Keys | Listing::Policies => "name",
        Listing::Identities => "identity",
    };
    names.iter().fold(String::new(), |out, name| out + "{\"" + field + "\":\"" + name + "\"}\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(kind: Listing, names: &[&str], rest: Option<&str>) -> String {
        let mut page = ListingPage::new(kind);
        page.add(names.iter().map(|name| (*name).to_owned()).collect());
        String::from_utf8(page.finish(rest.map(str::to_owned))).unwrap()
    }

    #[test]
    fn a_page_says_where_the_next_one_begins() {
        use Listing::{Identities, Keys, Policies};
        for (kind, names, rest, expected) in [
            (Keys, vec![], None, r#"{"names":[]}"#),
            (Keys, vec!["a", "b"], None, r#"{"names":["a","b"]}"#),
            (Keys, vec!["a"], Some("b"), r#"{"names":["a"],"continue_at":"b"}"#),
            (Policies, vec![], None, r#"{"names":[],"continue_at":""}"#),
            (Policies, vec!["a"], Some("b"), r#"{"names":["a"],"continue_at":"b"}"#),
            (Identities, vec!["ab"], None, r#"{"identities":["ab"],"continue_at":""}"#),
        ] {
            assert_eq!(page(kind, &names, rest), expected);
        }
    }

    #[test]
    fn an_answer_stays_below_the_limit_and_loses_no_name() {
        for length in [1, 20, 80] {
            let names: Vec<_> = (0..600_000).map(|number| format!("{number:0length$}")).collect();
            let mut page = ListingPage::new(Listing::Keys);
            for batch in names.chunks(4096) {
                if page.has_room() {
                    page.add(batch.to_vec());
                }
            }
            let answer = page.finish(None);
            assert!(answer.len() < MAX_ANSWER && answer.len() > MAX_ANSWER - 400);
            let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
            let given = answer["names"].as_array().unwrap().len();
            assert_eq!(answer["names"][given - 1], names[given - 1]);
            assert_eq!(answer["continue_at"], names[given]);
        }
    }

    #[test]
    fn forty_thousand_short_names_fit() {
        let mut page = ListingPage::new(Listing::Keys);
        page.add((0..40_000).map(|number| format!("minio-bucket-key-{number:06}")[..20].to_owned()).collect());
        assert!(page.has_room());
    }

    #[test]
    fn lines_are_objects_of_one_name() {
        let names = ["a".to_owned(), "b".to_owned()];
        assert_eq!(as_lines(Listing::Keys, &names), "{\"name\":\"a\"}\n{\"name\":\"b\"}\n");
        assert_eq!(as_lines(Listing::Identities, &names[..1]), "{\"identity\":\"a\"}\n");
    }

    #[test]
    fn a_client_gets_lines_if_it_accepts_their_media_type() {
        for (accept, wanted) in [
            ("application/x-ndjson", true),
            ("application/json, application/x-ndjson;q=0.5", true),
            ("Application/X-NDJSON", true),
            ("application/x-ndjson;charset=utf-8; Q=0.001", true),
            ("application/x-ndjson;q=0", false),
            ("application/x-ndjson; q=0.000, application/json", false),
            ("*/*", false),
            ("application/json", false),
        ] {
            let headers = [(ACCEPT, accept.parse().unwrap())].into_iter().collect();
            assert_eq!(wants_lines(&headers), wanted, "{accept}");
        }
    }
}
