//! One client under load: picks an operation, sends it, counts it, and connects again when its connection is lost.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::{Instant, sleep};

use super::connection::LoadConnection;
use super::counts::WorkerCounts;
use super::progress::LoadProgress;
use super::requests::Requests;
use super::schedule::Schedule;
use super::transport_failure::TransportFailure;
use super::{LoadOperation, Mix};

/// Before the second attempt to connect; each further one waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest wait between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One client.
pub struct Worker {
    /// Its number.
    pub number: usize,
    /// Its connection.
    pub connection: LoadConnection,
    /// What it sends, by server.
    pub requests: Arc<[Requests]>,
    /// How often it sends each.
    pub mix: Mix,
    /// When it sends the next.
    pub schedule: Schedule,
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
    pub async fn run(mut self, window: Window) -> WorkerCounts {
        let mut counts = WorkerCounts::new(self.number, &self.mix);
        let mut random = Xorshift::new();
        let mut in_a_row = 0;
        loop {
            self.recover(window, &mut counts, &mut in_a_row).await;
            let since = self.schedule.next().await;
            if self.is_over(window) {
                return counts;
            }
            let operation = self.mix.pick(random.next_u32());
            let outcome = self.perform(operation, random.next_u32(), &mut counts).await;
            let now = Instant::now();
            self.count(operation, outcome, (since, now), window, &mut counts);
            let is_bad = matches!(outcome, Err(_) | Ok(StatusCode::SERVICE_UNAVAILABLE));
            in_a_row = if is_bad { in_a_row + 1 } else { 0 };
            if outcome == Ok(StatusCode::SERVICE_UNAVAILABLE) && self.connection.has_others() {
                self.connection.close(true);
            }
        }
    }

    async fn perform(
        &mut self,
        operation: LoadOperation,
        random: u32,
        counts: &mut WorkerCounts,
    ) -> Result<StatusCode, TransportFailure> {
        let requests = match operation {
            LoadOperation::Connect => &self.requests[self.connection.single_server()],
            _ => &self.requests[self.connection.server()],
        };
        match operation {
            LoadOperation::Create => {
                counts.created += 1;
                self.connection.send(requests.create(self.number, counts.created - 1)).await
            }
            LoadOperation::Connect => self.connection.connect_once(requests.ready(operation, 0)).await,
            _ => self.connection.send(requests.ready(operation, random as usize)).await,
        }
    }

    /// Connects when it is not connected, to one server after the other, for as long as the test runs.
    async fn recover(&mut self, window: Window, counts: &mut WorkerCounts, in_a_row: &mut u32) {
        while !self.connection.is_open() && !self.is_over(window) {
            self.progress.stopped_or(sleep(pause(*in_a_row))).await;
            match self.connection.open().await {
                Ok(()) if window.holds(Instant::now()) => counts.reconnects += 1,
                Ok(()) => {}
                Err(error) => {
                    *in_a_row += 1;
                    if let Some(error) = error {
                        let now = Instant::now();
                        self.fail(TransportFailure::of(&error).word(), now, window, counts);
                    }
                }
            }
        }
    }

    fn count(
        &self,
        operation: LoadOperation,
        outcome: Result<StatusCode, TransportFailure>,
        (since, now): (Instant, Instant),
        window: Window,
        counts: &mut WorkerCounts,
    ) {
        match outcome {
            Ok(StatusCode::OK) => {
                self.progress.succeed(now);
                if window.holds(now) {
                    counts.succeed(operation, now - since);
                }
            }
            Ok(status) => {
                self.progress.answer();
                self.fail(status.as_str(), now, window, counts);
            }
            Err(failure) => self.fail(failure.word(), now, window, counts),
        }
    }

    fn fail(&self, kind: &str, now: Instant, window: Window, counts: &mut WorkerCounts) {
        self.progress.fail(kind);
        if window.holds(now) {
            counts.fail(kind);
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
struct Xorshift(u64);

impl Xorshift {
    fn new() -> Self {
        Self(u64::from_be_bytes(crate::crypto::random::bytes()) | 1)
    }

    fn next_u32(&mut self) -> u32 {
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
