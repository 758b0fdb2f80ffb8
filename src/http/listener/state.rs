//! The reins of a connection: how it is told to end, and what it is seen doing meanwhile.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::task::Poll;
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::time::sleep;

/// The reins of a connection.
///
/// One sweep over all connections looks for those that take too long; a timer for each would be set and reset on
/// every request, and hyper's own for request heads also runs while a connection idles.
#[derive(Default)]
pub struct Reins {
    command: AtomicU8,
    waker: AtomicWaker,
    /// The sweep at which it began.
    born: u32,
    /// Requests whose answers are not taken yet.
    in_flight: AtomicU32,
    /// What it does while there are none.
    waiting: AtomicU8,
    /// Whether it speaks HTTP/2.
    h2: AtomicBool,
    /// The sweep since which it does that.
    since: AtomicU32,
    /// Pieces of answers that are not taken yet.
    unsent: AtomicU32,
    /// The sweep at which something of them was taken last.
    taken: AtomicU32,
    /// The sweep since which the socket takes nothing; zero when it does.
    blocked: AtomicU32,
    /// Answers that are streams.
    streams: AtomicU32,
    /// The sweep that drained it; zero when none has.
    drained: AtomicU32,
}

/// What a connection is doing, and since which sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Shaking hands.
    Shaking,
    /// Nothing since its handshake.
    Silent {
        /// Since which sweep.
        since: u32,
        /// Whether it speaks HTTP/2.
        h2: bool,
    },
    /// Answering requests.
    Answering,
    /// Sending the head of a request.
    Asking(u32),
    /// Nothing.
    Idling(u32),
}

/// A connection as a sweep sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// What it is doing.
    pub doing: Doing,
    /// The sweep at which it began.
    pub born: u32,
    /// Since which sweep nothing was taken of the answers that wait to be.
    pub unsent: Option<u32>,
    /// Since which sweep its socket takes nothing.
    pub blocked: Option<u32>,
    /// Its answers that are streams.
    pub streams: u32,
    /// The sweep that drained it.
    pub drained: Option<u32>,
    /// Whether it speaks HTTP/2.
    pub h2: bool,
}

const RUN: u8 = 0;
const LAST: u8 = 1;
const DRAIN: u8 = 2;
const CLOSE: u8 = 3;

const SHAKING: u8 = 0;
const SILENT_1: u8 = 1;
const SILENT_2: u8 = 2;
const IDLING: u8 = 3;
const ASKING: u8 = 4;

impl Reins {
    /// Reins of a connection that begins at this sweep.
    pub fn new(sweep: u32) -> Self {
        Self { born: sweep, ..Self::default() }
    }

    /// Makes the next answer the last one, which says so over HTTP/1.1.
    pub fn answer_once_more(&self) {
        self.command.fetch_max(LAST, Release);
    }

    /// Lets the connection finish what it is answering, and end.
    pub fn drain(&self) {
        self.tell(DRAIN);
    }

    /// Ends the connection at once.
    pub fn close(&self) {
        self.tell(CLOSE);
    }

    fn tell(&self, command: u8) {
        self.command.fetch_max(command, Release);
        self.waker.wake();
    }

    /// Whether the connection ends after what it is answering now.
    pub fn are_pulled(&self) -> bool {
        self.command.load(Acquire) != RUN
    }

    /// What the connection is doing.
    pub fn doing(&self) -> Doing {
        let since = self.since.load(Relaxed);
        match (self.in_flight.load(Relaxed), self.waiting.load(Relaxed)) {
            (0, SHAKING) => Doing::Shaking,
            (0, SILENT_1) => Doing::Silent { since, h2: false },
            (0, SILENT_2) => Doing::Silent { since, h2: true },
            (0, ASKING) => Doing::Asking(since),
            (0, _) => Doing::Idling(since),
            _ => Doing::Answering,
        }
    }

    /// The connection as a sweep sees it.
    pub fn seen(&self) -> Seen {
        let marked = |sweep: &AtomicU32| Some(sweep.load(Relaxed)).filter(|sweep| *sweep != 0);
        Seen {
            doing: self.doing(),
            born: self.born,
            unsent: (self.unsent.load(Relaxed) > 0).then(|| self.taken.load(Relaxed)),
            blocked: marked(&self.blocked),
            streams: self.streams.load(Relaxed),
            drained: marked(&self.drained),
            h2: self.h2.load(Relaxed),
        }
    }

    /// Drains the connection, as this sweep does.
    pub fn drain_at(&self, sweep: u32) {
        if self.drained.load(Relaxed) == 0 {
            self.drained.store(sweep.max(1), Relaxed);
            self.drain();
        }
    }

    /// Notes that the handshake is over.
    pub fn shaken(&self, sweep: u32, h2: bool) {
        self.since.store(sweep, Relaxed);
        self.h2.store(h2, Relaxed);
        self.waiting.store(if h2 { SILENT_2 } else { SILENT_1 }, Relaxed);
    }

    /// Notes that the preface of HTTP/2 came.
    pub fn prefaced(&self, sweep: u32) {
        self.since.store(sweep, Relaxed);
        self.waiting.store(IDLING, Relaxed);
    }

    /// Notes that bytes came over HTTP/1.1: while no request is being answered, those of the next one's head.
    pub fn heard(&self, sweep: u32) {
        if self.in_flight.load(Relaxed) == 0 && self.waiting.swap(ASKING, Relaxed) != ASKING {
            self.since.store(sweep, Relaxed);
        }
    }

    /// Notes that a request is being answered.
    pub fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
        self.waiting.store(IDLING, Relaxed);
    }

    /// Notes that one was.
    pub fn end(&self, sweep: u32) {
        self.since.store(sweep, Relaxed);
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Notes that a piece of an answer waits to be taken. One more of those that nobody takes is no progress.
    pub fn sends(&self, sweep: u32) {
        if self.unsent.fetch_add(1, Relaxed) == 0 {
            self.taken.store(sweep, Relaxed);
        }
    }

    /// Notes that something of a piece was taken.
    pub fn sent_some(&self, sweep: u32) {
        self.taken.store(sweep, Relaxed);
    }

    /// Notes that a piece is gone.
    pub fn sent(&self) {
        self.unsent.fetch_sub(1, Relaxed);
    }

    /// Notes since when the socket takes nothing, or that it does again.
    pub fn blocked(&self, since: Option<u32>) {
        self.blocked.store(since.map_or(0, |sweep| sweep.max(1)), Relaxed);
    }

    /// Notes that an answer is a stream.
    pub fn stream_begins(&self) {
        self.streams.fetch_add(1, Relaxed);
    }

    /// Notes that a stream is over.
    pub fn stream_ends(&self) {
        self.streams.fetch_sub(1, Relaxed);
    }

    /// Runs what comes before HTTP; nothing comes of it once the connection is told to end.
    pub async fn before<F: Future>(&self, work: F) -> Option<F::Output> {
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

    /// Runs a connection to its end, or until it is closed. When it is told to drain, `shut_down` asks it for its end once
    /// `grace` is over.
    pub async fn drive<O, C: Future<Output = O>>(
        &self,
        connection: C,
        grace: Duration,
        shut_down: fn(Pin<&mut C>),
    ) -> Option<O> {
        let mut connection = pin!(connection);
        let mut until_shut_down = None;
        let mut is_shut_down = false;
        poll_fn(|context| {
            // Registered first, so that a command given meanwhile wakes it again.
            self.waker.register(context.waker());
            match self.command.load(Acquire) {
                RUN | LAST => {}
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
    fn a_connection_is_asking_from_the_first_byte_of_a_request_on() {
        let reins = Reins::new(1);
        assert_eq!(reins.doing(), Doing::Shaking);
        reins.shaken(2, false);
        assert_eq!(reins.doing(), Doing::Silent { since: 2, h2: false });
        reins.heard(5);
        reins.heard(9);
        assert_eq!(reins.doing(), Doing::Asking(5));
        reins.begin();
        reins.heard(10);
        assert_eq!(reins.doing(), Doing::Answering);
        reins.end(11);
        assert_eq!(reins.doing(), Doing::Idling(11));
    }

    #[test]
    fn a_connection_of_http_2_is_silent_until_its_preface() {
        let reins = Reins::new(1);
        reins.shaken(2, true);
        assert_eq!(reins.doing(), Doing::Silent { since: 2, h2: true });
        reins.prefaced(3);
        assert_eq!(reins.doing(), Doing::Idling(3));
    }

    #[test]
    fn only_a_byte_that_is_taken_is_progress() {
        let reins = Reins::new(1);
        assert_eq!(reins.seen().unsent, None);
        reins.sends(2);
        reins.sends(3);
        assert_eq!(reins.seen().unsent, Some(2), "another piece that waits changes nothing");
        reins.sent_some(4);
        reins.sent();
        assert_eq!(reins.seen().unsent, Some(4));
        reins.sent();
        assert_eq!(reins.seen().unsent, None);
        reins.blocked(Some(0));
        assert_eq!(reins.seen().blocked, Some(1));
        reins.blocked(None);
        assert_eq!(reins.seen().blocked, None);
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
        let reins = Arc::new(Reins::new(0));
        let driver = tokio::spawn({
            let reins = Arc::clone(&reins);
            async move { reins.drive(Endless(0), Duration::ZERO, |mut connection| connection.0 += 1).await }
        });
        reins.drain();
        tokio::task::yield_now().await;
        reins.drain();
        tokio::task::yield_now().await;
        assert!(!driver.is_finished());
        reins.close();
        driver.await.unwrap();
    }
}
