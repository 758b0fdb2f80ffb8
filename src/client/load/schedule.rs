//! When a client sends its next request, and from when the latency of that request counts.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// When a client sends its requests.
pub enum Schedule {
    /// The next request follows as soon as the last one is answered.
    ClosedLoop,
    /// Requests are due at fixed times, whether or not the server keeps up.
    OpenLoop {
        /// The time between two requests of this client.
        interval: Duration,
        /// When the first request is due, counted from the start.
        offset: Duration,
        /// When the next request is due; absent before the first.
        due: Option<Instant>,
    },
}

impl Schedule {
    /// The schedule of client `number`, one of `clients` that together send `rate` requests a second.
    pub fn new(rate: Option<f64>, number: usize, clients: usize) -> Self {
        let Some(rate) = rate else { return Self::ClosedLoop };
        #[expect(clippy::cast_precision_loss, reason = "client counts are far below 2^52")]
        let (number, clients) = (number as f64, clients as f64);
        let interval = Duration::from_secs_f64(clients / rate);
        Self::OpenLoop { interval, offset: Duration::from_secs_f64(number / rate), due: None }
    }

    /// Waits until the next request is due, and returns the time from which its latency counts.
    ///
    /// If the last request took too long, the next one counts from when it was due. Otherwise a server that stalls would
    /// hide the requests that it held up (coordinated omission). A request that is late only because the timer is coarse
    /// counts from now.
    pub async fn next(&mut self) -> Instant {
        let now = Instant::now();
        let due = self.due(now);
        if due <= now {
            return due;
        }
        sleep_until(due).await;
        Instant::now()
    }

    /// When the next request is due. Plans the one after it.
    fn due(&mut self, now: Instant) -> Instant {
        let Self::OpenLoop { interval, offset, due } = self else { return now };
        let this = due.unwrap_or(now + *offset);
        *due = Some(this + *interval);
        this
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_request_counts_from_when_it_was_due() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Some(20.0), 1, 2);
        assert_eq!(schedule.due(start), start + Duration::from_millis(50));
        let late = start + Duration::from_secs(5);
        for step in 1..=3 {
            assert_eq!(schedule.due(late), start + Duration::from_millis(50 + 100 * step));
        }
    }

    #[test]
    fn without_a_rate_the_next_request_is_due_now() {
        let now = Instant::now();
        assert_eq!(Schedule::new(None, 0, 1).due(now), now);
    }
}
