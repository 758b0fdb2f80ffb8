//! Deleting keys: at once, or after a window in which clients can restore them.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::versions::key_seen;
use super::write::result_of;
use super::{Behind, Error, Kms};
use crate::clock;
use crate::policy::permitted::{DeleteKey, PurgeKey, RestoreKey};
use crate::policy::{KeyName, Permit};
use crate::state::{KeyRecord, KeySeen, Operation};

/// How long one attempt of the node to remove a key may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How often the leader advances replicated time while clients delete no keys.
const TICK: Duration = Duration::from_secs(4);
/// The same for a while after a deletion. A tick may also take this much longer than planned.
const SHORT_TICK: Duration = Duration::from_secs(1);
/// The time that the node adds to each window. A key may be deleted during a tick, after the leader looked for
/// deletions. The tick then counts for that key too, and shortens its window by at most the longest tick.
const ADDED: Duration = TICK.saturating_add(SHORT_TICK);
/// How long ticks stay short.
const SHORT_FOR: Duration = Duration::from_secs(60);

/// The result of a tick.
enum Tick {
    /// The tick counts for all keys that wait. Replicated time is now this, in nanoseconds.
    Counted(u64),
    /// Somebody deleted a key during the tick, and the tick must not count for that key.
    Deleted,
    /// This node is not sure that it led during the whole tick.
    Lost,
}

impl Kms {
    /// Deletes a key with all its versions. With a deletion window, a client can restore it for that long.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`], [`Error::NotEverywhere`], or that the write could not be done.
    pub async fn delete_key(&self, permit: &Permit<'_, DeleteKey>, by: Instant) -> Result<Behind, Error> {
        let (key, _) = match self.current_key(*permit.target(), by).await {
            Ok(seen) => seen,
            Err(error) => return self.refuse_revocation(error, by).await,
        };
        let window_ns = match self.deletion_window_ns.load(Ordering::Relaxed) {
            0 => 0,
            window => window.saturating_add(clock::nanos(ADDED)),
        };
        self.revoke(permit.permission(), Operation::DeleteKey { key, window_ns }, by).await
    }

    /// Restores a deleted key during its window.
    ///
    /// # Errors
    /// [`Error::NothingWaiting`], or that the write could not be done.
    pub async fn restore_key(&self, permit: &Permit<'_, RestoreKey>, by: Instant) -> Result<(), Error> {
        let key = self.waiting_key(*permit.target(), by).await?;
        result_of(self.write(permit.permission(), Operation::RestoreKey(key), by).await?)
    }

    /// Removes a deleted key for good before its window is over.
    ///
    /// # Errors
    /// [`Error::NothingWaiting`], [`Error::NotEverywhere`], or that the write could not be done.
    pub async fn purge_key(&self, permit: &Permit<'_, PurgeKey>, by: Instant) -> Result<Behind, Error> {
        match self.waiting_key(*permit.target(), by).await {
            Ok(key) => self.revoke(permit.permission(), Operation::PurgeKey(key), by).await,
            Err(error) => self.refuse_revocation(error, by).await,
        }
    }

    /// Sets the window that the configuration file names, after the node has read the file again.
    pub fn set_deletion_window(&self, window: Duration) {
        self.deletion_window_ns.store(clock::nanos(window), Ordering::Relaxed);
    }

    /// While this node leads and deleted keys wait, it advances replicated time by its monotonic clock, and removes the
    /// keys whose window is over. Never ends.
    pub async fn remove_deleted_keys(&self) {
        let mut short_until = Instant::now();
        loop {
            if !self.cluster.leads() || self.cluster.view().waiting().is_empty() {
                tokio::time::sleep(SHORT_TICK).await;
                continue;
            }
            let tick = if Instant::now() < short_until { SHORT_TICK } else { TICK.min(self.until_next_removal()) };
            match self.tick(tick).await {
                Tick::Counted(time_ns) => {
                    self.advance_time(time_ns).await;
                    self.remove_what_is_due().await;
                }
                Tick::Deleted => short_until = Instant::now() + SHORT_FOR,
                Tick::Lost => {}
            }
        }
    }

    /// Waits for a tick, and finds out whether it counts for all keys that wait now. If it does not, keys wait longer,
    /// and never shorter.
    async fn tick(&self, tick: Duration) -> Tick {
        let mut progress = self.cluster.progress();
        let (begun, time_ns) = (Instant::now(), self.time_ns());
        let (term, revocation) = (self.cluster.status().term, progress.borrow().last_revocation);
        let deleted = progress.wait_for(|progress| progress.last_revocation != revocation);
        if tick > SHORT_TICK {
            drop(tokio::time::timeout(tick, deleted).await);
        } else {
            tokio::time::sleep(tick).await;
        }
        // Another leader may have counted the same time or deleted a key, and this node may not know that yet.
        if self.linearize(Instant::now() + SHORT_TICK).await.is_err() || !self.cluster.leads() {
            return Tick::Lost;
        }
        let elapsed = begun.elapsed();
        match () {
            () if elapsed > tick + SHORT_TICK || self.cluster.status().term != term => Tick::Lost,
            () if tick > SHORT_TICK && self.cluster.progress().borrow().last_revocation != revocation => Tick::Deleted,
            () => Tick::Counted(time_ns.saturating_add(clock::nanos(elapsed))),
        }
    }

    /// Why a client cannot use a name whose key is deleted.
    pub(super) fn waiting_error(&self, name: KeyName<'_>) -> Error {
        match self.delete_at(name) {
            Some(delete_at) => {
                let left = i64::try_from(delete_at.saturating_sub(self.time_ns())).unwrap_or(i64::MAX);
                Error::KeyWaiting { until: clock::unix_ns().saturating_add(left) }
            }
            // Somebody removed or restored the key in the meantime.
            None => Error::KeyExists,
        }
    }

    async fn waiting_key(&self, name: KeyName<'_>, by: Instant) -> Result<KeySeen, Error> {
        self.linearize(by).await?;
        let newest = self.cluster.view().newest_record(name).filter(|record| KeyRecord::is_waiting(record));
        let (creation_id, _) = newest.as_deref().and_then(KeyRecord::peek).ok_or(Error::NothingWaiting)?;
        Ok(key_seen(name, creation_id))
    }

    async fn advance_time(&self, time_ns: u64) {
        let operation = Operation::AdvanceTime { time_ns };
        // If this fails, the tick does not count, and keys wait longer.
        drop(self.write_by_itself(operation, Instant::now() + SHORT_TICK).await);
    }

    async fn remove_what_is_due(&self) {
        let now = self.time_ns();
        for name in self.cluster.view().waiting() {
            let Ok(name) = KeyName::parse(&name) else { continue };
            if self.delete_at(name).is_some_and(|delete_at| delete_at <= now) {
                let permit = Permit::for_node(name);
                if let Err(error) = self.purge_key(&permit, Instant::now() + ATTEMPT).await {
                    tracing::debug!(key = name.as_str(), %error, "the node could not remove a deleted key yet");
                } else {
                    tracing::info!(
                        key = name.as_str(),
                        "the node removed a deleted key, because its deletion window is over"
                    );
                }
            }
        }
    }

    fn until_next_removal(&self) -> Duration {
        let now = self.time_ns();
        let times =
            self.cluster.view().waiting().into_iter().filter_map(|name| self.delete_at(KeyName::parse(&name).ok()?));
        let left = times.min().map_or(TICK, |delete_at| Duration::from_nanos(delete_at.saturating_sub(now)));
        left.max(SHORT_TICK)
    }

    fn delete_at(&self, name: KeyName<'_>) -> Option<u64> {
        KeyRecord::decode(&self.cluster.view().newest_record(name)?).ok()?.delete_at
    }

    fn time_ns(&self) -> u64 {
        self.cluster.view().cluster().map_or(0, |cluster| cluster.time_ns)
    }
}
