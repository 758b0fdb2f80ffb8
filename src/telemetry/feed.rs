//! A live feed of events to any number of listeners. A slow listener does not slow the others, and a late one can begin
//! with the last events.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};

/// Lines that the feed keeps for a listener that lags. A listener that lags further loses the oldest.
const BACKLOG: usize = 4096;
/// The feed sends lines together until they take this many bytes.
const CHUNK: usize = 64 * 1024;
/// Events that the feed keeps, for listeners to begin with.
pub const RECENT: usize = 256;

/// A feed of events. It keeps them as they are, and formats lines only if somebody listens.
pub struct Feed<E> {
    lines: broadcast::Sender<Bytes>,
    recent: Mutex<VecDeque<E>>,
    form: LineFormat<E>,
}

/// How to format events as lines, without the `\n` at the end.
pub(super) struct LineFormat<E> {
    /// Formats an event.
    pub event: fn(&E) -> String,
    /// Formats the line that says how many events a listener lost.
    pub loss: fn(u64) -> String,
}

/// One listener of a [`Feed`].
pub struct Listener {
    /// The last events before it joined.
    tail: VecDeque<Bytes>,
    lines: broadcast::Receiver<Bytes>,
    loss: fn(u64) -> String,
}

impl<E: Clone> Feed<E> {
    /// A feed without listeners.
    pub(super) fn new(form: LineFormat<E>) -> Self {
        Self::with_backlog(BACKLOG, form)
    }

    fn with_backlog(backlog: usize, form: LineFormat<E>) -> Self {
        Self { lines: broadcast::Sender::new(backlog), recent: Mutex::default(), form }
    }

    /// Publishes events, the oldest first.
    pub(super) fn publish(&self, events: impl ExactSizeIterator<Item = E>) {
        // Hold the lock throughout, so that a listener that joins meanwhile gets each event exactly once.
        let mut recent = self.recent.lock();
        // Without listeners, skip the events that the later ones would push out of `recent` anyway.
        let heard = self.lines.receiver_count() > 0;
        let skipped = if heard { 0 } else { events.len().saturating_sub(RECENT) };
        for event in events.skip(skipped) {
            if heard {
                // This fails when the last listener has just left, and that is fine.
                let _ = self.lines.send(ended((self.form.event)(&event)));
            }
            if recent.len() == RECENT {
                recent.pop_front();
            }
            recent.push_back(event);
        }
    }

    /// Reports to the listeners that events were lost.
    pub(super) fn publish_loss(&self, lost: u64) {
        let _ = self.lines.send(ended((self.form.loss)(lost)));
    }

    /// Joins the feed. The listener gets up to `tail` of the last events, and all further ones.
    pub fn listen(&self, tail: usize) -> Listener {
        let recent = self.recent.lock();
        let lines = self.lines.subscribe();
        let events = last(&recent, tail);
        drop(recent);
        Listener { tail: self.lines_of(&events), lines, loss: self.form.loss }
    }

    /// Returns the lines of up to `count` of the last events.
    pub fn tail(&self, count: usize) -> VecDeque<Bytes> {
        let events = last(&self.recent.lock(), count);
        self.lines_of(&events)
    }

    fn lines_of(&self, events: &[E]) -> VecDeque<Bytes> {
        events.iter().map(|event| ended((self.form.event)(event))).collect()
    }
}

impl Listener {
    /// Returns the next line with its `\n`. In place of lost lines it returns one that says how many there were.
    /// Returns `None` when the feed has ended. Dropping this future loses nothing.
    pub async fn next(&mut self) -> Option<Bytes> {
        if let Some(line) = self.tail.pop_front() {
            return Some(line);
        }
        match self.lines.recv().await {
            Ok(line) => Some(line),
            Err(RecvError::Lagged(lost)) => Some(ended((self.loss)(lost))),
            Err(RecvError::Closed) => None,
        }
    }

    /// Returns the lines as a stream that ends with the feed. It joins the lines that are ready, so that a slow reader
    /// catches up in larger steps.
    pub fn into_stream(self) -> BoxStream<'static, Bytes> {
        let gathered = stream::unfold(self, |mut listener| async move {
            let first = listener.next().await?;
            Some((listener.gather(first), listener))
        });
        gathered.boxed()
    }

    fn gather(&mut self, first: Bytes) -> Bytes {
        let Some(second) = self.next_ready() else { return first };
        let mut lines = BytesMut::from(first);
        lines.extend_from_slice(&second);
        while lines.len() < CHUNK
            && let Some(line) = self.next_ready()
        {
            lines.extend_from_slice(&line);
        }
        lines.freeze()
    }

    /// Returns the next line if it is ready.
    fn next_ready(&mut self) -> Option<Bytes> {
        if let Some(line) = self.tail.pop_front() {
            return Some(line);
        }
        match self.lines.try_recv() {
            Ok(line) => Some(line),
            Err(TryRecvError::Lagged(lost)) => Some(ended((self.loss)(lost))),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

/// Joins lines to one piece.
pub fn joined(lines: VecDeque<Bytes>) -> Bytes {
    lines.into_iter().flatten().collect()
}

fn last<E: Clone>(recent: &VecDeque<E>, count: usize) -> Vec<E> {
    recent.iter().skip(recent.len().saturating_sub(count)).cloned().collect()
}

fn ended(mut line: String) -> Bytes {
    line.push('\n');
    line.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(backlog: usize) -> Feed<usize> {
        Feed::with_backlog(backlog, LineFormat { event: |n| n.to_string(), loss: |lost| format!("{lost} lost") })
    }

    #[tokio::test]
    async fn a_slow_listener_gets_its_loss_count_and_delays_nobody() {
        let feed = feed(4);
        let (mut slow, mut fast) = (feed.listen(0), feed.listen(0));
        for n in 0..10 {
            feed.publish([n].into_iter());
            assert_eq!(fast.next().await.unwrap(), format!("{n}\n"));
        }
        let mut seen = Vec::new();
        for _ in 0..5 {
            seen.push(slow.next().await.unwrap());
        }
        assert_eq!(seen, ["6 lost\n", "6\n", "7\n", "8\n", "9\n"]);
        assert_eq!(slow.next_ready(), None);
    }

    #[tokio::test]
    async fn a_late_listener_gets_the_last_events_and_then_new_ones() {
        let feed = feed(4);
        feed.publish(0..RECENT + 7);
        assert_eq!(feed.tail(usize::MAX).len(), RECENT);
        assert_eq!(feed.tail(2), [format!("{}\n", RECENT + 5), format!("{}\n", RECENT + 6)]);
        let mut late = feed.listen(1);
        feed.publish([1000].into_iter());
        feed.publish_loss(3);
        let mut seen = Vec::new();
        while let Some(line) = late.next_ready() {
            seen.push(line);
        }
        assert_eq!(seen, [format!("{}\n", RECENT + 6).as_str(), "1000\n", "3 lost\n"]);
        drop(feed);
        assert_eq!(late.next().await, None, "it ends with its source");
    }

    #[test]
    fn the_feed_formats_lines_only_for_listeners() {
        use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let event = |_: &u8| {
            MADE.fetch_add(1, Relaxed);
            String::new()
        };
        let feed = Feed::with_backlog(4, LineFormat { event, loss: |_| String::new() });
        feed.publish([1, 2].into_iter());
        assert_eq!(MADE.load(Relaxed), 0);
        let _listener = feed.listen(1);
        feed.publish([3].into_iter());
        assert_eq!(MADE.load(Relaxed), 2);
    }
}
