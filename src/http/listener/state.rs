//! The state of one connection: what it is doing, and the command that ends it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::task::Poll;
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::time::sleep;

/// The state of one connection, which its task writes and the sweep reads.
///
/// One sweep over all connections finds those that take too long. A timer for each connection would be set and reset on
/// every request, and hyper's own timer for request heads also runs while a connection is idle.
///
/// Times are numbers of sweeps.
#[derive(Default)]
pub struct ConnectionState {
    command: AtomicU8,
    waker: AtomicWaker,
    accepted_at: u32,
    /// Requests whose answers the client has not taken yet.
    in_flight: AtomicU32,
    /// What the connection does while no request is in flight.
    between_requests: AtomicU8,
    /// Since when it does that.
    since: AtomicU32,
    is_http2: AtomicBool,
    /// Pieces of answers that the client has not taken yet.
    unsent: AtomicU32,
    /// When the client last took some of them.
    progress_at: AtomicU32,
    /// Since when the socket accepts no bytes; zero while it accepts some.
    blocked_since: AtomicU32,
    /// Answers that are streams.
    streams: AtomicU32,
    /// When the sweep drained the connection; zero before that.
    drained_at: AtomicU32,
}

/// What a connection is doing, and since which sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// The TLS handshake.
    Handshake,
    /// It waits for the client's first request.
    AwaitingFirstRequest {
        /// The sweep at which the handshake ended.
        since: u32,
        /// Whether the connection speaks HTTP/2.
        is_http2: bool,
    },
    /// It answers requests.
    Answering,
    /// It receives the head of a request.
    ReceivingHead(u32),
    /// It waits for the next request.
    Idle(u32),
}

/// What a sweep sees of a connection. Times are numbers of sweeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// What the connection is doing.
    pub activity: Activity,
    /// When the node accepted it.
    pub accepted_at: u32,
    /// Since when the client has taken nothing of the answers that wait for it. `None` when none wait.
    pub stalled_since: Option<u32>,
    /// Since when the socket accepts no bytes.
    pub blocked_since: Option<u32>,
    /// How many of its answers are streams.
    pub streams: u32,
    /// When the sweep drained it.
    pub drained_at: Option<u32>,
    /// Whether it speaks HTTP/2.
    pub is_http2: bool,
}

// Commands, in the order in which one overrides another.
const RUN: u8 = 0;
const LAST_ANSWER: u8 = 1;
const DRAIN: u8 = 2;
const CLOSE: u8 = 3;

// Values of `between_requests`.
const HANDSHAKE: u8 = 0;
const AWAITING_HTTP1: u8 = 1;
const AWAITING_HTTP2: u8 = 2;
const IDLE: u8 = 3;
const RECEIVING_HEAD: u8 = 4;

impl ConnectionState {
    /// The state of a connection that the node accepts at this sweep.
    pub fn new(sweep: u32) -> Self {
        Self { accepted_at: sweep, ..Self::default() }
    }

    /// Makes the next answer the last one. Over HTTP/1.1 that answer says so.
    pub fn answer_once_more(&self) {
        self.command.fetch_max(LAST_ANSWER, Release);
    }

    /// Lets the connection finish the answers that are in flight, and then end.
    pub fn drain(&self) {
        self.command(DRAIN);
    }

    /// Ends the connection at once.
    pub fn close(&self) {
        self.command(CLOSE);
    }

    fn command(&self, command: u8) {
        self.command.fetch_max(command, Release);
        self.waker.wake();
    }

    /// Whether the answers that are in flight are the connection's last.
    pub fn is_ending(&self) -> bool {
        self.command.load(Acquire) != RUN
    }

    /// What the connection is doing.
    pub fn activity(&self) -> Activity {
        let since = self.since.load(Relaxed);
        match (self.in_flight.load(Relaxed), self.between_requests.load(Relaxed)) {
            (0, HANDSHAKE) => Activity::Handshake,
            (0, AWAITING_HTTP1) => Activity::AwaitingFirstRequest { since, is_http2: false },
            (0, AWAITING_HTTP2) => Activity::AwaitingFirstRequest { since, is_http2: true },
            (0, RECEIVING_HEAD) => Activity::ReceivingHead(since),
            (0, _) => Activity::Idle(since),
            _ => Activity::Answering,
        }
    }

    /// What a sweep sees of the connection.
    pub fn observe(&self) -> Observation {
        let non_zero = |sweep: &AtomicU32| Some(sweep.load(Relaxed)).filter(|sweep| *sweep != 0);
        Observation {
            activity: self.activity(),
            accepted_at: self.accepted_at,
            stalled_since: (self.unsent.load(Relaxed) > 0).then(|| self.progress_at.load(Relaxed)),
            blocked_since: non_zero(&self.blocked_since),
            streams: self.streams.load(Relaxed),
            drained_at: non_zero(&self.drained_at),
            is_http2: self.is_http2.load(Relaxed),
        }
    }

    /// Drains the connection at this sweep, unless an earlier sweep did.
    pub fn drain_at(&self, sweep: u32) {
        if self.drained_at.load(Relaxed) == 0 {
            self.drained_at.store(sweep.max(1), Relaxed);
            self.drain();
        }
    }

    /// Notes that the handshake is over.
    pub fn handshake_ended(&self, sweep: u32, is_http2: bool) {
        self.since.store(sweep, Relaxed);
        self.is_http2.store(is_http2, Relaxed);
        self.between_requests.store(if is_http2 { AWAITING_HTTP2 } else { AWAITING_HTTP1 }, Relaxed);
    }

    /// Notes that the preface of HTTP/2 arrived.
    pub fn preface_arrived(&self, sweep: u32) {
        self.since.store(sweep, Relaxed);
        self.between_requests.store(IDLE, Relaxed);
    }

    /// Notes that bytes arrived over HTTP/1.1. While no request is in flight, they belong to the next request's head.
    pub fn bytes_arrived(&self, sweep: u32) {
        let is_between = self.in_flight.load(Relaxed) == 0;
        if is_between && self.between_requests.swap(RECEIVING_HEAD, Relaxed) != RECEIVING_HEAD {
            self.since.store(sweep, Relaxed);
        }
    }

    /// Notes that the server begins to answer a request.
    pub fn request_begins(&self) {
        self.in_flight.fetch_add(1, Relaxed);
        self.between_requests.store(IDLE, Relaxed);
    }

    /// Notes that a request is over.
    pub fn request_ends(&self, sweep: u32) {
        self.since.store(sweep, Relaxed);
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Notes that a piece of an answer waits for the client. If the client takes nothing, one more piece is not
    /// progress.
    pub fn piece_waits(&self, sweep: u32) {
        if self.unsent.fetch_add(1, Relaxed) == 0 {
            self.progress_at.store(sweep, Relaxed);
        }
    }

    /// Notes that the client took some of a piece.
    pub fn piece_progresses(&self, sweep: u32) {
        self.progress_at.store(sweep, Relaxed);
    }

    /// Notes that a piece is sent, or dropped.
    pub fn piece_ends(&self) {
        self.unsent.fetch_sub(1, Relaxed);
    }

    /// Notes since when the socket accepts no bytes, or with `None` that it accepts them again.
    pub fn set_blocked(&self, since: Option<u32>) {
        self.blocked_since.store(since.map_or(0, |sweep| sweep.max(1)), Relaxed);
    }

    /// Notes that an answer is a stream.
    pub fn stream_begins(&self) {
        self.streams.fetch_add(1, Relaxed);
    }

    /// Notes that a stream is over.
    pub fn stream_ends(&self) {
        self.streams.fetch_sub(1, Relaxed);
    }

    /// Runs the work that precedes HTTP. Returns `None` if a command ends the connection first.
    pub async fn run_before_http<F: Future>(&self, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        poll_fn(|context| {
            self.waker.register(context.waker());
            if self.command.load(Acquire) >= DRAIN {
                return Poll::Ready(None);
            }
            work.as_mut().poll(context).map(Some)
        })
        .await
    }

    /// Runs an HTTP connection to its end, or until `close`, which returns `None`. After a `drain` it waits for
    /// `grace`, and then calls `shut_down`, which asks the connection to end.
    pub async fn run_http<O, C: Future<Output = O>>(
        &self,
        connection: C,
        grace: Duration,
        shut_down: fn(Pin<&mut C>),
    ) -> Option<O> {
        let mut connection = pin!(connection);
        let mut until_shut_down = None;
        let mut is_shut_down = false;
        poll_fn(|context| {
            // Registered first, so that a command given after this point wakes the task again.
            self.waker.register(context.waker());
            match self.command.load(Acquire) {
                RUN | LAST_ANSWER => {}
                DRAIN if is_shut_down => {}
                DRAIN => {
                    let until = until_shut_down.get_or_insert_with(|| Box::pin(sleep(grace)));
                    is_shut_down = grace.is_zero() || until.as_mut().poll(context).is_ready();
                    if is_shut_down {
                        shut_down(connection.as_mut());
                    }
                }
                _ => return Poll::Ready(None),
            }
            connection.as_mut().poll(context).map(Some)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_connection_receives_a_head_from_its_first_byte_on() {
        let state = ConnectionState::new(1);
        assert_eq!(state.activity(), Activity::Handshake);
        state.handshake_ended(2, false);
        assert_eq!(state.activity(), Activity::AwaitingFirstRequest { since: 2, is_http2: false });
        state.bytes_arrived(5);
        state.bytes_arrived(9);
        assert_eq!(state.activity(), Activity::ReceivingHead(5));
        state.request_begins();
        state.bytes_arrived(10);
        assert_eq!(state.activity(), Activity::Answering);
        state.request_ends(11);
        assert_eq!(state.activity(), Activity::Idle(11));
    }

    #[test]
    fn a_connection_of_http_2_awaits_its_first_request_until_the_preface() {
        let state = ConnectionState::new(1);
        state.handshake_ended(2, true);
        assert_eq!(state.activity(), Activity::AwaitingFirstRequest { since: 2, is_http2: true });
        state.preface_arrived(3);
        assert_eq!(state.activity(), Activity::Idle(3));
    }

    #[test]
    fn only_a_byte_that_the_client_takes_is_progress() {
        let state = ConnectionState::new(1);
        assert_eq!(state.observe().stalled_since, None);
        state.piece_waits(2);
        state.piece_waits(3);
        assert_eq!(state.observe().stalled_since, Some(2), "another piece that waits changes nothing");
        state.piece_progresses(4);
        state.piece_ends();
        assert_eq!(state.observe().stalled_since, Some(4));
        state.piece_ends();
        assert_eq!(state.observe().stalled_since, None);
        state.set_blocked(Some(0));
        assert_eq!(state.observe().blocked_since, Some(1));
        state.set_blocked(None);
        assert_eq!(state.observe().blocked_since, None);
    }

    #[tokio::test]
    async fn a_drained_connection_is_shut_down_once_and_a_closed_one_dropped() {
        struct Endless(u32);
        impl Future for Endless {
            type Output = ();
            fn poll(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<()> {
                if self.0 > 1 { panic!("shut down twice") } else { Poll::Pending }
            }
        }
        let state = Arc::new(ConnectionState::new(0));
        let runner = tokio::spawn({
            let state = Arc::clone(&state);
            async move { state.run_http(Endless(0), Duration::ZERO, |mut connection| connection.0 += 1).await }
        });
        state.drain();
        tokio::task::yield_now().await;
        state.drain();
        tokio::task::yield_now().await;
        assert!(!runner.is_finished());
        state.close();
        runner.await.unwrap();
    }
}
