//! A decrypt never returns other bytes than those that were sealed.

use keyraft::kms::Error;

use crate::history::Asked;
use crate::operations::{Answer, Operation};

/// # Panics
/// A node opened a ciphertext to other bytes, or says that it is not authentic.
pub fn check(asked: &Asked, answer: &Answer) {
    let Operation::Decrypt(_, key) = &asked.operation else { return };
    let wrong = match answer {
        Answer::Opened(plaintext) => *plaintext != key.plaintext,
        Answer::Failed(error) => matches!(error, Error::NotAuthentic | Error::KeyUnopenable),
        _ => true,
    };
    assert!(!wrong, "INVARIANT a decrypt returns what was sealed: {asked:?}: {answer:?}");
}
