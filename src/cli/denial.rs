//! Explains refusals: missing credentials, or the pattern that is missing or in the way, and how an admin settles it.

use std::collections::BTreeMap;
use std::future::Future;

use super::Error;
use super::connect::Connect;
use super::error::FORCE_SKIPS_CHECK;
use super::escape::{printable, quoted};
use crate::client::{self, SelfEntry};
use crate::policy::{Action, ActionKind, NameInPath, Pattern, PolicyAction};
use crate::tls::Credentials;

/// Runs a command. If the server refuses it, adds advice from the caller's own policy, which the server shows. If no
/// credentials are set, the error says so first.
pub async fn explained(connect: &Connect, outcome: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let Err(error) = outcome.await else { return Ok(()) };
    if is_anonymous(&error, &connect.settings()?.credentials) {
        return Err(Error::Anonymous { error: Box::new(error) });
    }
    let Some(client::Error::Status { path, .. }) = error.refusal() else { return Err(error) };
    let path = path.clone();
    // The caller may not read their own policy, or KES does not show it to its admin. The general hint must do then.
    let Ok(own) = connect.client()?.describe_self().await else { return Err(error) };
    let mut advice = advice(&path, &own);
    if error.is_of_unknown_use() {
        advice = format!("{advice}\n{FORCE_SKIPS_CHECK}");
    }
    Err(Error::Denied { error: Box::new(error), advice })
}

/// Whether missing credentials may be the cause. A server without them may just close the connection, and one that is
/// away would ask for them next.
fn is_anonymous(error: &Error, credentials: &Credentials) -> bool {
    let unanswered = |error: &client::Error| match error {
        client::Error::Transport { .. } | client::Error::TimedOut { .. } | client::Error::NoServer(_) => true,
        error => error.may_want_a_certificate(),
    };
    matches!(credentials, Credentials::Nothing) && error.request().is_some_and(unanswered)
}

/// Says which right is missing or which pattern denies the request, and what an admin can do about it.
fn advice(path: &str, own: &SelfEntry) -> String {
    let (identity, policy) = (quoted(&own.identity), quoted(&own.policy));
    let assigns = Action::parse(path).is_some_and(|action| action.kind() == ActionKind::Policy(PolicyAction::Assign));
    if assigns && is_allowed(path, own) {
        return "nobody can give a policy to themselves: ask another admin".to_owned();
    }
    if own.admin || is_allowed(path, own) {
        return "your rights allow this request now: they may have changed just now, so try again; if that fails, too, only an admin may send it".to_owned();
    }
    if own.policy.is_empty() {
        return format!(
            "your identity has no policy; an admin can give it one:\n  keyraft policy assign POLICY {identity}"
        );
    }
    let name = printable(&own.policy);
    match first_match(path, &own.deny) {
        Some(pattern) => format!(
            "your policy '{name}' denies this: its deny pattern \"{}\" matches {}, and deny wins over allow; \
             an admin can remove the pattern:\n  keyraft policy edit {policy} --drop {}",
            printable(pattern),
            printable(path),
            quoted(pattern)
        ),
        None => format!(
            "your policy '{name}' does not allow {}; an admin can add that{}:\n  keyraft policy edit {policy} --allow {}",
            printable(path),
            wider(path).map_or_else(String::new, |wider| format!(", or \"{}\"", printable(&wider))),
            quoted(path)
        ),
    }
}

/// Whether the caller's rights allow a request with this path.
fn is_allowed(path: &str, own: &SelfEntry) -> bool {
    own.admin || (first_match(path, &own.deny).is_none() && first_match(path, &own.allow).is_some())
}

/// The first of the patterns that matches the path.
fn first_match<'a>(path: &str, patterns: &'a BTreeMap<String, serde_json::Value>) -> Option<&'a str> {
    let hits = |text: &&String| Pattern::parse(text).is_ok_and(|pattern| pattern.matches_decoded(path));
    patterns.keys().find(hits).map(String::as_str)
}

/// The pattern for everything of the route: `/v1/key/create/*` for `/v1/key/create/my-key`. An action whose path no name
/// follows has none: a wider pattern would allow other actions too.
fn wider(path: &str) -> Option<String> {
    let kind = Action::parse(path)?.kind();
    (kind.name_in_path() != NameInPath::Nothing).then(|| format!("{}*", kind.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(policy: &str, allow: &[&str], deny: &[&str]) -> SelfEntry {
        let patterns = |texts: &[&str]| texts.iter().map(|text| ((*text).to_owned(), serde_json::json!({}))).collect();
        SelfEntry {
            identity: "ea98".to_owned(),
            policy: policy.to_owned(),
            allow: patterns(allow),
            deny: patterns(deny),
            ..SelfEntry::default()
        }
    }

    #[test]
    fn what_is_missing_or_in_the_way_is_named() {
        let path = "/v1/key/create/my-key";
        let none = advice(path, &own("", &[], &[]));
        assert!(none.contains("has no policy") && none.contains("keyraft policy assign POLICY ea98"), "{none}");
        let missing = advice(path, &own("app", &["/v1/key/list/*"], &[]));
        assert!(missing.contains("policy 'app' does not allow /v1/key/create/my-key"), "{missing}");
        assert!(
            missing.contains("\"/v1/key/create/*\"") && missing.contains("policy edit app --allow /v1/key/"),
            "{missing}"
        );
        let denied = advice(path, &own("app", &["/v1/*"], &["/v1/key/delete/*", "/v1/key/create/my-*"]));
        assert!(denied.contains("deny pattern \"/v1/key/create/my-*\" matches"), "{denied}");
        assert!(denied.contains("--drop '/v1/key/create/my-*'"), "{denied}");
    }

    #[test]
    fn a_route_without_a_name_has_no_wider_pattern() {
        for path in ["/v1/metrics", "/v1/log/audit", "/v1/cluster/status", "/v1/identity/self/describe"] {
            let advice = advice(path, &own("app", &[], &[]));
            assert!(advice.contains(&format!("--allow {path}")) && !advice.contains('*'), "{advice}");
        }
        assert_eq!(wider("/v1/key/list/").as_deref(), Some("/v1/key/list/*"));
        assert_eq!(wider("/v1/policy/create/a/b").as_deref(), Some("/v1/policy/create/*"));
    }

    #[test]
    fn advice_is_safe_to_look_at_and_to_paste() {
        let tricky = "/v1/key/create/x';reboot #\u{1b}[2J";
        let missing = advice(tricky, &own("app", &[], &[]));
        assert!(missing.contains(r"--allow $'/v1/key/create/x\';reboot #\x1b[2J'"), "{missing}");
        assert!(!missing.contains('\u{1b}'), "{missing}");
        let denied = advice("/v1/key/create/x';y", &own("app", &["/v1/*"], &["/v1/key/create/x';*"]));
        assert!(denied.contains(r"--drop '/v1/key/create/x'\'';*'"), "{denied}");
    }

    #[test]
    fn a_listing_is_allowed_by_either_form() {
        let listed = advice("/v1/key/list/", &own("app", &["/v1/key/list"], &[]));
        assert!(listed.contains("your rights allow this request"), "{listed}");
    }

    #[test]
    fn an_admin_learns_why_an_admin_may_not() {
        let admin = SelfEntry { admin: true, ..SelfEntry::default() };
        assert!(advice("/v1/policy/assign/app", &admin).contains("to themselves"));
    }
}
