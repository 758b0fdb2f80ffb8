//! Opened keys: a bounded cache by creation and version, never by name. Keys are wiped when they leave it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;

use super::uses::{LastNoted, Uses, minute_now};
use crate::clock;
use crate::config::CacheConfig;
use crate::crypto::OpenedKey;
use crate::policy::KeyName;
use crate::state::CreationId;

/// The pause between two looks for keys that are old or unused.
const SWEEP: Duration = Duration::from_secs(1);

/// The cache of opened keys. A request first looks in the view for the creation that has the name now. So a deleted key
/// that another request puts into the cache late is never used again.
pub(super) struct OpenedKeys {
    cache: Cache<(CreationId, u32), Arc<Held>>,
    config: CacheConfig,
    /// The last uses of keys that are not replicated yet.
    pub uses: Uses,
    /// The Unix minute of the last sweep.
    minute: AtomicU32,
    /// The time of the last sweep. A use takes it for `used_ns`, so that it does not have to read the clock.
    now_ns: AtomicI64,
}

struct Held {
    key: Arc<OpenedKey>,
    opened_ns: i64,
    used_ns: AtomicI64,
    noted: LastNoted,
}

impl OpenedKeys {
    pub(super) fn new(config: CacheConfig) -> Self {
        Self {
            cache: Cache::new(config.capacity),
            config,
            uses: Uses::default(),
            minute: AtomicU32::new(minute_now()),
            now_ns: AtomicI64::new(clock::boot_ns()),
        }
    }

    /// An opened version, for use under this name.
    pub(super) fn find(&self, name: KeyName<'_>, creation: CreationId, version: u32) -> Option<Arc<OpenedKey>> {
        let held = self.cache.get(&(creation, version))?;
        held.used_ns.store(self.now_ns.load(Ordering::Relaxed), Ordering::Relaxed);
        self.uses.note(name, creation, &held.noted, self.minute.load(Ordering::Relaxed));
        Some(Arc::clone(&held.key))
    }

    /// Keeps an opened version, for use under this name.
    pub(super) fn keep(&self, name: KeyName<'_>, creation: CreationId, key: Arc<OpenedKey>) {
        let now = self.now_ns.load(Ordering::Relaxed);
        let version = key.version();
        let held = Held { key, opened_ns: now, used_ns: AtomicI64::new(now), noted: LastNoted::default() };
        self.uses.note(name, creation, &held.noted, self.minute.load(Ordering::Relaxed));
        self.cache.insert((creation, version), Arc::new(held));
    }

    /// Drops keys that are old or unused. Never ends.
    pub(super) async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.minute.store(minute_now(), Ordering::Relaxed);
            self.sweep_at(clock::boot_ns());
        }
    }

    fn sweep_at(&self, now: i64) {
        self.now_ns.store(now, Ordering::Relaxed);
        let older = |since: i64, limit: Duration| now.saturating_sub(since) > clock::signed_nanos(limit);
        self.cache.retain(|_, held| {
            !older(held.opened_ns, self.config.any) && !older(held.used_ns.load(Ordering::Relaxed), self.config.unused)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Cipher, KeyMaterial};

    #[test]
    fn keys_leave_when_they_are_old_or_unused() {
        let config = CacheConfig { any: Duration::from_secs(300), unused: Duration::from_secs(30), capacity: 10 };
        let (opened, name) = (OpenedKeys::new(config), KeyName::parse("a").unwrap());
        let start = opened.now_ns.load(Ordering::Relaxed);
        let second = 1_000_000_000;
        for id in [1, 2] {
            let key = OpenedKey::new(&KeyMaterial::random(Cipher::Aes256), 1);
            opened.keep(name, CreationId([id; 16]), Arc::new(key));
        }
        for step in 1..=29 {
            opened.sweep_at(start + step * 10 * second);
            assert!(opened.find(name, CreationId([1; 16]), 1).is_some(), "used every ten seconds: {step}");
        }
        assert!(opened.find(name, CreationId([2; 16]), 1).is_none(), "unused for 30 s");
        opened.sweep_at(start + 301 * second);
        assert!(opened.find(name, CreationId([1; 16]), 1).is_none(), "opened 300 s ago");
    }
}
