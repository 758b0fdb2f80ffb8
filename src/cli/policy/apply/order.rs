//! Orders the requests of a plan so that on the way nobody has a right that they have neither before nor after.
//!
//! An identity that moves from one policy to another could use changes of both. So its new policy is written before it
//! moves, and its old one afterwards. If policies wait for each other in a circle, one of them is first narrowed to what
//! it allows both before and after. Identities that get or leave it lack the rest for a moment, and nobody gains.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{ChangeKind, PolicyChange, PolicyPlan, PolicyStep};
use crate::policy::Identity;

/// An identity that gets a policy.
struct Move<'a> {
    identity: Identity,
    from: Option<&'a str>,
    to: &'a str,
}

/// The phases so far, and what is left to do.
struct Order<'a> {
    phases: Vec<Vec<PolicyStep<'a>>>,
    moves: Vec<Move<'a>>,
    /// Policies that are still to make or change, by name.
    unwritten: BTreeMap<&'a str, &'a PolicyChange>,
    /// Those of them that were narrowed, and so allow nothing that they will not allow.
    narrowed: BTreeSet<&'a str>,
}

/// How many requests a plan takes.
pub fn step_count(plan: &PolicyPlan) -> usize {
    phases(plan).iter().map(Vec::len).sum()
}

/// The requests, in phases. Requests of one phase do not depend on each other.
pub fn phases(plan: &PolicyPlan) -> Vec<Vec<PolicyStep<'_>>> {
    let own = plan.changes.iter().find(|change| change.name == plan.own_policy && change.kind == ChangeKind::Changed);
    let mut order = Order::of(plan);
    // The caller's own policy comes last, because earlier requests may need a right that it loses.
    let is_own = |name: &str| own.is_some_and(|own| own.name == name);
    order.unwritten.retain(|name, _| !is_own(name));
    let (late, moves): (Vec<_>, Vec<_>) = order.moves.into_iter().partition(|one| is_own(one.to));
    order.moves = moves;
    order.remove(plan, &late);
    order.write_and_assign();
    order.add(
        plan.changes
            .iter()
            .filter(|change| change.kind == ChangeKind::Deleted)
            .map(|deleted| PolicyStep::Delete(&deleted.name)),
    );
    order.add(own.map(PolicyChange::written));
    order.add(late.iter().map(Move::step));
    order.phases
}

impl<'a> Order<'a> {
    fn of(plan: &'a PolicyPlan) -> Self {
        let written = plan.changes.iter().filter(|change| matches!(change.kind, ChangeKind::New | ChangeKind::Changed));
        let moves = plan.changes.iter().flat_map(|change| {
            let one = |(identity, from): &'a (Identity, Option<String>)| Move {
                identity: *identity,
                from: from.as_deref(),
                to: &change.name,
            };
            change.assign.iter().map(one)
        });
        Self {
            phases: Vec::new(),
            moves: moves.collect(),
            unwritten: written.map(|change| (change.name.as_str(), change)).collect(),
            narrowed: BTreeSet::new(),
        }
    }

    /// Removes identities that lose everything, and identities that get the caller's own policy. That one comes last, and
    /// until then the policy that they have must not change while they have it.
    fn remove(&mut self, plan: &'a PolicyPlan, late: &[Move<'a>]) {
        let lost = plan.changes.iter().flat_map(|change| change.remove.iter().cloned());
        let changes = |one: &&Move<'a>| one.from.is_some_and(|from| self.unwritten.contains_key(from));
        let between = late.iter().filter(changes).map(|one| one.identity.to_string());
        let steps: Vec<_> = lost.chain(between).map(PolicyStep::Remove).collect();
        self.add(steps);
    }

    fn write_and_assign(&mut self) {
        loop {
            self.assign();
            if self.unwritten.is_empty() {
                return;
            }
            if !self.write() {
                self.narrow();
            }
        }
    }

    /// Assigns policies that are final or narrowed.
    fn assign(&mut self) {
        let moves = std::mem::take(&mut self.moves);
        let (waiting, ready): (Vec<_>, Vec<_>) = moves.into_iter().partition(|one| self.is_open(one.to));
        self.moves = waiting;
        self.add(ready.iter().map(Move::step));
    }

    /// Writes the policies that every leaving identity has left. Returns whether there were any.
    fn write(&mut self) -> bool {
        let waits = |name: &str| self.moves.iter().any(|one| one.from == Some(name));
        let ready: Vec<_> = self.unwritten.values().copied().filter(|change| !waits(&change.name)).collect();
        self.unwritten.retain(|name, _| waits(name));
        let any = !ready.is_empty();
        self.add(ready.into_iter().map(PolicyChange::written));
        any
    }

    /// Narrows a policy of a circle. Each policy waits for another, so following them from any one leads into a circle.
    fn narrow(&mut self) {
        let mut seen = BTreeSet::new();
        let mut next = self.unwritten.keys().copied().find(|name| self.is_open(name));
        while let Some(name) = next.filter(|name| seen.insert(*name)) {
            next = self.moves.iter().find(|one| one.from == Some(name)).map(|one| one.to);
        }
        let name = next.expect("a policy that cannot be written waits for one that cannot be written");
        self.narrowed.insert(name);
        self.add([PolicyStep::Narrow(name, &self.unwritten[name].common)]);
    }

    /// Whether a policy may still allow something that it will not allow in the end.
    fn is_open(&self, name: &str) -> bool {
        self.unwritten.contains_key(name) && !self.narrowed.contains(name)
    }

    fn add(&mut self, steps: impl IntoIterator<Item = PolicyStep<'a>>) {
        let steps: Vec<_> = steps.into_iter().collect();
        if !steps.is_empty() {
            self.phases.push(steps);
        }
    }
}

impl<'a> Move<'a> {
    fn step(&self) -> PolicyStep<'a> {
        PolicyStep::Assign(self.to, self.identity)
    }
}

#[cfg(test)]
mod tests;
