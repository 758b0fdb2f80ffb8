//! What must hold in every run, one invariant in each file.

pub mod acknowledged;
pub mod deletions;
pub mod digests;
pub mod once;
pub mod plaintexts;
pub mod recovery;

use crate::history::{Asked, History};
use crate::operations::Answer;

/// Checks what each answer must keep.
pub fn check_answer(history: &History, asked: &Asked, answer: &Answer) {
    acknowledged::check(history, asked, answer);
    deletions::check(history, asked, answer);
    once::check(asked, answer);
    plaintexts::check(asked, answer);
}
