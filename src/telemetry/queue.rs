//! A bounded queue of many writers and one reader, which takes all gathered items at once.
//!
//! Waking the reader for each item costs more than the item (design, "Speed of writes"). So writers wake it only when
//! it sleeps because the queue was empty. Writers on different threads push to different shards.

use std::cell::Cell;
use std::mem;
use std::sync::OnceLock;
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::thread::{self, Thread};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// The shards of a queue: a few more than the cores of most servers.
const SHARDS: usize = 16;

/// The queue. An item counts against its capacity until the reader releases it.
pub(super) struct Queue<T> {
    room: Semaphore,
    shards: [Shard<T>; SHARDS],
    abandoned: AtomicU64,
    reader_idle: AtomicBool,
    reader: OnceLock<Thread>,
}

/// A shard has cache lines of its own, so that writers on different threads share none.
#[repr(align(128))]
struct Shard<T>(Mutex<ShardContent<T>>);

struct ShardContent<T> {
    items: Vec<T>,
    pushed: u64,
}

impl<T> Queue<T> {
    /// An empty queue that holds at most `capacity` items.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            room: Semaphore::new(capacity.min(Semaphore::MAX_PERMITS)),
            shards: std::array::from_fn(|_| Shard(Mutex::new(ShardContent { items: Vec::new(), pushed: 0 }))),
            abandoned: AtomicU64::new(0),
            reader_idle: AtomicBool::new(false),
            reader: OnceLock::new(),
        }
    }

    /// Pushes the item if there is room and nobody waits for it. Otherwise gives it back.
    pub(super) fn try_push(&self, item: T) -> Result<(), T> {
        match self.room.try_acquire() {
            Ok(permit) => {
                permit.forget();
                self.put(item);
                Ok(())
            }
            Err(_) => Err(item),
        }
    }

    /// Pushes the item, and waits in line while the queue is full. Counts a caller that gives up as abandoned.
    pub(super) async fn push(&self, item: T) {
        let abandoned = CountOnDrop(&self.abandoned);
        if let Ok(permit) = self.room.acquire().await {
            permit.forget();
            abandoned.cancel();
            self.put(item);
        }
    }

    /// Moves all gathered items to the end of `batch`.
    pub(super) fn take(&self, batch: &mut Vec<T>) {
        let mut spare = Vec::new();
        for Shard(gathered) in &self.shards {
            mem::swap(&mut gathered.lock().items, &mut spare);
            batch.append(&mut spare);
        }
    }

    /// Makes room again for `count` items that the reader took.
    pub(super) fn release(&self, count: usize) {
        self.room.add_permits(count);
    }

    /// Returns how many writers gave up since the last call.
    pub(super) fn take_abandoned(&self) -> u64 {
        self.abandoned.swap(0, Relaxed)
    }

    /// Returns how many items were pushed so far.
    pub(super) fn pushed(&self) -> u64 {
        self.shards.iter().map(|Shard(gathered)| gathered.lock().pushed).sum()
    }

    /// Counts an item whose writer did not wait at all.
    pub(super) fn abandon(&self) {
        self.abandoned.fetch_add(1, Relaxed);
    }

    /// Puts the calling thread, the only reader, to sleep until a writer pushes, somebody unparks it, or `until` has
    /// come.
    pub(super) fn sleep_while_empty(&self, until: Option<Instant>) {
        self.reader.get_or_init(thread::current);
        self.reader_idle.store(true, Release);
        // If this look misses a push, the push takes the shard's lock later, and so sees that the reader is idle.
        if self.shards.iter().all(|Shard(gathered)| gathered.lock().items.is_empty()) {
            match until {
                Some(until) => thread::park_timeout(until.saturating_duration_since(Instant::now())),
                None => thread::park(),
            }
        }
        self.reader_idle.store(false, Relaxed);
    }

    fn put(&self, item: T) {
        let Shard(gathered) = &self.shards[shard_of_thread()];
        let mut gathered = gathered.lock();
        gathered.items.push(item);
        gathered.pushed += 1;
        drop(gathered);
        if self.reader_idle.load(Acquire)
            && self.reader_idle.swap(false, Relaxed)
            && let Some(reader) = self.reader.get()
        {
            reader.unpark();
        }
    }
}

/// Counts a caller whose future was dropped while it waited.
struct CountOnDrop<'a>(&'a AtomicU64);

impl CountOnDrop<'_> {
    fn cancel(self) {
        mem::forget(self);
    }
}

impl Drop for CountOnDrop<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn shard_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: Cell<Option<usize>> = const { Cell::new(None) });
    MINE.with(|mine| {
        mine.get().unwrap_or_else(|| {
            let shard = NEXT.fetch_add(1, Relaxed) % SHARDS;
            mine.set(Some(shard));
            shard
        })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_full_queue_makes_writers_wait_and_loses_nothing() {
        let queue = Arc::new(Queue::new(2));
        assert_eq!(queue.try_push(0), Ok(()));
        assert_eq!(queue.try_push(1), Ok(()));
        assert_eq!(queue.try_push(2), Err(2));
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.push(2).await }
        });
        let mut batch = Vec::new();
        queue.take(&mut batch);
        assert_eq!(batch, [0, 1]);
        assert_eq!(queue.try_push(3), Err(3), "what was taken counts until it is released");
        queue.release(2);
        waiting.await.unwrap();
        batch.clear();
        queue.take(&mut batch);
        assert_eq!((batch, queue.pushed(), queue.take_abandoned()), (vec![2], 3, 0));
    }

    #[tokio::test]
    async fn a_writer_that_gives_up_waiting_is_counted() {
        let queue = Queue::new(0);
        let mut push = Box::pin(queue.push(1));
        assert!(futures::poll!(&mut push).is_pending());
        drop(push);
        assert_eq!((queue.take_abandoned(), queue.take_abandoned()), (1, 0));
    }

    #[test]
    fn a_sleeping_reader_wakes_for_every_item() {
        let queue = Arc::new(Queue::new(1));
        let reader = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                let mut batch = Vec::new();
                while batch.len() < 1_000 {
                    queue.sleep_while_empty(None);
                    let before = batch.len();
                    queue.take(&mut batch);
                    queue.release(batch.len() - before);
                }
                batch
            }
        });
        for item in 0..1_000 {
            while queue.try_push(item).is_err() {
                thread::yield_now();
            }
        }
        assert_eq!(reader.join().unwrap(), (0..1_000).collect::<Vec<_>>());
    }
}
