//! Opened keys: a bounded, wiped cache keyed by creation and version, never by name.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;

use crate::clock;
use crate::config::CacheConfig;
use crate::crypto::OpenedKey;
use crate::state::CreationId;

/// Between two looks for keys that have been held for too long.
const SWEEP: Duration = Duration::from_secs(1);

/// Keys that are open. A name is always resolved through the view first, so one that fills the cache late cannot
/// bring a deleted key back.
pub(super) struct OpenedKeys {
    cache: Cache<(CreationId, u32), Arc<Held>>,
    config: CacheConfig,
    /// The time of the last sweep: what `used_ns` is set to, so that a use reads no clock.
    now_ns: AtomicI64,
}

struct Held {
    key: Arc<OpenedKey>,
    opened_ns: i64,
    used_ns: AtomicI64,
}

impl OpenedKeys {
    pub(super) fn new(config: CacheConfig) -> Self {
        Self { cache: Cache::new(config.capacity), config, now_ns: AtomicI64::new(clock::boot_ns()) }
    }

    pub(super) fn find(&self, creation: CreationId, version: u32) -> Option<Arc<OpenedKey>> {
        let held = self.cache.get(&(creation, version))?;
        held.used_ns.store(self.now_ns.load(Ordering::Relaxed), Ordering::Relaxed);
        Some(Arc::clone(&held.key))
    }

    pub(super) fn keep(&self, creation: CreationId, key: Arc<OpenedKey>) {
        let now = self.now_ns.load(Ordering::Relaxed);
        let version = key.version();
        let held = Held { key, opened_ns: now, used_ns: AtomicI64::new(now) };
        self.cache.insert((creation, version), Arc::new(held));
    }

    /// Drops keys that were held, or not used, for too long. Never ends.
    pub(super) async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.sweep_at(clock::boot_ns());
        }
    }

    fn sweep_at(&self, now: i64) {
        self.now_ns.store(now, Ordering::Relaxed);
        let older = |since: i64, limit: Duration| now.saturating_sub(since) > nanos(limit);
        self.cache.retain(|_, held| {
            !older(held.opened_ns, self.config.any) && !older(held.used_ns.load(Ordering::Relaxed), self.config.unused)
        });
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Cipher, KeyMaterial};

    #[test]
    fn keys_leave_when_they_are_old_or_unused() {
        let config = CacheConfig { any: Duration::from_secs(300), unused: Duration::from_secs(30), capacity: 10 };
        let opened = OpenedKeys::new(config);
        let start = opened.now_ns.load(Ordering::Relaxed);
        let second = 1_000_000_000;
        for id in [1, 2] {
            let key = OpenedKey::new(&KeyMaterial::random(Cipher::Aes256), 1);
            opened.keep(CreationId([id; 16]), Arc::new(key));
        }
        for step in 1..=29 {
            opened.sweep_at(start + step * 10 * second);
            assert!(opened.find(CreationId([1; 16]), 1).is_some(), "used every ten seconds: {step}");
        }
        assert!(opened.find(CreationId([2; 16]), 1).is_none(), "unused for 30 s");
        opened.sweep_at(start + 301 * second);
        assert!(opened.find(CreationId([1; 16]), 1).is_none(), "opened 300 s ago");
    }
}
