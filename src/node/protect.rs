//! Protects the process: it leaves no core file, others cannot read its memory, and other users cannot read its files.

use std::io;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, set_dumpable_behavior, umask};

/// Turns core files off and forbids other processes to trace this one.
///
/// # Errors
/// The system refused.
pub(super) fn process() -> io::Result<()> {
    rlimit::setrlimit(rlimit::Resource::CORE, 0, 0)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Closes every file that the process creates from now on to other users. The libraries that write log and keystore set
/// no mode of their own.
pub(super) fn new_files() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Raises the limit of open files as far as the system allows, because connections count as open files.
///
/// # Errors
/// The system refused.
pub(super) fn raise_open_files() -> io::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX).map(drop)
}

/// Returns how many files this process may open.
///
/// # Errors
/// The system does not say.
pub(super) fn open_files() -> io::Result<u64> {
    rlimit::Resource::NOFILE.get_soft()
}
