//! The deadlines of a request: when its client gets an answer at the latest, and when its operation gives up.

use std::time::{Duration, Instant};

use super::routes;

/// How much earlier than the request its operation gives up. So the client gets the failure of the operation, which says
/// more than a timeout.
const MARGIN: Duration = Duration::from_millis(500);
/// The timeout of requests that have no limit.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// When a request must be answered, and when its operation must have ended.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// When the client gets its 503.
    pub answer_by: Instant,
    /// When the operation should have given up by itself.
    pub act_by: Instant,
}

impl Deadline {
    /// The deadline of a request that began at `start` and may take `timeout`.
    pub fn after(start: Instant, timeout: Option<Duration>) -> Self {
        let timeout = timeout.unwrap_or(FOREVER);
        let answer_by = start + timeout;
        Self { answer_by, act_by: answer_by - MARGIN.min(timeout / 4) }
    }

    /// The deadline of a further batch of a listing: a client that reads slowly does not use up the time of the
    /// listing.
    pub fn of_batch() -> Self {
        Self::after(Instant::now(), routes::USUAL)
    }
}
