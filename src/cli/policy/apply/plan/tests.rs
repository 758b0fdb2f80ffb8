//! Tests of the decisions for various files and servers.

use std::path::Path;

use super::*;
use crate::cli::policy::apply::order;
use crate::client::IdentityEntry;

const APP: &str = "8087b18da11b0b1f8e9ae60a20930936762f092415fc81ca9f7d9c3625bbd4e9";
const OPS: &str = "b29d8c43b6845839e8de37f571c0603a9ba5f137e73a1e179137f1d2702f1ce0";
const ADMIN: &str = "8bc7c801a0d9d1cc3fef3fb16c0a7d8fbe73e29dce40589677c3bd2850c80328";

fn file(text: &str) -> PolicyFile {
    PolicyFile::parse(Path::new("f.yml"), text, &|_| None).unwrap().0
}

/// A server with these policies (name, allowed) and identities (identity, policy); an empty policy is an admin's.
fn server(policies: &[(&str, &str)], identities: &[(&str, &str)], own: &str) -> ServerRules {
    let policy = |allow: &str| Policy::new([Pattern::parse(allow).unwrap()], []);
    let entry = |policy: &str| IdentityEntry { policy: policy.into(), admin: policy.is_empty(), ..Default::default() };
    let identities: BTreeMap<_, _> = identities.iter().map(|(id, policy)| ((*id).to_owned(), entry(policy))).collect();
    ServerRules {
        policies: policies.iter().map(|(name, allow)| ((*name).to_owned(), policy(allow))).collect(),
        own_identity: own.to_owned(),
        own_policy: identities.get(own).map(|entry| entry.policy.clone()).unwrap_or_default(),
        identities,
    }
}

fn shown(plan: &PolicyPlan) -> Vec<String> {
    let short = |identity: &str| identity[..4].to_owned();
    let step = |step: &PolicyStep<'_>| match step {
        PolicyStep::Remove(identity) => format!("remove {}", short(identity)),
        PolicyStep::Create(name, _) => format!("create {name}"),
        PolicyStep::Narrow(name, _) => format!("narrow {name}"),
        PolicyStep::Write(name, _) => format!("write {name}"),
        PolicyStep::Assign(name, identity) => format!("assign {name} {}", short(&identity.to_string())),
        PolicyStep::Delete(name) => format!("delete {name}"),
    };
    order::phases(plan).concat().iter().map(step).collect()
}

#[test]
fn nothing_changes_if_the_server_matches_the_file() {
    let file = file(&format!("policy:\n  app: {{allow: [/v1/status], identities: [{APP}]}}\n"));
    let current = server(&[("app", "/v1/status")], &[(APP, "app"), (ADMIN, "")], ADMIN);
    for prune in [false, true] {
        assert_eq!(order::step_count(&PolicyPlan::new(&file, &current, prune)), 0);
    }
}

#[test]
fn an_empty_server_gets_the_whole_file() {
    let file = file(&format!("policy:\n  app: {{allow: [/v1/status], identities: [{APP}]}}\n  ops: {{}}\n"));
    let plan = PolicyPlan::new(&file, &server(&[], &[(ADMIN, "")], ADMIN), false);
    assert_eq!(shown(&plan), ["create app", "create ops", "assign app 8087"]);
    assert_eq!(plan.changes[0].allow.add, ["/v1/status"]);
}

#[test]
fn only_prune_removes_and_it_does_so_first_and_never_from_admins() {
    let file = file("policy:\n  app: {allow: [/v1/metrics]}\n");
    let current =
        server(&[("app", "/v1/status"), ("old", "/v1/api")], &[(APP, "app"), (OPS, "old"), (ADMIN, "")], ADMIN);
    let kept = PolicyPlan::new(&file, &current, false);
    assert_eq!((shown(&kept), kept.extra), (vec!["write app".to_owned()], 3));
    let pruned = PolicyPlan::new(&file, &current, true);
    assert_eq!(shown(&pruned), ["remove 8087", "remove b29d", "write app", "delete old"]);
}

#[test]
fn the_callers_own_access_is_never_pruned_and_its_policy_changes_last() {
    let file = file(&format!("policy:\n  app: {{identities: [{APP}]}}\n  me: {{allow: [/v1/api]}}\n"));
    let current = server(&[("me", "/v1/*"), ("old", "/v1/api")], &[(OPS, "me")], OPS);
    let plan = PolicyPlan::new(&file, &current, true);
    assert_eq!(shown(&plan), ["create app", "assign app 8087", "delete old", "write me"]);

    let without = super::tests::file("policy:\n  app: {}\n");
    let current = server(&[("me", "/v1/*")], &[(OPS, "me"), (APP, "me")], OPS);
    assert_eq!(shown(&PolicyPlan::new(&without, &current, true)), ["remove 8087", "create app"]);
}

#[test]
fn a_policy_is_written_before_identities_get_it_and_after_others_leave_it() {
    let two = |text: &str| file(&format!("policy:\n{text}"));
    let current = server(&[("ops", "/v1/key/*"), ("readonly", "/v1/key/list/*")], &[(OPS, "ops"), (APP, "ops")], ADMIN);
    let leaves_what_widens = two(&format!(
        "  ops: {{allow: [/v1/*], identities: [{APP}]}}\n  readonly: {{allow: [/v1/key/list/*], identities: [{OPS}]}}\n"
    ));
    assert_eq!(shown(&PolicyPlan::new(&leaves_what_widens, &current, false)), ["assign readonly b29d", "write ops"]);
    let leaves_what_narrows = two(&format!(
        "  ops: {{allow: [/v1/key/list/*]}}\n  writers: {{allow: [/v1/key/*], identities: [{APP}, {OPS}]}}\n"
    ));
    let order = shown(&PolicyPlan::new(&leaves_what_narrows, &current, false));
    assert_eq!(order, ["create writers", "assign writers 8087", "assign writers b29d", "write ops"]);
}

#[test]
fn the_files_admin_is_reported_and_keeps_its_policy() {
    let file = file(&format!("admin: {{identity: {ADMIN}}}\npolicy:\n  app: {{allow: [/v1/api]}}\n"));
    let policies = [("app", "/v1/api"), ("old", "/v1/status")];
    let admin = |identities: &[(&str, &str)]| PolicyPlan::new(&file, &server(&policies, identities, OPS), true);
    let has_policy = admin(&[(OPS, ""), (ADMIN, "app"), (APP, "app")]);
    assert_eq!(shown(&has_policy), ["remove 8087", "delete old"]);
    assert_eq!(has_policy.admin, Some(FileAdmin { identity: ADMIN.to_owned(), policy: Some("app".to_owned()) }));
    assert_eq!(admin(&[(OPS, "")]).admin.unwrap().policy, None);
    assert_eq!(admin(&[(OPS, ""), (ADMIN, "")]).admin, None);
}

#[test]
fn identities_that_swap_policies_gain_nothing_on_the_way() {
    let file = file(&format!(
        "policy:\n  a: {{allow: [/v1/key/*], identities: [{OPS}]}}\n  b: {{allow: [/v1/api], identities: [{APP}]}}\n"
    ));
    let current = server(&[("a", "/v1/key/list/*"), ("b", "/v1/*")], &[(APP, "a"), (OPS, "b")], ADMIN);
    let order = shown(&PolicyPlan::new(&file, &current, false));
    assert_eq!(order, ["narrow a", "assign a b29d", "write b", "assign b 8087", "write a"]);
}

#[test]
fn the_callers_own_policy_is_assigned_after_it_has_changed() {
    let file = |assign: &str| file(&format!("policy:\n  me: {{allow: [/v1/api{assign}], identities: [{APP}]}}\n"));
    let current = server(&[("me", "/v1/*"), ("old", "/v1/api")], &[(OPS, "me"), (APP, "old")], OPS);
    let plan = file(", /v1/policy/assign/*");
    assert_eq!(shown(&PolicyPlan::new(&plan, &current, false)), ["write me", "assign me 8087"]);
    let plan = file("");
    let plan = PolicyPlan::new(&plan, &current, false);
    assert_eq!((shown(&plan), plan.skipped.len()), (vec!["write me".to_owned()], 1));
    assert!(plan.skipped[0].reason.contains("changes last"));
}

#[test]
fn an_identity_moves_and_impossible_assignments_are_reported() {
    let file = file(&format!("policy:\n  app: {{identities: [{APP}, {OPS}, {ADMIN}]}}\n"));
    let current = server(&[("old", "/v1/api")], &[(APP, "old"), (OPS, "old"), (ADMIN, "")], OPS);
    let plan = PolicyPlan::new(&file, &current, false);
    assert_eq!(shown(&plan), ["create app", "assign app 8087"]);
    assert_eq!(plan.changes[0].assign[0].1.as_deref(), Some("old"));
    let left: Vec<_> = plan.skipped.iter().map(|one| (&one.identity[..4], one.reason)).collect();
    assert!(
        matches!(left[..], [("8bc7", admin), ("b29d", own)] if admin.contains("admin") && own.contains("your own"))
    );
}
