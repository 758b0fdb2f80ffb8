//! What sled has yet to free.

/// Frees what sled replaced during so many writes. Each write copies a whole node of sled's tree. Later calls free the
/// earlier copies, about a hundred in a hundred calls. With one call a second, the copies would grow to 200 MB.
pub(super) fn collect_garbage(writes: usize) {
    /// The objects that one step frees at most.
    const STEP: usize = 512;
    /// The objects that one write leaves to be freed.
    const OBJECTS: usize = 8;
    /// The steps until no thread can still see an object that was just replaced.
    const EPOCHS: usize = 4;
    for _ in 0..EPOCHS + writes * OBJECTS / STEP {
        crossbeam_epoch::pin().flush();
    }
}
