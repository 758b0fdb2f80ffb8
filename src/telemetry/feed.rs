//! A live feed of lines to any number of listeners, each of which may be slow without slowing anybody else.

use bytes::Bytes;
use tokio::sync::broadcast::{self, error::RecvError};

/// Lines kept for a listener that lags; beyond it the listener loses the oldest.
const BACKLOG: usize = 4096;

/// Where lines are published. It costs nothing while nobody listens.
pub struct Feed {
    lines: broadcast::Sender<Bytes>,
    loss: fn(u64) -> String,
}

/// One listener of a [`Feed`].
pub struct Listener {
    lines: broadcast::Receiver<Bytes>,
    loss: fn(u64) -> String,
}

impl Feed {
    /// A feed without listeners; `loss` makes the line that tells a listener how many it lost.
    pub(super) fn new(loss: fn(u64) -> String) -> Self {
        Self::with_backlog(BACKLOG, loss)
    }

    fn with_backlog(backlog: usize, loss: fn(u64) -> String) -> Self {
        Self { lines: broadcast::Sender::new(backlog), loss }
    }

    /// Whether anybody listens, hence whether a line is worth making.
    pub(super) fn is_heard(&self) -> bool {
        self.lines.receiver_count() > 0
    }

    /// Publishes one line, given without its end.
    pub(super) fn publish(&self, mut line: String) {
        line.push('\n');
        // Fails when nobody listens any more, which is no failure.
        let _ = self.lines.send(line.into());
    }

    /// Joins the feed: the listener gets what is published from now on.
    pub fn listen(&self) -> Listener {
        Listener { lines: self.lines.subscribe(), loss: self.loss }
    }
}

impl Listener {
    /// The next line with its `\n`; in place of lines that were lost, one line that tells how many. None when the
    /// feed has ended. Nothing is lost by dropping this future.
    pub async fn next(&mut self) -> Option<Bytes> {
        match self.lines.recv().await {
            Ok(line) => Some(line),
            Err(RecvError::Lagged(lost)) => Some(((self.loss)(lost) + "\n").into()),
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_listener_is_told_how_many_lines_it_lost_and_holds_up_nobody() {
        let feed = Feed::with_backlog(4, |lost| format!("{lost} lost"));
        let (mut slow, mut fast) = (feed.listen(), feed.listen());
        for n in 0..10 {
            feed.publish(n.to_string());
            assert_eq!(fast.next().await.unwrap(), format!("{n}\n"));
        }
        let mut seen = Vec::new();
        for _ in 0..5 {
            seen.push(slow.next().await.unwrap());
        }
        assert_eq!(seen, ["6 lost\n", "6\n", "7\n", "8\n", "9\n"]);
    }

    #[tokio::test]
    async fn a_feed_is_heard_while_somebody_listens_and_ends_with_its_source() {
        let feed = Feed::with_backlog(4, |lost| lost.to_string());
        assert!(!feed.is_heard());
        feed.publish("before".to_owned());
        let mut listener = feed.listen();
        assert!(feed.is_heard());
        drop(feed);
        assert_eq!(listener.next().await, None);
    }
}
