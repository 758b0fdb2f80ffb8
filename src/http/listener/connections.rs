//! All connections of a listener, and the sweep that ends those that take too long.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::limits::{Patience, Verdict};
use super::state::Reins;
use crate::config::LimitsConfig;
use crate::tls::{Port, RefusedLog};

/// The open connections.
pub struct Connections {
    open: Mutex<HashMap<u64, Arc<Reins>>>,
    most: usize,
    next: AtomicU64,
    /// Sweeps so far: the clock of all connections.
    sweeps: AtomicU32,
    patience: Patience,
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

/// An answer that is a stream; it is over when this is dropped.
pub struct Stream(Arc<Entry>);

impl Connections {
    /// No connections yet, and at most as many as the limits say.
    pub fn new(limits: &LimitsConfig) -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::default(),
            most: limits.connections,
            next: AtomicU64::new(0),
            sweeps: AtomicU32::new(0),
            patience: Patience::new(limits),
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
        self.patience.period()
    }

    fn sweep(&self) {
        let now = self.sweeps.fetch_add(1, Relaxed).wrapping_add(1);
        for (number, reins) in self.open.lock().iter() {
            match self.patience.judge(&reins.seen(), now, *number) {
                Verdict::Leave => {}
                Verdict::AnswerOnceMore => reins.answer_once_more(),
                Verdict::Drain => reins.drain_at(now),
                Verdict::Close => reins.close(),
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

    /// Notes that the handshake is over, and which version of HTTP it chose.
    pub fn shaken(&self, h2: bool) {
        self.reins.shaken(self.now(), h2);
    }

    /// Notes that the preface of HTTP/2 came.
    pub fn prefaced(&self) {
        self.reins.prefaced(self.now());
    }

    /// Notes that bytes came over HTTP/1.1.
    pub fn heard(&self) {
        self.reins.heard(self.now());
    }

    /// Notes whether the socket takes nothing.
    pub fn blocked(&self, blocked: bool) {
        self.reins.blocked(blocked.then(|| self.now()));
    }

    fn now(&self) -> u32 {
        self.among.sweeps.load(Relaxed)
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
    /// Whether the connection ends after this request.
    pub fn is_last(&self) -> bool {
        self.0.reins.are_pulled()
    }

    /// Another holder of the same request.
    pub fn again(&self) -> Self {
        Entry::busy(&self.0)
    }

    /// Notes that its answer is a stream.
    pub fn stream(&self) -> Stream {
        self.0.reins.stream_begins();
        Stream(Arc::clone(&self.0))
    }

    /// Notes that a piece of its answer waits to be taken.
    pub fn sends(&self) {
        self.0.reins.sends(self.0.now());
    }

    /// Notes that the client took something of a piece.
    pub fn sent_some(&self) {
        self.0.reins.sent_some(self.0.now());
    }

    /// Notes that a piece is gone.
    pub fn sent(&self) {
        self.0.reins.sent();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.reins.end(self.0.now());
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.reins.stream_ends();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::LIMITS;

    #[tokio::test]
    async fn connections_beyond_the_most_are_turned_away_until_one_leaves() {
        let connections = Connections::new(&LimitsConfig { connections: 2, ..LIMITS });
        let (one, _two) = (connections.enter().unwrap(), connections.enter().unwrap());
        assert!(connections.enter().is_none());
        drop(one);
        assert!(connections.enter().is_some());
    }

    #[tokio::test]
    async fn a_slow_head_is_closed_a_long_idle_is_drained_and_work_is_left_alone() {
        let connections =
            Connections::new(&LimitsConfig { header_timeout: Duration::from_secs(4), ..LimitsConfig::default() });
        let [slow, idle, busy] = std::array::from_fn(|_| Arc::new(connections.enter().unwrap()));
        slow.heard();
        drop(Entry::busy(&idle));
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
