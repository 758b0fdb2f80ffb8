//! Limits how often one node may fetch the wraps of the key ring. It is the only call that a stolen TLS key can make.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::policy::Identity;

/// The shortest time between two calls of one node. A sealed node tries again every few seconds.
const PAUSE: Duration = Duration::from_secs(1);

/// When each node last fetched the wraps. Only members may, so the map stays small.
#[derive(Default)]
pub(in crate::raft) struct WrapsLimit(Mutex<HashMap<Identity, Instant>>);

impl WrapsLimit {
    /// Whether the node with this key may fetch the wraps now. If so, it may not again for a while.
    pub(in crate::raft) fn may_ask(&self, key: Identity) -> bool {
        self.may_ask_at(key, Instant::now())
    }

    fn may_ask_at(&self, key: Identity, now: Instant) -> bool {
        let mut last = self.0.lock();
        let may = last.get(&key).is_none_or(|last| now.duration_since(*last) >= PAUSE);
        if may {
            last.insert(key, now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_fetches_wraps_once_in_a_while() {
        let (limit, begin) = (WrapsLimit::default(), Instant::now());
        let [one, other] = [1, 2].map(|byte| Identity::from_bytes([byte; Identity::LEN]));
        assert!(limit.may_ask_at(one, begin) && limit.may_ask_at(other, begin));
        assert!(!limit.may_ask_at(one, begin + PAUSE / 2));
        assert!(limit.may_ask_at(one, begin + PAUSE) && !limit.may_ask_at(one, begin + PAUSE));
    }
}
