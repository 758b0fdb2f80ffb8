//! The tasks of a node that takes part: they follow the membership, build snapshots, write checkpoints, and report the
//! end of consensus.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::adapter::metrics::{Metrics, Raft};
use super::failure::Failure;
use super::forwarding::leader::Leadership;
use super::peers::links::Links;
use super::watch::elections::ElectionState;
use crate::blocking;
use crate::config::SnapshotConfig;
use crate::store::{KeystoreCheckpoint, LogStore, NodeRecord, Snapshots};

/// The pause between two times that the node gives sled what it has applied.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// A node that has applied nothing for so long is at rest. Then it gives back memory that only writes need.
const REST: Duration = Duration::from_secs(20);
/// At rest, a snapshot is due when the log has so many entries since the last one, and as many as a sixteenth of what that one
/// has. Each entry of the log takes about 150 bytes of memory.
const REST_ENTRIES: u64 = 20_000;
const REST_SHARE: u64 = 16;
/// How long progress gathers before it is written to the node record.
const RECORD_EVERY: Duration = Duration::from_millis(100);
/// The longest pause between two looks at who leads.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The pause before the node builds a snapshot again, because the last attempt failed or still goes on.
const SNAPSHOT_RETRY: Duration = Duration::from_secs(30);
/// The pause between two looks at the size of the log.
const SNAPSHOT_CHECK: Duration = Duration::from_secs(1);

/// What the disk must have left for a new keystore, besides four times the last snapshot: sled begins with 8 MiB.
const REFILL_ROOM: u64 = 32 << 20;
/// What the disk must have left for a snapshot, besides twice the last one.
const SNAPSHOT_ROOM: u64 = 4 << 20;

/// Keeps the links in line with the membership, and logs elections. Returns when consensus ends.
pub(super) async fn follow_membership(mut metrics: Metrics, links: Arc<Links>, leadership: Arc<Leadership>) {
    let mut elections = ElectionState::default();
    loop {
        // The code that ends consensus logs why.
        if metrics.now().running_state.is_err() {
            return;
        }
        let membership = Arc::clone(&metrics.now().membership_config);
        // Compare first: this runs after every batch of entries, and the membership seldom changes.
        if membership.nodes().next().is_some() && !links.members().iter().eq(membership.nodes()) {
            links.set_members(membership.nodes().map(|(id, member)| (*id, member.clone())).collect());
            leadership.forget_clients();
        }
        // Log elections after the links know the members, because the lines have names.
        elections.follow(ElectionState::of(&metrics.now(), links.contacts()), &leadership);
        // Look again after a while even without a change: openraft's metrics do not say that this node has heard from
        // the leader that it knew before it started.
        if !timeout(LOOK_EVERY, metrics.changed()).await.unwrap_or(true) {
            return;
        }
    }
}

/// Reports when consensus ends by itself, because of a failed disk or a broken invariant.
pub(super) async fn watch_consensus(mut metrics: Metrics, failure: Failure) {
    metrics.wait_for(|metrics| metrics.running_state.is_err()).await;
    match &metrics.now().running_state {
        Err(openraft::errors::Fatal::Stopped) => {}
        Err(openraft::errors::Fatal::StorageError(error)) => {
            failure.report_storage("the log or the keystore", &cause(error));
        }
        Err(fatal) => failure.report(&format!("consensus has stopped: {fatal}")),
        Ok(()) => failure.report("consensus has panicked"),
    }
}

/// The text of an error's innermost cause, without the name of the type that openraft writes in front.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let deepest = std::iter::successors(Some(error), |error| error.source()).last();
    let cause = deepest.map_or_else(String::new, ToString::to_string);
    let name = format!("{}: ", std::any::type_name::<std::io::Error>());
    cause.strip_prefix(&name).map_or(cause.clone(), ToOwned::to_owned)
}

/// Builds a snapshot when the node has written more to the log since the last one than that one takes on disk. Also builds
/// one for a keystore that is in memory only, which gets a new sled folder with it. Both wait for room on the disk. Purges
/// the log that snapshots cover.
pub(super) async fn snapshot_when_large(
    raft: Raft,
    log: LogStore,
    snapshots: Snapshots,
    checkpoint: KeystoreCheckpoint,
    config: SnapshotConfig,
) {
    let metrics = Metrics::of(&raft);
    // The size of the log on disk says little. The log frees space in chunks, and may stay large although a snapshot
    // covers all of it.
    let (mut written_then, mut known) = (0, None);
    // When the last build began, and how much was written by then.
    let mut begun: Option<(Instant, u64)> = None;
    let mut rest = Rest::default();
    loop {
        tokio::time::sleep(SNAPSHOT_CHECK).await;
        let newest = metrics.now().snapshot.map(|id| id.index);
        if newest != known {
            known = newest;
            written_then = begun.take().map_or(written_then, |(_, written)| written);
            if let Some(upto) = purge_upto(&metrics, &snapshots, config.keep_entries)
                && raft.trigger().purge_log(upto).await.is_err()
            {
                return;
            }
        }
        let written = log.bytes_written();
        let last = snapshots.newest().ok().flatten();
        let covers = last.as_ref().and_then(|snapshot| snapshot.header.applied.last).map(|id| id.index);
        let entries = last.as_ref().map_or(0, |snapshot| snapshot.header.applied.entries);
        let last_bytes = last.and_then(|s| s.path.metadata().ok()).map_or(0, |metadata| metadata.len());
        let applied = metrics.now().last_applied.as_ref().map(|id| id.index);
        let anything_new = covers < applied;
        let at_rest = rest.look(applied, Instant::now());
        let frees_memory = at_rest && frees_memory(applied, covers, entries);
        // A start has dropped a damaged part of the log, or a damaged snapshot was set aside. A node that lacks entries of the
        // log needs a snapshot that has them.
        let gap = covers < log.state().ok().and_then(|state| state.purged).map(|id| id.index);
        let room = snapshots.space().map_or(u64::MAX, |space| space.free);
        let due = anything_new && (gap || frees_memory || written - written_then > config.log_bytes.max(last_bytes));
        let due = due && room >= SNAPSHOT_ROOM.saturating_add(last_bytes.saturating_mul(2));
        let refill = checkpoint.is_memory_only() && room >= REFILL_ROOM.saturating_add(last_bytes.saturating_mul(4));
        if (due || refill) && begun.is_none_or(|(at, _)| at.elapsed() >= SNAPSHOT_RETRY) {
            begun = Some((Instant::now(), written));
            if raft.trigger().snapshot().await.is_err() {
                return;
            }
        }
    }
}

/// Whether a snapshot of a node at rest is worth its cost, because the log has many entries since the one that `covers` and
/// that has this many `entries`.
fn frees_memory(applied: Option<u64>, covers: Option<u64>, entries: u64) -> bool {
    let since = applied.unwrap_or(0).saturating_sub(covers.unwrap_or(0));
    since >= REST_ENTRIES.max(entries / REST_SHARE)
}

/// Notices when a node has applied nothing for a while.
#[derive(Default)]
struct Rest {
    applied: Option<u64>,
    since: Option<Instant>,
}

impl Rest {
    /// Takes how far the node has applied the log. Returns whether it is at rest.
    fn look(&mut self, applied: Option<u64>, now: Instant) -> bool {
        if self.applied != applied {
            (self.applied, self.since) = (applied, None);
        }
        now.duration_since(*self.since.get_or_insert(now)) >= REST
    }
}

/// The index up to which the log may go. A cluster of one keeps what follows its older snapshot, because no other node has it:
/// if the newest snapshot is damaged, the node goes on from the older one.
fn purge_upto(metrics: &Metrics, snapshots: &Snapshots, keep_entries: u64) -> Option<u64> {
    let (newest, voters) = {
        let metrics = metrics.now();
        (metrics.snapshot?.index, metrics.membership_config.voter_ids().count())
    };
    let covered = if voters > 1 { Some(newest) } else { snapshots.index_before(newest).ok().flatten() };
    covered?.checked_sub(keep_entries)
}

/// Writes the keystore every second, and makes it durable after each `every`, off the write path. Closes it while the node is
/// at rest.
pub(super) async fn checkpoint_regularly(checkpoint: KeystoreCheckpoint, every: Duration, failure: Failure) {
    let mut durable_at = Instant::now();
    // When the keystore last had something to write, or could not be closed.
    let mut busy_at = Instant::now();
    loop {
        tokio::time::sleep(WRITE_EVERY.min(every)).await;
        let (checkpoint, done) = (checkpoint.clone(), checkpoint.is_done());
        if done && (checkpoint.is_closed() || busy_at.elapsed() < REST) {
            continue;
        }
        busy_at = Instant::now();
        let due = !done && durable_at.elapsed() >= every;
        if due {
            durable_at = Instant::now();
        }
        let work = move || match (done, due) {
            // If this fails, the node tries again when it has been at rest for as long again.
            (true, _) => checkpoint.close().map(drop),
            (false, true) => checkpoint.run(),
            (false, false) => checkpoint.write(),
        };
        match blocking::spawn(work).await {
            // After an error the keystore is in memory only, and has logged that. The log has everything.
            Ok(_) => {}
            Err(panic) => return failure.report(&format!("writing the keystore panicked: {panic}")),
        }
    }
}

/// Writes to the node record how far the log is flushed and committed, off the write path.
pub(super) async fn record_progress(record: NodeRecord, failure: Failure) {
    loop {
        record.falls_behind().await;
        tokio::time::sleep(RECORD_EVERY).await;
        let record = record.clone();
        match blocking::spawn(move || record.write_progress()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return failure.report_storage("node.record", &error),
            Err(panic) => return failure.report(&format!("writing node.record panicked: {panic}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::protocol::types::TypeConfig;
    use openraft::StorageError;
    use openraft::type_config::TypeConfigExt;

    #[test]
    fn a_node_is_at_rest_when_it_has_applied_nothing_for_a_while() {
        let (mut rest, began) = (Rest::default(), Instant::now());
        assert!(!rest.look(Some(1), began) && !rest.look(Some(1), began + REST / 2));
        assert!(!rest.look(Some(2), began + REST) && !rest.look(Some(2), began + REST + REST / 2));
        assert!(rest.look(Some(2), began + REST * 2) && rest.look(Some(2), began + REST * 9));
        assert!(!rest.look(Some(3), began + REST * 10));
    }

    #[test]
    fn at_rest_a_snapshot_must_free_much_memory_for_its_size() {
        assert!(frees_memory(Some(20_000), None, 0) && !frees_memory(Some(19_999), None, 0));
        assert!(frees_memory(Some(1_062_500), Some(1_000_000), 1_000_000));
        assert!(!frees_memory(Some(1_062_499), Some(1_000_000), 1_000_000));
        assert!(!frees_memory(None, Some(7), 7));
    }

    #[test]
    fn a_failed_disk_is_reported_in_the_words_of_the_system() {
        let full = std::io::Error::from_raw_os_error(28);
        let failed = StorageError::<TypeConfig>::write_logs(TypeConfig::err_from_error(&full));
        assert_eq!(cause(&failed), full.to_string());
    }
}
