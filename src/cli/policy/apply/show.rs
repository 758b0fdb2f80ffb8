//! Shows the differences between a file and a server, as text or JSON.

use clap::builder::styling::Style;
use serde_json::{Value, json};

use super::order;
use super::plan::{ChangeKind, FileAdmin, PatternDiff, PolicyChange, PolicyPlan};
use crate::cli::escape::printable;
use crate::cli::output::{DIM, GOOD, STRONG, WARN};

/// The text: each policy that changes, with `+` before additions and `-` before removals.
pub fn render(plan: &PolicyPlan, prune: bool) -> String {
    let mut parts: Vec<String> = plan.changes.iter().map(change).collect();
    if plan.changes.is_empty() {
        parts.push("Nothing differs.".to_owned());
    }
    for one in &plan.skipped {
        let (policy, identity, reason) = (&one.policy, &one.identity, one.reason);
        parts.push(format!("{WARN}not assigned{WARN:#}  {policy} to {identity}: {reason}"));
    }
    if plan.extra > 0 && !prune {
        let count = plan.extra;
        parts.push(format!(
            "{DIM}not in the file, and kept: {count} policies or assignments. --prune deletes them.{DIM:#}"
        ));
    }
    parts.join("\n\n")
}

/// How to make the file's admin an admin of the server, which the command itself does not do.
pub fn advice(admin: &FileAdmin) -> String {
    let FileAdmin { identity, policy } = admin;
    let create = format!("keyraft identity create {identity} --admin");
    match policy {
        None => format!(
            "the file's admin is not an admin of this server, and this command does not change that. To make it an admin:\n  {create}"
        ),
        // The server refuses to create an identity that it has, so that must be removed first.
        Some(policy) => format!(
            "the file's admin is not an admin of this server. It has the policy {}, and this command does not change that. To make it an admin:\n  \
             keyraft identity rm {identity} && {create}",
            printable(policy)
        ),
    }
}

/// The JSON; `done` are the changes that are made.
pub fn json(plan: &PolicyPlan, done: &[String]) -> Value {
    let change = |change: &PolicyChange| {
        let assign =
            |(identity, from): &(_, Option<String>)| json!({ "identity": identity_text(identity), "from": from });
        json!({
            "name": change.name,
            "change": change.kind,
            "allow": change.allow,
            "deny": change.deny,
            "assign": change.assign.iter().map(assign).collect::<Vec<_>>(),
            "remove": change.remove,
        })
    };
    json!({
        "differs": order::step_count(plan) > 0,
        "policies": plan.changes.iter().map(change).collect::<Vec<_>>(),
        "left_alone": plan.skipped,
        "admin": plan.admin,
        "done": done,
    })
}

fn identity_text(identity: &crate::policy::Identity) -> String {
    identity.to_string()
}

fn change(change: &PolicyChange) -> String {
    let (style, kind) = match change.kind {
        ChangeKind::New => (GOOD, " is new"),
        ChangeKind::Changed => (WARN, " changes"),
        ChangeKind::Same => (DIM, " keeps its patterns"),
        ChangeKind::Deleted => (WARN, " is deleted"),
    };
    let title = format!("{STRONG}policy {}{STRONG:#}{style}{kind}{style:#}", printable(&change.name));
    let assigned = change.assign.iter().map(|(identity, from)| {
        let from = from.as_ref().map(|from| format!("  (had {from})")).unwrap_or_default();
        line(GOOD, '+', "identity", &format!("{identity}{from}"))
    });
    let removed = change.remove.iter().map(|identity| line(WARN, '-', "identity", identity));
    let rules = patterns("deny", &change.deny).chain(patterns("allow", &change.allow));
    std::iter::once(title).chain(rules).chain(removed).chain(assigned).collect::<Vec<_>>().join("\n")
}

fn patterns(label: &'static str, difference: &PatternDiff) -> impl Iterator<Item = String> {
    let removed = difference.remove.iter().map(move |pattern| line(WARN, '-', label, pattern));
    removed.chain(difference.add.iter().map(move |pattern| line(GOOD, '+', label, pattern)))
}

fn line(style: Style, sign: char, label: &str, text: &str) -> String {
    format!("  {style}{sign} {label:8} {}{style:#}", printable(text))
}
