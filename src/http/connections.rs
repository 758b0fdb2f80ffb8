//! All connections of a listener, and the sweep that ends those that take too long.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::reins::{Doing, Reins};
use crate::tls::{Port, RefusedLog};

/// How long a connection may idle: longer than clients let theirs, so that it is they who close it. A client that
/// writes a request while the server closes does not know whether it was read.
const IDLE: Duration = Duration::from_secs(180);
/// The longest time between two sweeps.
const LONGEST_PERIOD: Duration = Duration::from_secs(1);
/// The shortest.
const SHORTEST_PERIOD: Duration = Duration::from_millis(10);

/// The open connections.
pub struct Connections {
    open: Mutex<HashMap<u64, Arc<Reins>>>,
    most: usize,
    next: AtomicU64,
    /// Sweeps so far: the clock of all connections.
    sweeps: AtomicU32,
    period: Duration,
    head_sweeps: u32,
    idle_sweeps: u32,
    refused: Arc<RefusedLog>,
}

/// A connection's place among them; it leaves when this is dropped.
pub struct Entry {
    number: u64,
    reins: Arc<Reins>,
    among: Arc<Connections>,
}

/// A request that is being answered; it is over when this is dropped.
pub struct Busy(Arc<Entry>);

impl Connections {
    /// At most `most` connections, whose request heads come within `head`.
    pub fn new(most: usize, head: Duration) -> Arc<Self> {
        let period = (head / 4).clamp(SHORTEST_PERIOD, LONGEST_PERIOD);
        // One more than fits, since the first may be almost over.
        let sweeps = |limit: Duration| u32::try_from(limit.as_nanos() / period.as_nanos() + 1).unwrap_or(u32::MAX);
        Arc::new(Self {
            open: Mutex::default(),
            most,
            next: AtomicU64::new(0),
            sweeps: AtomicU32::new(0),
            period,
            head_sweeps: sweeps(head),
            idle_sweeps: sweeps(IDLE),
            refused: RefusedLog::new(Port::Api),
        })
    }

    /// Takes a new connection in, unless there are too many.
    pub fn enter(self: &Arc<Self>) -> Option<Entry> {
        let mut open = self.open.lock();
        if open.len() >= self.most {
            return None;
        }
        let number = self.next.fetch_add(1, Relaxed);
        let reins = Arc::new(Reins::new(self.sweeps.load(Relaxed)));
        open.insert(number, Arc::clone(&reins));
        Some(Entry { number, reins, among: Arc::clone(self) })
    }

    /// The log of those that were refused.
    pub fn refused(&self) -> &Arc<RefusedLog> {
        &self.refused
    }

    /// Lets every connection finish what it is answering, and end.
    pub fn drain(&self) {
        self.open.lock().values().for_each(|reins| reins.drain());
    }

    /// Ends every connection at once.
    pub fn close(&self) {
        self.open.lock().values().for_each(|reins| reins.close());
    }

    /// Sweeps for as long as anybody holds the connections.
    pub async fn keep_sweeping(connections: Weak<Self>, period: Duration) {
        loop {
            tokio::time::sleep(period).await;
            match connections.upgrade() {
                Some(connections) => connections.sweep(),
                None => return,
            }
        }
    }

    /// The time between two sweeps.
    pub fn period(&self) -> Duration {
        self.period
    }

    fn sweep(&self) {
        let now = self.sweeps.fetch_add(1, Relaxed).wrapping_add(1);
        for reins in self.open.lock().values() {
            match reins.doing() {
                Doing::Asking(since) if now.wrapping_sub(since) > self.head_sweeps => reins.close(),
                Doing::Idling(since) if now.wrapping_sub(since) > self.idle_sweeps => reins.drain(),
                Doing::Asking(_) | Doing::Idling(_) | Doing::Answering => {}
            }
        }
    }
}

impl Entry {
    /// The connection's reins.
    pub fn reins(&self) -> &Reins {
        &self.reins
    }

    /// The log of refused handshakes.
    pub fn refused(&self) -> &Arc<RefusedLog> {
        &self.among.refused
    }

    /// Notes that bytes came.
    pub fn heard(&self) {
        self.reins.heard(self.among.sweeps.load(Relaxed));
    }

    /// Notes that a request is being answered.
    pub fn busy(entry: &Arc<Self>) -> Busy {
        entry.reins.begin();
        Busy(Arc::clone(entry))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.among.open.lock().remove(&self.number);
    }
}

impl Busy {
    /// Whether the request is the last one of its connection, which was told to end.
    pub fn is_last(&self) -> bool {
        self.0.reins.are_pulled()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.reins.end(self.0.among.sweeps.load(Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_beyond_the_most_are_turned_away_until_one_leaves() {
        let connections = Connections::new(2, Duration::from_secs(1));
        let (one, _two) = (connections.enter().unwrap(), connections.enter().unwrap());
        assert!(connections.enter().is_none());
        drop(one);
        assert!(connections.enter().is_some());
    }

    #[tokio::test]
    async fn a_slow_head_is_closed_a_long_idle_is_drained_and_work_is_left_alone() {
        let connections = Connections::new(9, Duration::from_secs(4));
        let [slow, idle, busy] = std::array::from_fn(|_| Arc::new(connections.enter().unwrap()));
        slow.heard();
        let _working = Entry::busy(&busy);
        let is_over = |entry: &Arc<Entry>| {
            let entry = Arc::clone(entry);
            async move { entry.reins().before(std::future::ready(())).await.is_none() }
        };
        (0..5).for_each(|_| connections.sweep());
        assert!(!is_over(&slow).await, "the limit is not over yet");
        connections.sweep();
        assert!(is_over(&slow).await && !is_over(&idle).await && !is_over(&busy).await);
        (0..180).for_each(|_| connections.sweep());
        assert!(is_over(&idle).await && !is_over(&busy).await);
    }
}
