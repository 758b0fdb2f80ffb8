//! The device below the log: it makes durable what the write-ahead log has taken.

use std::io;
use std::marker::PhantomData;
use std::path::Path;

use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::{Callback, RaftLog, Types};

/// What the write-ahead log calls after a flush, for a device whose flushes end with `C`.
pub(super) type DeviceCallback<C> = C;

/// The device of one log. The thread of the write-ahead log does the work.
pub(super) struct LogDevice<C>(PhantomData<fn(C)>);

impl<C: Callback> LogDevice<C> {
    /// The device of this log, all of which is durable.
    pub fn new(_: &RaftLog<impl Types>) -> Self {
        Self(PhantomData)
    }

    /// Begins to make everything durable that the log has now. Another thread calls `callback` at the end.
    #[expect(clippy::unused_self, reason = "a simulated device keeps the flush under way")]
    pub fn begin(&self, log: &mut RaftLog<impl Types<Callback = C>>, callback: C) -> io::Result<()> {
        log.flush(true, Some(callback))
    }

    /// Lets all flushes end for which this thread is about to wait. Another thread does that anyway.
    #[expect(clippy::unused_self, reason = "a simulated device keeps the flush under way")]
    pub fn before_waiting(&self) {}
}

/// Makes ready what is about to be opened in this folder. On a real disk, that is what the last process left there.
pub(super) fn before_opening(_: &Path) -> io::Result<()> {
    Ok(())
}
