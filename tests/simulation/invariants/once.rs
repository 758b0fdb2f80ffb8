//! Each request takes effect once, however often nodes send it.

use keyraft::kms::Error;

use crate::history::Asked;
use crate::operations::{Answer, Operation};

/// # Panics
/// A node says that a key exists already, although clients create each name once.
pub fn check(asked: &Asked, answer: &Answer) {
    let creates = matches!(asked.operation, Operation::Create(_));
    let again = creates && matches!(answer, Answer::Failed(Error::KeyExists | Error::KeyWaiting { .. }));
    assert!(!again, "INVARIANT a request takes effect once: {asked:?}: {answer:?}");
}
