//! One client under load: picks an operation, sends it, counts it.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::{Instant, sleep};

use super::link::{Broken, Link};
use super::pace::Pace;
use super::progress::Progress;
use super::requests::Requests;
use super::tally::Tally;
use super::{Mix, Operation};

/// Between two attempts to connect to a server that is away.
const RECONNECT: Duration = Duration::from_millis(50);

/// One client, connected.
pub struct Worker {
    /// Its number.
    pub number: usize,
    /// Its connection.
    pub link: Link,
    /// What it sends.
    pub requests: Arc<Requests>,
    /// How often it sends each.
    pub mix: Mix,
    /// When it sends the next.
    pub pace: Pace,
    /// Where it counts for those who watch.
    pub progress: Arc<Progress>,
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
        loop {
            let since = self.pace.next().await;
            if Instant::now() >= window.end || self.progress.is_stopped() {
                return tally;
            }
            let operation = self.mix.pick(dice.roll());
            let outcome = self.perform(operation, dice.roll(), &mut tally).await;
            let now = Instant::now();
            self.progress.count(matches!(outcome, Ok(StatusCode::OK)));
            if window.holds(now) {
                count(&mut tally, operation, &outcome, now - since);
            }
            if outcome.is_err() && operation != Operation::Connect {
                self.reconnect(window).await;
            }
        }
    }

    async fn perform(&mut self, operation: Operation, random: u32, tally: &mut Tally) -> Result<StatusCode, Broken> {
        match operation {
            Operation::Create => {
                tally.created += 1;
                self.link.send(self.requests.create(self.number, tally.created - 1)).await
            }
            Operation::Connect => self.link.connect_once(self.requests.ready(operation, 0)).await,
            _ => self.link.send(self.requests.ready(operation, random as usize)).await,
        }
    }

    async fn reconnect(&mut self, window: Window) {
        while self.link.reopen().await.is_err() && Instant::now() < window.end && !self.progress.is_stopped() {
            sleep(RECONNECT).await;
        }
    }
}

fn count(tally: &mut Tally, operation: Operation, outcome: &Result<StatusCode, Broken>, took: Duration) {
    match outcome {
        Ok(StatusCode::OK) => tally.succeed(operation, took),
        Ok(status) => tally.fail(status.as_str()),
        Err(Broken) => tally.fail("connection"),
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
