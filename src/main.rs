//! The `keyraft` program: it parses the command line, runs the command and returns its exit code.

use std::process::ExitCode;

use keyraft::cli::{self, Cli};
use tikv_jemallocator::Jemalloc;

/// The allocator of the system keeps most of what a node frees after many creates, or once it has opened its keys.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _points = keyraft::failpoint::read_variable();
    let cli = match Cli::of_process() {
        Ok(cli) => cli,
        Err(error) => return cli::misused(&error, std::env::args_os()),
    };
    let json = cli.wants_json();
    match cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(json),
    }
}
