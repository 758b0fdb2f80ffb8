//! The format of the case files, which `README.md` in this folder describes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use crate::support::http::Framing;

/// A file of cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// Its groups.
    pub groups: Vec<Group>,
}

/// Cases that run in order and share variables; groups do not depend on each other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What a report calls it.
    pub name: String,
    /// Headings of `docs/wire-contract.md`, and what each says about the cases. The tidy test checks the headings.
    #[serde(default)]
    pub contract: BTreeMap<String, String>,
    /// What Keyraft adds to the contract, for cases about that.
    pub addition: Option<String>,
    /// How the node is configured.
    #[serde(default)]
    pub node: Setting,
    /// The cases.
    pub cases: Vec<Case>,
}

/// How the configuration of the group's node differs from that of the recorded answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Setting {
    /// It does not differ.
    #[default]
    Plain,
    /// ready, status, metrics and api skip authentication.
    Open,
    /// ops is a proxy.
    Proxy,
    /// `tls.auth` is on.
    Verified,
}

/// A request and the answer wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The client, one of those that `clients.rs` knows.
    #[serde(rename = "as")]
    pub client: String,
    /// The method.
    pub method: String,
    /// The raw request target.
    pub target: String,
    /// Headers as `Name: value`.
    #[serde(default)]
    pub headers: Vec<String>,
    /// The body.
    pub body: Option<Body>,
    /// How the request marks the end of the body: `Content-Length` unless given, if it has a body.
    pub framing: Option<Framing>,
    /// The only version of HTTP for which the case holds.
    pub http: Option<u8>,
    /// The version of TLS, 1.3 when absent.
    pub tls: Option<String>,
    /// Variables, and the fields of the answer that set them.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
    /// Fields whose value varies.
    #[serde(default)]
    pub mask: Vec<String>,
    /// What else must hold of the answer.
    #[serde(default)]
    pub check: Checks,
    /// The answer of a real KES, or the one that the contract asks for.
    pub answer: Answer,
    /// The answer of this server where it differs from a real KES.
    pub keyraft: Option<Answer>,
    /// Why it differs, or why the case exists.
    #[serde(rename = "why")]
    pub _why: Option<String>,
}

/// A body, whole or in pieces.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Body {
    /// The text as it is.
    Whole(String),
    /// One piece after the other.
    Pieces(Vec<Piece>),
}

/// A piece of a body.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Piece {
    /// The text as it is.
    Text(String),
    /// A text, repeated.
    Repeat {
        /// The text and how often.
        repeat: (String, usize),
    },
}

/// A wanted answer.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The status code.
    pub status: Option<u16>,
    /// The connection ends in the handshake instead. The value says how it was seen to end, and the test ignores it.
    pub refused: Option<Value>,
    /// Headers. `content-type` and `accept` must be absent if absent here. The test checks others only if named.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body as JSON, exactly.
    pub json: Option<Value>,
    /// The body as text, exactly.
    pub text: Option<String>,
    /// What the body contains.
    #[serde(default)]
    pub contains: Vec<String>,
    /// What the body does not contain.
    #[serde(default)]
    pub lacks: Vec<String>,
}

/// What must hold of an answer beside its form.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Checks {
    /// Fields that are padded standard base64 of this many bytes.
    pub base64_len: BTreeMap<String, usize>,
    /// Fields that are an RFC 3339 date.
    pub rfc3339: Vec<String>,
    /// Fields that are one of these.
    pub one_of: BTreeMap<String, Vec<Value>>,
    /// Fields that are not this.
    pub differs: BTreeMap<String, String>,
    /// Lists that contain these, by field; the empty name is the whole answer.
    pub includes: BTreeMap<String, Vec<Value>>,
    /// The field by whose bytes the answer, a list, is sorted.
    pub sorted_by: Option<String>,
    /// How long the answer, a list, is.
    pub count: Option<usize>,
    /// The most bytes of the body.
    pub max_len: Option<usize>,
}

impl Case {
    /// The answer that this server must give.
    pub fn wanted(&self) -> &Answer {
        self.keyraft.as_ref().unwrap_or(&self.answer)
    }

    /// How the request marks the end of its body.
    pub fn framing(&self) -> Framing {
        let usual = if self.body.is_some() { Framing::Length } else { Framing::None };
        self.framing.unwrap_or(usual)
    }

    /// Whether the case means the same over HTTP/2. A case for HTTP/1.1 does not. Nor does generate without a body,
    /// because only HTTP/1.1 can send that without `Content-Length` (wire contract, "Bodies and headers").
    pub fn holds_over_http2(&self) -> bool {
        let silent_generate = self.framing() == Framing::None && self.target.starts_with("/v1/key/generate/");
        self.http != Some(1) && (self.http == Some(2) || !silent_generate)
    }
}

/// The answers recorded from a real KES.
pub fn recorded() -> Vec<Group> {
    read("recorded.json")
}

/// The cases of every other file in this folder, in the order of the files' names.
pub fn contract() -> Vec<Group> {
    let names = fs::read_dir(folder()).expect("the folder is there").map(|entry| entry.expect("readable").file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().expect("a text")).collect();
    names.retain(|name| !["README.md", "recorded.json"].contains(&name.as_str()));
    names.retain(|name| !name.ends_with(".rs"));
    names.sort();
    names.iter().flat_map(|name| read(name)).collect()
}

/// The path of this folder.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/compat")
}

fn read(name: &str) -> Vec<Group> {
    let text = fs::read_to_string(folder().join(name)).expect("the file is readable");
    let file: CaseFile = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    file.groups
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::clients;

    fn all() -> Vec<Group> {
        recorded().into_iter().chain(contract()).collect()
    }

    #[test]
    fn no_recorded_answer_is_missing() {
        assert_eq!(recorded().iter().map(|group| group.cases.len()).sum::<usize>(), 229);
    }

    #[test]
    fn every_group_cites_the_contract_or_an_addition_and_has_a_name_of_its_own() {
        assert!(contract().iter().all(|group| group.contract.is_empty() == group.addition.is_some()));
        let names: BTreeSet<_> = all().into_iter().map(|group| group.name).collect();
        assert_eq!(names.len(), all().len());
    }

    #[test]
    fn every_answer_is_complete_and_every_client_exists() {
        for group in all() {
            for case in &group.cases {
                let at = format!("{}: {} {}", group.name, case.method, case.target);
                let wanted = case.wanted();
                assert!(clients::NAMES.contains(&case.client.as_str()), "{at}: {}", case.client);
                assert!(wanted.status.is_some() != wanted.refused.is_some(), "{at}");
                let says = wanted.json.is_some() || wanted.text.is_some() || !wanted.contains.is_empty();
                assert!(says || wanted.refused.is_some(), "{at}: nothing is said of the body");
            }
        }
    }

    #[test]
    fn every_placeholder_of_ours_is_masked_and_every_mask_has_one() {
        for group in contract() {
            for case in &group.cases {
                let mut varying = BTreeSet::new();
                case.wanted().json.iter().for_each(|value| placeholders("", value, &mut varying));
                varying.remove("");
                let masked: BTreeSet<_> = case.mask.iter().map(String::as_str).collect();
                assert_eq!(varying, masked, "{}: {} {}", group.name, case.method, case.target);
            }
        }
    }

    fn placeholders<'a>(name: &'a str, value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::String(text) if text.starts_with('<') && text.ends_with('>') => drop(found.insert(name)),
            Value::Array(items) => items.iter().for_each(|item| placeholders(name, item, found)),
            Value::Object(fields) => fields.iter().for_each(|(name, value)| placeholders(name, value, found)),
            _ => {}
        }
    }

    #[test]
    fn no_key_is_made_in_two_groups() {
        let mut makers = BTreeMap::new();
        for group in all() {
            for case in group.cases.iter().filter(|case| case.wanted().status == Some(200)) {
                let made = ["/v1/key/create/", "/v1/key/import/"].iter().find_map(|at| case.target.strip_prefix(at));
                let Some(key) = made else { continue };
                let other = makers.insert(key.to_owned(), group.name.clone());
                assert!(other.is_none_or(|other| other == group.name), "{key} is made in {}, too", group.name);
            }
        }
    }
}
