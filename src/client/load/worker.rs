//! One client under load: picks an operation, sends it, counts it, and connects again when its connection is lost.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::{Instant, sleep};

use super::connection::Link;
use super::counts::Tally;
use super::progress::LoadProgress;
use super::requests::Requests;
use super::schedule::Pace;
use super::transport_failure::Broken;
use super::{Mix, Operation};

/// Before the second attempt to connect; each further one waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest wait between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One client.
pub struct Worker {
    /// Its number.
    pub number: usize,
    /// Its connection.
    pub link: Link,
    /// What it sends, by server.
    pub requests: Arc<[Requests]>,
    /// How often it sends each.
    pub mix: Mix,
    /// When it sends the next.
    pub pace: Pace,
    /// Where it counts for those who watch.
    pub progress: Arc<LoadProgress>,
}

/// The time in which requests count.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// From here on.
    pub begin: Instant,
    /// Up to here, when clients also stop.
    pub end: Instant,
}

impl Window {
    /// A window after a warm-up that begins now.
    pub fn starting_now(warm_up: Duration, duration: Duration) -> Self {
        let begin = Instant::now() + warm_up;
        Self { begin, end: begin + duration }
    }

    fn holds(&self, moment: Instant) -> bool {
        self.begin <= moment && moment <= self.end
    }
}

impl Worker {
    /// Sends requests until the window ends.
    pub async fn run(mut self, window: Window) -> Tally {
        let mut tally = Tally::new(self.number, &self.mix);
        let mut dice = Dice::new();
        let mut in_a_row = 0;
        loop {
            self.recover(window, &mut tally, &mut in_a_row).await;
            let since = self.pace.next().await;
            if self.is_over(window) {
                return tally;
            }
            let operation = self.mix.pick(dice.roll());
            let outcome = self.perform(operation, dice.roll(), &mut tally).await;
            let now = Instant::now();
            self.count(operation, outcome, (since, now), window, &mut tally);
            let is_bad = matches!(outcome, Err(_) | Ok(StatusCode::SERVICE_UNAVAILABLE));
            in_a_row = if is_bad { in_a_row + 1 } else { 0 };
            if outcome == Ok(StatusCode::SERVICE_UNAVAILABLE) && self.link.has_others() {
                self.link.close(true);
            }
        }
    }

    async fn perform(&mut self, operation: Operation, random: u32, tally: &mut Tally) -> Result<StatusCode, Broken> {
        let requests = match operation {
            Operation::Connect => &self.requests[self.link.single_server()],
            _ => &self.requests[self.link.server()],
        };
        match operation {
            Operation::Create => {
                tally.created += 1;
                self.link.send(requests.create(self.number, tally.created - 1)).await
            }
            Operation::Connect => self.link.connect_once(requests.ready(operation, 0)).await,
            _ => self.link.send(requests.ready(operation, random as usize)).await,
        }
    }

    /// Connects when it is not connected, to one server after the other, for as long as the test runs.
    async fn recover(&mut self, window: Window, tally: &mut Tally, in_a_row: &mut u32) {
        while !self.link.is_open() && !self.is_over(window) {
            self.progress.stopped_or(sleep(pause(*in_a_row))).await;
            match self.link.open().await {
                Ok(()) if window.holds(Instant::now()) => tally.reconnects += 1,
                Ok(()) => {}
                Err(error) => {
                    *in_a_row += 1;
                    if let Some(error) = error {
                        let now = Instant::now();
                        self.fail(Broken::of(&error).word(), now, window, tally);
                    }
                }
            }
        }
    }

    fn count(
        &self,
        operation: Operation,
        outcome: Result<StatusCode, Broken>,
        (since, now): (Instant, Instant),
        window: Window,
        tally: &mut Tally,
    ) {
        match outcome {
            Ok(StatusCode::OK) => {
                self.progress.succeed(now);
                if window.holds(now) {
                    tally.succeed(operation, now - since);
                }
            }
            Ok(status) => {
                self.progress.answer();
                self.fail(status.as_str(), now, window, tally);
            }
            Err(broken) => self.fail(broken.word(), now, window, tally),
        }
    }

    fn fail(&self, kind: &str, now: Instant, window: Window, tally: &mut Tally) {
        self.progress.fail(kind);
        if window.holds(now) {
            tally.fail(kind);
        }
    }

    fn is_over(&self, window: Window) -> bool {
        Instant::now() >= window.end || self.progress.is_stopped()
    }
}

/// How long to wait before a connection is tried again, after this many failures in a row.
fn pause(in_a_row: u32) -> Duration {
    match in_a_row.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_PAUSE.saturating_mul(1 << doublings.min(16)).min(LONGEST_PAUSE),
    }
}

/// Random numbers that cost nothing (xorshift64*); they only spread load.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        Self(u64::from_be_bytes(crate::crypto::random::bytes()) | 1)
    }

    fn roll(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_to_connect_are_ever_further_apart_up_to_a_bound() {
        let millis: Vec<_> = [0, 1, 2, 3, 4, 8, 9, 40, u32::MAX].map(|count| pause(count).as_millis()).to_vec();
        assert_eq!(millis, [0, 0, 10, 20, 40, 640, 1000, 1000, 1000]);
    }
}
