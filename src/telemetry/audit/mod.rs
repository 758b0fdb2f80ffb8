//! The audit trail: requests leave records, and one thread writes them to the sinks and to live feeds.
//!
//! `trail` is what requests see, `writer` is the thread, `sinks` and `file` are where it writes, and `verify`
//! checks the files afterwards. `chain` is the format of their lines.

mod chain;
#[cfg(test)]
mod chain_tests;
mod file;
mod sinks;
mod syslog;
#[cfg(test)]
pub(super) mod tests;
mod trail;
#[cfg(test)]
mod vectors;
mod verify;
mod writer;

pub use file::writable::check_audit_file;
pub use sinks::SinkFigures;
pub use trail::{Audit, AuditFigures, Unrecorded};
pub use verify::files::{AuditFiles, in_order};
pub use verify::report::{AuditFinding, AuditReport, FindingKind, Unsigned};
pub use verify::{AuditVerifier, ExpectedTrail};
pub use writer::{AuditWriter, Unwritten};
