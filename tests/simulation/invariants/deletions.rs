//! A deleted key never comes back, and no node uses it after the deletion was acknowledged, except those that the answer named.

use crate::history::{Asked, History};
use crate::operations::{Answer, Operation};
use crate::settings;

/// # Panics
/// A node used a key that was deleted before the node was asked.
pub fn check(history: &History, asked: &Asked, answer: &Answer) {
    let facts = history.of(&asked.operation);
    let uses = matches!(asked.operation, Operation::Generate(_) | Operation::Decrypt(..));
    let used = uses && matches!(answer, Answer::Generated(_) | Answer::Opened(_));
    let node = settings::name(asked.node);
    let knew = facts.deleted.as_ref().is_some_and(|deletion| {
        let holds_there = deletion.behind.as_ref().is_some_and(|behind| !behind.contains(&node));
        deletion.at_ms < asked.at_ms && holds_there
    });
    assert!(!used || !knew, "INVARIANT no use after an acknowledged deletion: {asked:?}: {answer:?}, but {facts:?}");
}
