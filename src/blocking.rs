//! Work that may block its thread: files, and what is computed from many entries.
//!
//! A simulation (cargo feature `simulation`) has one thread. There this work is done in one go, as a task like any other.

use tokio::task::JoinHandle;

/// Does this on a thread where it may block. It goes on to its end even if nobody waits for it.
#[cfg(not(feature = "simulation"))]
pub fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

/// Does this in a task of its own. It goes on to its end even if nobody waits for it.
#[cfg(feature = "simulation")]
pub fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(async move { work() })
}

/// Does this on the thread of the caller, whose other tasks go on elsewhere meanwhile.
#[cfg(not(feature = "simulation"))]
pub fn in_place<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// Does this.
#[cfg(feature = "simulation")]
pub fn in_place<T>(work: impl FnOnce() -> T) -> T {
    work()
}
