//! All connections of a listener, and the sweep that ends those that take too long.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::limits::{SweepDecision, TimeLimits};
use super::state::ConnectionState;
use crate::config::LimitsConfig;
use crate::tls::{Port, RefusedLog};

/// The open connections of a listener.
pub struct Connections {
    open: Mutex<HashMap<u64, Arc<ConnectionState>>>,
    max_open: usize,
    next_number: AtomicU64,
    /// Sweeps so far. This is the clock of all connections.
    sweeps: AtomicU32,
    limits: TimeLimits,
    refused: Arc<RefusedLog>,
}

/// One of the open connections. Dropping this makes room for another one.
pub struct TrackedConnection {
    number: u64,
    state: Arc<ConnectionState>,
    connections: Arc<Connections>,
}

/// A request that is in flight until this is dropped.
pub struct RequestInFlight(Arc<TrackedConnection>);

/// An answer that is a stream, until this is dropped.
pub struct StreamInFlight(Arc<TrackedConnection>);

impl Connections {
    /// An empty set, for at most as many connections as the limits allow.
    pub fn new(limits: &LimitsConfig) -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::default(),
            max_open: limits.connections,
            next_number: AtomicU64::new(0),
            sweeps: AtomicU32::new(0),
            limits: TimeLimits::new(limits),
            refused: RefusedLog::new(Port::Api),
        })
    }

    /// Adds a connection. Returns `None` if as many are open as may be.
    pub fn open(self: &Arc<Self>) -> Option<TrackedConnection> {
        let mut open = self.open.lock();
        if open.len() >= self.max_open {
            return None;
        }
        let number = self.next_number.fetch_add(1, Relaxed);
        let state = Arc::new(ConnectionState::new(self.sweeps.load(Relaxed)));
        open.insert(number, Arc::clone(&state));
        Some(TrackedConnection { number, state, connections: Arc::clone(self) })
    }

    /// The log of refused connections.
    pub fn refused(&self) -> &Arc<RefusedLog> {
        &self.refused
    }

    /// Lets every connection finish the answers that are in flight, and then end.
    pub fn drain(&self) {
        self.open.lock().values().for_each(|state| state.drain());
    }

    /// Ends every connection at once.
    pub fn close(&self) {
        self.open.lock().values().for_each(|state| state.close());
    }

    /// Sweeps for as long as the connections exist.
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
        self.limits.period()
    }

    fn sweep(&self) {
        let now = self.sweeps.fetch_add(1, Relaxed).wrapping_add(1);
        for (number, state) in self.open.lock().iter() {
            match self.limits.decide(&state.observe(), now, *number) {
                SweepDecision::Leave => {}
                SweepDecision::AnswerOnceMore => state.answer_once_more(),
                SweepDecision::Drain => state.drain_at(now),
                SweepDecision::Close => state.close(),
            }
        }
    }
}

impl TrackedConnection {
    /// The connection's state.
    pub fn state(&self) -> &ConnectionState {
        &self.state
    }

    /// The log of refused connections.
    pub fn refused(&self) -> &Arc<RefusedLog> {
        &self.connections.refused
    }

    /// Notes that the handshake is over, and which version of HTTP it chose.
    pub fn handshake_ended(&self, is_http2: bool) {
        self.state.handshake_ended(self.now(), is_http2);
    }

    /// Notes that the preface of HTTP/2 arrived.
    pub fn preface_arrived(&self) {
        self.state.preface_arrived(self.now());
    }

    /// Notes that bytes arrived over HTTP/1.1.
    pub fn bytes_arrived(&self) {
        self.state.bytes_arrived(self.now());
    }

    /// Notes whether the socket accepts no bytes.
    pub fn set_blocked(&self, is_blocked: bool) {
        self.state.set_blocked(is_blocked.then(|| self.now()));
    }

    /// Notes that the server begins to answer a request.
    pub fn begin_request(connection: &Arc<Self>) -> RequestInFlight {
        connection.state.request_begins();
        RequestInFlight(Arc::clone(connection))
    }

    fn now(&self) -> u32 {
        self.connections.sweeps.load(Relaxed)
    }
}

impl Drop for TrackedConnection {
    fn drop(&mut self) {
        self.connections.open.lock().remove(&self.number);
    }
}

impl RequestInFlight {
    /// Whether the connection ends after this request.
    pub fn is_last(&self) -> bool {
        self.0.state.is_ending()
    }

    /// A second holder: the request is in flight until both are dropped.
    pub fn share(&self) -> Self {
        TrackedConnection::begin_request(&self.0)
    }

    /// Notes that the answer is a stream.
    pub fn begin_stream(&self) -> StreamInFlight {
        self.0.state.stream_begins();
        StreamInFlight(Arc::clone(&self.0))
    }

    /// Notes that a piece of the answer waits for the client.
    pub fn piece_waits(&self) {
        self.0.state.piece_waits(self.0.now());
    }

    /// Notes that the client took some of a piece.
    pub fn piece_progresses(&self) {
        self.0.state.piece_progresses(self.0.now());
    }

    /// Notes that a piece is sent, or dropped.
    pub fn piece_ends(&self) {
        self.0.state.piece_ends();
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        self.0.state.request_ends(self.0.now());
    }
}

impl Drop for StreamInFlight {
    fn drop(&mut self) {
        self.0.state.stream_ends();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::LIMITS;

    #[tokio::test]
    async fn a_connection_beyond_the_limit_finds_no_room_until_one_ends() {
        let connections = Connections::new(&LimitsConfig { connections: 2, ..LIMITS });
        let (one, _two) = (connections.open().unwrap(), connections.open().unwrap());
        assert!(connections.open().is_none());
        drop(one);
        assert!(connections.open().is_some());
    }

    #[tokio::test]
    async fn the_sweep_closes_a_slow_head_drains_an_idle_connection_and_leaves_work_alone() {
        let connections =
            Connections::new(&LimitsConfig { header_timeout: Duration::from_secs(4), ..LimitsConfig::default() });
        let [slow, idle, busy] = std::array::from_fn(|_| Arc::new(connections.open().unwrap()));
        slow.bytes_arrived();
        drop(TrackedConnection::begin_request(&idle));
        let _working = TrackedConnection::begin_request(&busy);
        let is_over = |connection: &Arc<TrackedConnection>| {
            let connection = Arc::clone(connection);
            async move { connection.state().run_before_http(std::future::ready(())).await.is_none() }
        };
        (0..5).for_each(|_| connections.sweep());
        assert!(!is_over(&slow).await, "its time is not over yet");
        connections.sweep();
        assert!(is_over(&slow).await && !is_over(&idle).await && !is_over(&busy).await);
        (0..180).for_each(|_| connections.sweep());
        assert!(is_over(&idle).await && !is_over(&busy).await);
    }
}
