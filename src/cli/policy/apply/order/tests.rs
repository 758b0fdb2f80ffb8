//! Random servers and files: checks each step between them on a simulated server.

use super::*;
use crate::cli::policy::apply::server_rules::ServerRules;
use crate::client::IdentityEntry;
use crate::config::PolicyFile;
use crate::policy::{Action, Pattern, Policy, PolicyName};

const PATTERNS: [&str; 9] = [
    "/v1/*",
    "/v1/key/*",
    "/v1/key/c*",
    "/v1/key/create/a",
    "/v1/key/create/b*",
    "/v1/key/list",
    "/v1/key/list/*",
    "/v1/policy/assign/*",
    "/v1/status",
];
const PATHS: [&str; 9] = [
    "/v1/key/create/a",
    "/v1/key/create/bb",
    "/v1/key/create/c",
    "/v1/key/list",
    "/v1/key/list/",
    "/v1/key/list/a",
    "/v1/key/delete/x",
    "/v1/policy/assign/p0",
    "/v1/status",
];
const NAMES: [&str; 4] = ["p0", "p1", "p2", "p3"];
/// The patterns that a caller needs who is not an admin.
const ADMINISTERS: [&str; 2] = ["/v1/policy/*", "/v1/identity/*"];

/// Numbers that look random and are the same every time (Knuth, "MMIX").
struct SeededRandom(u64);

impl SeededRandom {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn policy(&mut self, administers: bool) -> Policy {
        let mut some = |most| (0..self.below(most)).map(|_| PATTERNS[self.below(PATTERNS.len())]).collect::<Vec<_>>();
        let (allow, deny) = (some(4), if administers { Vec::new() } else { some(3) });
        let own = ADMINISTERS.into_iter().filter(|_| administers);
        let parse = |text| Pattern::parse(text).unwrap();
        Policy::new(allow.into_iter().chain(own).map(parse), deny.into_iter().map(parse))
    }
}

fn identity(number: u8) -> Identity {
    Identity::from_bytes([number; 32])
}

/// The rules of a simulated server.
#[derive(Clone, Default)]
struct SimulatedServer {
    policies: BTreeMap<String, Policy>,
    policy_of: BTreeMap<String, String>,
}

impl SimulatedServer {
    fn current(&self, own: &str) -> ServerRules {
        let entry = |policy: &String| IdentityEntry { policy: policy.clone(), ..IdentityEntry::default() };
        ServerRules {
            policies: self.policies.clone(),
            identities: self.policy_of.iter().map(|(identity, policy)| (identity.clone(), entry(policy))).collect(),
            own_identity: own.to_owned(),
            own_policy: self.policy_of.get(own).cloned().unwrap_or_default(),
        }
    }

    fn may(&self, identity: &str, path: &str) -> bool {
        let policy = self.policy_of.get(identity).and_then(|name| self.policies.get(name));
        policy.is_some_and(|policy| policy.allows(Action::parse(path).expect("an action")))
    }

    fn take(&mut self, step: &PolicyStep<'_>) {
        match step {
            PolicyStep::Remove(identity) => drop(self.policy_of.remove(identity)),
            PolicyStep::Create(name, policy) | PolicyStep::Narrow(name, policy) | PolicyStep::Write(name, policy) => {
                self.policies.insert((*name).to_owned(), (*policy).clone());
            }
            PolicyStep::Assign(name, identity) => drop(self.policy_of.insert(identity.to_string(), (*name).to_owned())),
            PolicyStep::Delete(name) => self.delete(name),
        }
    }

    fn delete(&mut self, name: &str) {
        self.policies.remove(name);
        self.policy_of.retain(|_, policy| policy != name);
    }
}

/// A server and a file.
struct Case {
    before: SimulatedServer,
    file: PolicyFile,
    own: String,
    prune: bool,
}

impl Case {
    fn of(random: &mut SeededRandom) -> Self {
        let mut case = Self {
            before: SimulatedServer::default(),
            file: PolicyFile { admin: None, policies: BTreeMap::new() },
            own: identity(0).to_string(),
            prune: random.below(2) == 0,
        };
        for name in &NAMES[..=random.below(NAMES.len())] {
            case.before.policies.insert((*name).to_owned(), random.policy(*name == "p0"));
        }
        for number in 0..6 {
            let (had, gets) = (NAMES[random.below(NAMES.len())], NAMES[random.below(NAMES.len())]);
            // The first identity is the caller. It is an admin or has the first policy.
            let (had, has) = if number == 0 { ("p0", random.below(2) == 0) } else { (had, random.below(5) > 0) };
            if case.before.policies.contains_key(had) && has {
                case.before.policy_of.insert(identity(number).to_string(), had.to_owned());
            }
            if random.below(4) > 0 {
                let (stays, other) = (random.below(3) == 0, random.below(2) == 0);
                let same = case.before.policies.get(gets).filter(|_| stays).cloned();
                let policy = same.unwrap_or_else(|| random.policy(other));
                let entry = case.file.policies.entry(PolicyName::parse(gets).unwrap());
                entry.or_insert_with(|| (policy, Vec::new())).1.push(identity(number));
            }
        }
        case
    }

    /// The server in the end, computed without steps.
    fn after(&self, plan: &PolicyPlan) -> SimulatedServer {
        let mut after = self.before.clone();
        let own_policy = self.before.policy_of.get(&self.own);
        let wanted = |identity: &str| {
            let has = |(_, (_, all)): &(&PolicyName, &(Policy, Vec<Identity>))| {
                all.iter().any(|one| one.to_string() == identity)
            };
            self.file.policies.iter().find(has).map(|(name, _)| name.as_str().to_owned())
        };
        for number in 0..6 {
            let identity = identity(number).to_string();
            match wanted(&identity) {
                _ if identity == self.own || plan.skipped.iter().any(|left| left.identity == identity) => {}
                Some(name) => drop(after.policy_of.insert(identity, name)),
                None if self.prune => drop(after.policy_of.remove(&identity)),
                None => {}
            }
        }
        for (name, (policy, _)) in &self.file.policies {
            after.policies.insert(name.as_str().to_owned(), policy.clone());
        }
        for name in self.before.policies.keys().filter(|name| self.prune && Some(*name) != own_policy) {
            if !self.file.policies.contains_key(name.as_str()) {
                after.delete(name);
            }
        }
        after
    }
}

fn route(step: &PolicyStep<'_>) -> String {
    match step {
        PolicyStep::Remove(identity) => format!("/v1/identity/delete/{identity}"),
        PolicyStep::Create(name, _) | PolicyStep::Narrow(name, _) | PolicyStep::Write(name, _) => {
            format!("/v1/policy/write/{name}")
        }
        PolicyStep::Assign(name, _) => format!("/v1/policy/assign/{name}"),
        PolicyStep::Delete(name) => format!("/v1/policy/delete/{name}"),
    }
}

/// Whether an identity may lack rights for a moment: it gets or leaves a narrowed policy, or gets the caller's own.
fn may_lack(plan: &PolicyPlan, steps: &[PolicyStep<'_>], identity: &str) -> bool {
    let narrowed = |name: &str| steps.iter().any(|step| matches!(step, PolicyStep::Narrow(one, _) if *one == name));
    plan.changes.iter().any(|change| {
        let mut moves = change.assign.iter().filter(|(one, _)| one.to_string() == identity);
        moves.any(|(_, from)| {
            narrowed(&change.name) || from.as_deref().is_some_and(narrowed) || change.name == plan.own_policy
        })
    })
}

/// Whether identities move in a circle between policies that change.
fn has_circle(plan: &PolicyPlan) -> bool {
    let written = |name: &str| plan.changes.iter().any(|one| one.name == name && one.kind != ChangeKind::Same);
    let next = |from: &str| -> BTreeSet<&str> {
        let goes = |change: &&PolicyChange| change.assign.iter().any(|(_, had)| had.as_deref() == Some(from));
        plan.changes.iter().filter(|change| written(&change.name)).filter(goes).map(|one| one.name.as_str()).collect()
    };
    plan.changes.iter().any(|start| {
        let mut reached = next(&start.name);
        for _ in NAMES {
            reached = reached.iter().flat_map(|name| next(name)).chain(reached.iter().copied()).collect();
        }
        reached.contains(start.name.as_str())
    })
}

#[test]
fn on_the_way_nobody_gains_a_right_or_loses_one_they_keep() {
    let (mut random, mut narrowed, mut left) = (SeededRandom(11), 0, 0);
    for round in 0..5_000 {
        let case = Case::of(&mut random);
        let plan = PolicyPlan::new(&case.file, &case.before.current(&case.own), case.prune);
        let (after, mut now) = (case.after(&plan), case.before.clone());
        let mut phases = phases(&plan);
        // The requests of a phase are sent together, and the server does them in any order.
        phases.iter_mut().for_each(|phase| {
            let by = random.below(phase.len());
            phase.rotate_left(by);
        });
        let steps = phases.concat();
        for step in &steps {
            let admin = !case.before.policy_of.contains_key(&case.own);
            assert!(admin || now.may(&case.own, &route(step)), "{round}: {step:?} is not permitted in {steps:?}");
            now.take(step);
            for (number, path) in (0..6).flat_map(|number| PATHS.map(|path| (number, path))) {
                let one = identity(number).to_string();
                let (had, has, gets) = (case.before.may(&one, path), now.may(&one, path), after.may(&one, path));
                assert!(!has || had || gets, "{round}: {one} gains {path} with {step:?} of {steps:?}");
                let keeps = has || !had || !gets || may_lack(&plan, &steps, &one);
                assert!(keeps, "{round}: {one} lacks {path} with {step:?} of {steps:?}");
            }
        }
        assert_eq!((now.policies, now.policy_of), (after.policies, after.policy_of), "{round}: {steps:?}");
        let narrows = steps.iter().any(|step| matches!(step, PolicyStep::Narrow(..)));
        assert!(!narrows || has_circle(&plan), "{round}: {steps:?}");
        narrowed += usize::from(narrows);
        left += plan.skipped.len();
    }
    assert!(narrowed > 50 && left > 50, "the cases are too tame: {narrowed} and {left}");
}
