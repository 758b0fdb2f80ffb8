//! The difference between a file and a server, for people and for programs.

use clap::builder::styling::Style;
use serde_json::{Value, json};

use super::order;
use super::plan::{ChangeKind, FileAdmin, PatternDiff, PolicyChange, PolicyPlan};
use crate::cli::escape::printable;
use crate::cli::output::{DIM, GOOD, STRONG, WARN};

/// For people: each policy that changes, with `+` before what comes and `-` before what goes.
pub fn render(plan: &PolicyPlan, prune: bool) -> String {
    let mut parts: Vec<String> = plan.changes.iter().map(change).collect();
    if plan.changes.is_empty() {
        parts.push("Nothing differs.".to_owned());
    }
    for left in &plan.left {
        let (policy, identity, reason) = (&left.policy, &left.identity, left.reason);
        parts.push(format!("{WARN}left alone{WARN:#}  {identity}, which the file gives {policy}: {reason}"));
    }
    if plan.extra > 0 && !prune {
        let count = plan.extra;
        parts.push(format!(
            "{DIM}{count} policies or assignments that the file does not have stay; --prune deletes them{DIM:#}"
        ));
    }
    parts.join("\n\n")
}

/// What the file's admin needs that none of the steps does.
pub fn advice(admin: &FileAdmin) -> String {
    let FileAdmin { identity, policy } = admin;
    let create = format!("keyraft identity create {identity} --admin");
    match policy {
        None => format!("the file's admin is none here, and is made none. If it shall be one:\n  {create}"),
        // An identity that is known must be forgotten first.
        Some(policy) => format!(
            "the file's admin is none here: it has the policy {}, and keeps it. If it shall be one:\n  \
             keyraft identity rm {identity} && {create}",
            printable(policy)
        ),
    }
}

/// For programs; `done` are the steps that were carried out.
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
        "left_alone": plan.left,
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
        ChangeKind::Same => (DIM, " stays, for others"),
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
