//! An acknowledged key exists, on every node, until somebody asks to delete it. A miss is linearizable.

use keyraft::kms::Error;

use crate::history::{Asked, History};
use crate::operations::Answer;

/// # Panics
/// A node says that a key does not exist, although it was acknowledged before the node was asked.
pub fn check(history: &History, asked: &Asked, answer: &Answer) {
    let facts = history.of(&asked.operation);
    let existed = facts.created_ms.is_some_and(|created_ms| created_ms < asked.at_ms) && !facts.to_be_deleted;
    let missed = matches!(answer, Answer::Failed(Error::KeyNotFound | Error::VersionNotFound));
    assert!(!existed || !missed, "INVARIANT an acknowledged write exists: {asked:?}: {answer:?}, but {facts:?}");
}
