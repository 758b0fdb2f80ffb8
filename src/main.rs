//! The `keyraft` program: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser as _;
use keyraft::cli::{self, Cli};

fn main() -> ExitCode {
    match cli::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}
