//! Whole clusters in one thread, under virtual time. A seed decides everything that happens, so that a run can be repeated.
//!
//! Each run is a process of its own: the libraries below keep counters and random states for as long as a process lives. This
//! program is its own runner, because the threads of the usual one would wait in virtual time, too.

mod clients;
mod cluster;
mod faults;
mod history;
mod invariants;
mod operations;
mod run;
mod scenario;
mod settings;
mod trace;

use std::process::ExitCode;

fn main() -> ExitCode {
    match run::asked_for() {
        Some(asked) => asked.simulate(),
        None => run::compare_all(),
    }
}
