//! When a client makes its next request, and from when its wait counts.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A client's rhythm.
pub enum Schedule {
    /// The next request as soon as the last is answered.
    ClosedLoop,
    /// At fixed times, whether or not the server keeps up.
    OpenLoop {
        /// Between two requests of this client.
        interval: Duration,
        /// When the first is due, after the start.
        offset: Duration,
        /// When the next is due.
        due: Option<Instant>,
    },
}

impl Schedule {
    /// The rhythm of client `number` of `clients` that make `rate` requests a second together.
    pub fn new(rate: Option<f64>, number: usize, clients: usize) -> Self {
        let Some(rate) = rate else { return Self::ClosedLoop };
        #[expect(clippy::cast_precision_loss, reason = "client counts are far below 2^52")]
        let (number, clients) = (number as f64, clients as f64);
        let interval = Duration::from_secs_f64(clients / rate);
        Self::OpenLoop { interval, offset: Duration::from_secs_f64(number / rate), due: None }
    }

    /// Waits until the next request is due, and tells from when its latency counts.
    ///
    /// A request that is late because the last one took long counts from when it was due: else a server that stalls
    /// would hide the requests that it kept from being made (coordinated omission). One that is late only because
    /// the timer is coarse counts from now.
    pub async fn next(&mut self) -> Instant {
        let now = Instant::now();
        let due = self.due(now);
        if due <= now {
            return due;
        }
        sleep_until(due).await;
        Instant::now()
    }

    /// When the next request is due; the one after it is then planned.
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
    fn a_late_request_is_due_when_it_should_have_been_made() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Some(20.0), 1, 2);
        assert_eq!(schedule.due(start), start + Duration::from_millis(50));
        let late = start + Duration::from_secs(5);
        for step in 1..=3 {
            assert_eq!(schedule.due(late), start + Duration::from_millis(50 + 100 * step));
        }
    }

    #[test]
    fn without_a_rate_everything_is_due_now() {
        let now = Instant::now();
        assert_eq!(Schedule::new(None, 0, 1).due(now), now);
    }
}
