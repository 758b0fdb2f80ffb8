//! Protecting the process: no core file, no other process may look into its memory, and no other user into its files.

use std::io;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, set_dumpable_behavior, umask};

/// Makes the process leave no core file and forbids others to trace it.
///
/// # Errors
/// The system refused.
pub(super) fn process() -> io::Result<()> {
    rlimit::setrlimit(rlimit::Resource::CORE, 0, 0)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Makes every file that the process makes from now on its user's alone: log and keystore are written by libraries
/// that ask for no mode of their own.
pub(super) fn new_files() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Raises the limit of open files to what the system allows: connections count against it.
///
/// # Errors
/// The system refused.
pub(super) fn raise_open_files() -> io::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX).map(drop)
}

/// How many files this process may open.
///
/// # Errors
/// The system does not say.
pub(super) fn open_files() -> io::Result<u64> {
    rlimit::Resource::NOFILE.get_soft()
}
