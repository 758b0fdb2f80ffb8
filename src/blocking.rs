//! Work that may block its thread: files, and what is computed from many entries.

use tokio::task::JoinHandle;

/// Does this on a thread where it may block. It goes on to its end even if nobody waits for it.
pub fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

/// Does this on the thread of the caller, whose other tasks go on elsewhere meanwhile.
pub fn in_place<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}
