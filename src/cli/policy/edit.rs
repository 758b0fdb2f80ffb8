//! Makes, changes, assigns and deletes policies.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::{open_siblings, unmatched};
use crate::cli::output::GOOD;
use crate::cli::{Error, Output, encoding};
use crate::client::{ApiClient, PolicyEntry};
use crate::error_code::ErrorCode;
use crate::file::{self, Named};
use crate::policy::{Identity, Pattern, PatternError, Policy};

/// The changes that `policy edit` makes to a policy.
pub struct PolicyEdit {
    allow: Vec<Pattern>,
    deny: Vec<Pattern>,
    drop: Vec<String>,
}

/// How often an edit is tried again because somebody else changed the policy meanwhile.
const ATTEMPTS: u32 = 100;

/// The policy that a file and options describe.
pub fn described(file: Option<&Path>, allow: &[String], deny: &[String]) -> Result<Policy, Error> {
    if file.is_none() && allow.is_empty() && deny.is_empty() {
        let reason =
            "give a file (`-` for standard input), --allow or --deny; for a policy that allows nothing, give a file \
             with {}"
                .to_owned();
        return Err(Error::Input { what: "policy", reason });
    }
    let from_file = file.map(of_file).transpose()?.unwrap_or_default();
    let both = |file: Vec<Pattern>, options| Ok::<_, Error>(file.into_iter().chain(parse_new(options)?));
    Ok(Policy::new(both(from_file.allow, allow)?, both(from_file.deny, deny)?))
}

/// Makes a policy.
pub async fn create(
    client: &ApiClient,
    name: &str,
    policy: &Policy,
    replace: bool,
    output: Output,
) -> Result<(), Error> {
    unmatched::warn(client, policy.allow.iter().chain(&policy.deny), output).await;
    let verb = if replace {
        client.write_policy(name, policy).await?;
        "written"
    } else {
        client.create_policy(name, policy).await?;
        "created"
    };
    open_siblings::warn(name, policy, output);
    output.done(verb, name)
}

/// Reads a policy and writes it changed, and tries again if somebody else changed it meanwhile.
pub async fn edit(client: &ApiClient, name: &str, change: &PolicyEdit, output: Output) -> Result<(), Error> {
    unmatched::warn(client, change.allow.iter().chain(&change.deny), output).await;
    for attempt in 1.. {
        let (policy, tag) = client.read_tagged_policy(name).await?;
        let changed = change.of(&policy_of(&policy)?)?;
        match client.replace_policy(name, &changed, tag).await {
            Err(error) if error.has_code(ErrorCode::PolicyChanged) && attempt < ATTEMPTS => {}
            replaced => {
                replaced?;
                open_siblings::warn(name, &changed, output);
                break;
            }
        }
    }
    output.done("changed", name)
}

/// Gives an identity a policy.
pub async fn assign(client: &ApiClient, policy: &str, identity: Identity, output: Output) -> Result<(), Error> {
    client.assign_policy(policy, identity).await?;
    output.either(&json!({ "assigned": policy, "identity": identity.to_string() }), || {
        format!("{GOOD}Assigned{GOOD:#} {policy} to {identity}")
    })
}

/// Deletes a policy.
pub async fn remove(client: &ApiClient, name: &str, output: Output) -> Result<(), Error> {
    client.delete_policy(name).await?;
    output.done("deleted", name)
}

/// The policy in a server's answer.
pub fn policy_of(entry: &PolicyEntry) -> Result<Policy, Error> {
    Ok(Policy::new(parse_stored(entry.allow.keys())?, parse_stored(entry.deny.keys())?))
}

impl PolicyEdit {
    /// Parses the patterns to add. Those to drop may be ones that can never match, so that an edit can remove them.
    pub fn parse(allow: &[String], deny: &[String], drop: &[String]) -> Result<Self, Error> {
        if allow.is_empty() && deny.is_empty() && drop.is_empty() {
            let reason = "give at least one of --allow, --deny and --drop".to_owned();
            return Err(Error::Setting { name: "--allow".to_owned(), reason });
        }
        Ok(Self { allow: parse_new(allow)?, deny: parse_new(deny)?, drop: drop.to_vec() })
    }

    fn of(&self, policy: &Policy) -> Result<Policy, Error> {
        let has = |text: &String| policy.allow.iter().chain(&policy.deny).any(|pattern| pattern.as_str() == text);
        if let Some(missing) = self.drop.iter().find(|text| !has(text)) {
            return Err(Error::Input { what: "--drop", reason: format!("the policy has no pattern '{missing}'") });
        }
        let kept = |patterns: &[Pattern]| -> Vec<Pattern> {
            patterns.iter().filter(|pattern| !self.drop.iter().any(|drop| drop == pattern.as_str())).cloned().collect()
        };
        let with = |old: &[Pattern], new: &[Pattern]| kept(old).into_iter().chain(new.to_vec());
        Ok(Policy::new(with(&policy.allow, &self.allow), with(&policy.deny, &self.deny)))
    }
}

fn of_file(path: &Path) -> Result<Policy, Error> {
    let text = if path == Path::new("-") {
        encoding::bytes("-")?.to_vec()
    } else {
        file::read(path, Named::ByArgument).map_err(Error::Unread)?.to_vec()
    };
    let wrong = |reason: &str| Error::Input { what: "policy", reason: format!("{}: {reason}", path.display()) };
    // serde would also read an array, as the fields in their order.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(wrong("it must be a JSON object with `allow` and `deny`"));
    }
    let patterns: PolicyJson = serde_json::from_slice(&text).map_err(|error| wrong(&error.to_string()))?;
    Ok(Policy::new(parse_new(patterns.allow.texts())?, parse_new(patterns.deny.texts())?))
}

/// A policy as JSON: `allow` and `deny` are arrays of patterns, or objects with patterns as keys. Other fields are only
/// those that `policy show` prints, because a mistyped `deny` would silently allow more.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct PolicyJson {
    allow: PatternList,
    deny: PatternList,
    #[serde(rename = "name")]
    _name: IgnoredAny,
    #[serde(rename = "created_at")]
    _created_at: IgnoredAny,
    #[serde(rename = "created_by")]
    _created_by: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PatternList {
    Array(Vec<String>),
    Object(BTreeMap<String, Value>),
}

impl Default for PatternList {
    fn default() -> Self {
        Self::Array(Vec::new())
    }
}

impl PatternList {
    fn texts(&self) -> Vec<&String> {
        match self {
            Self::Array(texts) => texts.iter().collect(),
            Self::Object(texts) => texts.keys().collect(),
        }
    }
}

/// Parses patterns that a user writes. Each must be able to match something.
fn parse_new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Vec<Pattern>, Error> {
    texts.into_iter().map(|text| Pattern::written(text.as_ref()).map_err(unmatchable)).collect()
}

/// Parses patterns that a server has. An earlier release may have taken some that can never match.
fn parse_stored<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Vec<Pattern>, Error> {
    texts.into_iter().map(|text| Pattern::parse(text.as_ref()).map_err(unmatchable)).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` passes it by value")]
fn unmatchable(error: PatternError) -> Error {
    Error::Input { what: "policy", reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(patterns: &[Pattern]) -> Vec<&str> {
        patterns.iter().map(Pattern::as_str).collect()
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_file_has_arrays_or_objects_and_options_add_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.json");
        std::fs::write(&path, r#"{"name":"app","allow":["/v1/a*"],"deny":{"/v1/ab":{}}}"#).unwrap();
        let policy = described(Some(&path), &owned(&["/v1/c"]), &[]).unwrap();
        assert_eq!((texts(&policy.allow), texts(&policy.deny)), (vec!["/v1/a*", "/v1/c"], vec!["/v1/ab"]));
        std::fs::write(&path, r#"{"allow":["/v1/*"],"denny":["/v1/key/delete/*"]}"#).unwrap();
        assert!(described(Some(&path), &[], &[]).unwrap_err().to_string().contains("unknown field `denny`"));
        for wrong in ["[]", r#"["a", ["/v1/*"]]"#, "null", ""] {
            std::fs::write(&path, wrong).unwrap();
            assert!(described(Some(&path), &[], &[]).unwrap_err().to_string().contains("JSON object"), "{wrong}");
        }
        std::fs::write(&path, r#"{"allow":["v1/key"]}"#).unwrap();
        assert!(described(Some(&path), &[], &[]).unwrap_err().to_string().contains("can never match"));
    }

    #[test]
    fn a_pattern_that_can_never_match_is_refused_in_a_new_policy_and_read_from_a_server() {
        let glob = owned(&["/v1/key/decrypt/app-[0-9]*"]);
        let refused = described(None, &[], &glob).unwrap_err().to_string();
        assert!(refused.contains("can never match: no path and no name has '[' in it"), "{refused}");
        assert!(PolicyEdit::parse(&glob, &[], &[]).is_err());
        assert_eq!(texts(&parse_stored(&glob).unwrap()), [&glob[0]], "an edit must be able to drop it");
    }

    #[test]
    fn a_policy_that_allows_nothing_needs_a_file_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.json");
        std::fs::write(&path, " {}\n").unwrap();
        assert_eq!(described(Some(&path), &[], &[]).unwrap(), Policy::default());
        assert!(described(None, &[], &[]).unwrap_err().to_string().contains("--allow or --deny"));
    }

    #[test]
    fn an_edit_adds_and_drops_and_leaves_the_rest() {
        let policy = described(None, &owned(&["/v1/a", "/v1/b"]), &owned(&["/v1/c"])).unwrap();
        let change = PolicyEdit::parse(&owned(&["/v1/d"]), &[], &owned(&["/v1/a", "/v1/c"])).unwrap();
        let changed = change.of(&policy).unwrap();
        assert_eq!((texts(&changed.allow), texts(&changed.deny)), (vec!["/v1/b", "/v1/d"], vec![]));
        let typo = PolicyEdit::parse(&[], &[], &owned(&["/v1/x"])).unwrap();
        assert!(typo.of(&policy).unwrap_err().to_string().contains("no pattern '/v1/x'"));
        assert!(PolicyEdit::parse(&[], &[], &[]).is_err());
    }
}
