//! One client under load. It picks an operation, sends the request, counts the outcome, and connects again when it loses
//! its connection.

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

/// The pause before the second attempt to connect. Each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One client of a load test.
pub struct Worker {
    /// Its number.
    pub number: usize,
    /// Its connection.
    pub connection: LoadConnection,
    /// The requests that it may send, by server.
    pub requests: Arc<[Requests]>,
    /// Which operations it picks, and how often.
    pub mix: Mix,
    /// When it sends the next request.
    pub schedule: Schedule,
    /// The counts for the display.
    pub progress: Arc<LoadProgress>,
}

/// The time in which requests count: the measurement.
#[derive(Debug, Clone, Copy)]
pub struct MeasurementWindow {
    /// Its start.
    pub begin: Instant,
    /// Its end, when the clients also stop.
    pub end: Instant,
}

impl MeasurementWindow {
    /// A window that begins after a warm-up from now.
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
    pub async fn run(mut self, window: MeasurementWindow) -> WorkerCounts {
        let mut counts = WorkerCounts::new(self.number, &self.mix);
        let mut random = Xorshift::new();
        let mut failures_in_a_row = 0;
        loop {
            self.reconnect(window, &mut counts, &mut failures_in_a_row).await;
            let since = self.schedule.next().await;
            if self.is_over(window) {
                return counts;
            }
            let operation = self.mix.pick(random.next_u32());
            let outcome = self.send(operation, random.next_u32(), &mut counts).await;
            let now = Instant::now();
            self.count_outcome(operation, outcome, (since, now), window, &mut counts);
            let is_failure = matches!(outcome, Err(_) | Ok(StatusCode::SERVICE_UNAVAILABLE));
            failures_in_a_row = if is_failure { failures_in_a_row + 1 } else { 0 };
            if outcome == Ok(StatusCode::SERVICE_UNAVAILABLE) && self.connection.has_others() {
                self.connection.close(true);
            }
        }
    }

    async fn send(
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
            LoadOperation::Connect => self.connection.connect_once(requests.prepared(operation, 0)).await,
            _ => self.connection.send(requests.prepared(operation, random as usize)).await,
        }
    }

    /// Connects if the client has no connection. Tries one server after the other for as long as the test runs.
    async fn reconnect(&mut self, window: MeasurementWindow, counts: &mut WorkerCounts, failures_in_a_row: &mut u32) {
        while !self.connection.is_open() && !self.is_over(window) {
            self.progress.until_stopped_or(sleep(pause(*failures_in_a_row))).await;
            match self.connection.open().await {
                Ok(()) if window.holds(Instant::now()) => counts.reconnects += 1,
                Ok(()) => {}
                Err(error) => {
                    *failures_in_a_row += 1;
                    if let Some(error) = error {
                        let now = Instant::now();
                        self.count_failure(TransportFailure::of(&error).word(), now, window, counts);
                    }
                }
            }
        }
    }

    fn count_outcome(
        &self,
        operation: LoadOperation,
        outcome: Result<StatusCode, TransportFailure>,
        (since, now): (Instant, Instant),
        window: MeasurementWindow,
        counts: &mut WorkerCounts,
    ) {
        match outcome {
            Ok(StatusCode::OK) => {
                self.progress.count_success(now);
                if window.holds(now) {
                    counts.count_success(operation, now - since);
                }
            }
            Ok(status) => {
                self.progress.count_answer();
                self.count_failure(status.as_str(), now, window, counts);
            }
            Err(failure) => self.count_failure(failure.word(), now, window, counts),
        }
    }

    fn count_failure(&self, kind: &str, now: Instant, window: MeasurementWindow, counts: &mut WorkerCounts) {
        self.progress.count_failure(kind);
        if window.holds(now) {
            counts.count_failure(kind);
        }
    }

    fn is_over(&self, window: MeasurementWindow) -> bool {
        Instant::now() >= window.end || self.progress.is_stopped()
    }
}

/// How long to wait before the next attempt to connect, after this many failures in a row.
fn pause(failures_in_a_row: u32) -> Duration {
    match failures_in_a_row.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_PAUSE.saturating_mul(1 << doublings.min(16)).min(LONGEST_PAUSE),
    }
}

/// Random numbers that cost almost nothing (xorshift64*). They only spread the load, so they need not be unpredictable.
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
    fn pauses_between_attempts_to_connect_double_up_to_a_second() {
        let millis: Vec<_> = [0, 1, 2, 3, 4, 8, 9, 40, u32::MAX].map(|count| pause(count).as_millis()).to_vec();
        assert_eq!(millis, [0, 0, 10, 20, 40, 640, 1000, 1000, 1000]);
    }
}
