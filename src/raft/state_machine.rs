//! openraft's state machine on the keystore: applies what is committed, builds and installs snapshots.

use std::io;
use std::time::Instant;

use futures::{Stream, StreamExt, TryStreamExt};
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};

use super::membership::{decode_stored, encode_membership};
use super::pending::Pending;
use super::types::{Entry, LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig, from_store_id, to_store_id};
use crate::clock;
use crate::state::{Command, DecodeError, Outcome, RequestId};
use crate::store::{self, Checkpoint, Keystore, SnapshotBuild, Snapshots};

/// Entries applied before they are written and answered.
const BATCH: usize = 1024;

/// The state machine as openraft sees it.
pub struct StateMachine {
    keystore: Keystore,
    snapshots: Snapshots,
    pending: Pending,
}

/// Builds one snapshot.
pub struct SnapshotBuilder {
    build: Option<SnapshotBuild>,
    snapshots: Snapshots,
    checkpoint: Checkpoint,
}

impl StateMachine {
    /// The state machine on this keystore.
    pub(super) fn new(keystore: Keystore, snapshots: Snapshots, pending: Pending) -> Self {
        Self { keystore, snapshots, pending }
    }

    /// Applies entries and writes them in one transaction.
    fn apply_batch(&mut self, entries: &[EntryResponder<TypeConfig>]) -> io::Result<Vec<(RequestId, Outcome)>> {
        let mut outcomes = Vec::with_capacity(entries.len());
        for (entry, _) in entries {
            outcomes.extend(self.apply_entry(entry)?);
            self.keystore.advance(to_store_id(&entry.log_id));
        }
        if self.keystore.may_wait() {
            // Sled takes its time for so much; heartbeats go on meanwhile.
            tokio::task::block_in_place(|| self.keystore.commit())?;
        } else {
            self.keystore.commit()?;
        }
        Ok(outcomes)
    }

    fn apply_entry(&mut self, entry: &Entry) -> io::Result<Option<(RequestId, Outcome)>> {
        match &entry.payload {
            EntryPayload::Blank => Ok(None),
            EntryPayload::Membership(membership) => {
                self.keystore.set_membership(encode_membership(Some(&entry.log_id), membership).into());
                Ok(None)
            }
            EntryPayload::Normal(proposal) => match Command::decode(&proposal.command()) {
                Ok(command) => Ok(Some((command.request_id, self.keystore.apply(entry.index(), &command)))),
                // Refused before proposing; in a log all the same, it does nothing, on every node alike.
                Err(DecodeError::Malformed(_)) => Ok(None),
                // Skipping it would let this node's state differ from the others'.
                Err(error @ DecodeError::UnknownOperation) => Err(io::Error::other(format!(
                    "invariant broken: the entry at index {} holds {error}",
                    entry.index()
                ))),
            },
        }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = store::Snapshot;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let membership = decode_stored(self.keystore.membership())
            .ok_or_else(|| io::Error::other("invariant broken: the stored membership can be read"))?;
        Ok((self.keystore.last_applied().map(from_store_id), membership))
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + Send,
    {
        let mut batches = entries.ready_chunks(BATCH);
        while let Some(batch) = batches.next().await {
            let batch: Vec<_> = futures::stream::iter(batch).try_collect().await?;
            let outcomes = self.apply_batch(&batch)?;
            self.pending.answer(outcomes);
            for responder in batch.into_iter().filter_map(|(_, responder)| responder) {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            build: Some(self.keystore.begin_snapshot()),
            snapshots: self.snapshots.clone(),
            checkpoint: self.keystore.checkpoint(),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: store::Snapshot) -> io::Result<()> {
        let begun = Instant::now();
        // A million keys take seconds to fill in; heartbeats go on meanwhile.
        tokio::task::block_in_place(|| {
            let snapshot = self.snapshots.accept(&snapshot.path, None).map_err(io::Error::other)?;
            self.keystore.install(&snapshot).map_err(io::Error::other)
        })?;
        let index = meta.last_log_id.map_or(0, |id| id.index);
        tracing::info!(index, ms = clock::nanos(begun.elapsed()) / 1_000_000, "installed a snapshot from the leader");
        // Whoever waits for a command that the snapshot jumped over learns its outcome from the memory in it.
        let remembered = |id: RequestId| self.keystore.outcome_of(id).map(|outcome| (id, outcome));
        let outcomes: Vec<_> = self.pending.ids().into_iter().filter_map(remembered).collect();
        self.pending.answer(outcomes);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        self.snapshots.newest()?.map(as_openraft).transpose()
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = store::Snapshot;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let build = self.build.take().ok_or_else(|| io::Error::other("a builder builds one snapshot"))?;
        let (snapshots, checkpoint) = (self.snapshots.clone(), self.checkpoint.clone());
        let begun = Instant::now();
        let built = tokio::task::spawn_blocking(move || {
            let snapshot = build.run(&snapshots)?;
            // The log may now be purged up to the snapshot: by then the keystore on disk must reach as far.
            checkpoint.run()?;
            Ok::<_, io::Error>(snapshot)
        });
        let snapshot = built.await.map_err(io::Error::other)??;
        let bytes = snapshot.path.metadata().map_or(0, |metadata| metadata.len());
        let index = snapshot.header.applied.last.map_or(0, |last| last.index);
        tracing::info!(index, bytes, ms = clock::nanos(begun.elapsed()) / 1_000_000, "built a snapshot");
        as_openraft(snapshot)
    }
}

/// A snapshot with what openraft wants to know of it.
pub(super) fn as_openraft(snapshot: store::Snapshot) -> io::Result<Snapshot> {
    let last_membership = decode_stored(&snapshot.header.membership)
        .ok_or_else(|| io::Error::other("the membership in a snapshot cannot be read"))?;
    let last_log_id = snapshot.header.applied.last.map(from_store_id);
    Ok(Snapshot { meta: SnapshotMeta { last_log_id, last_membership }, snapshot })
}

#[cfg(test)]
mod tests {
    use openraft::StorageError;
    use openraft::testing::log::{StoreBuilder, Suite};

    use super::*;
    use crate::raft::log_storage::LogStorage;
    use crate::store::{Found, Owner, Store, StoreId};

    struct Builder;

    impl StoreBuilder<TypeConfig, LogStorage, StateMachine, tempfile::TempDir> for Builder {
        async fn build(&self) -> Result<(tempfile::TempDir, LogStorage, StateMachine), StorageError<TypeConfig>> {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path(), || Owner { store_id: StoreId([1; 16]), node_id: 0 }).unwrap();
            let Found::Whole(keystore) = store.keystore else { panic!("a new store is whole") };
            let state_machine = StateMachine::new(keystore, store.snapshots, Pending::default());
            Ok((dir, LogStorage::new(store.log), state_machine))
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn openrafts_own_storage_checks_pass() {
        Suite::test_all(Builder).await.unwrap();
    }
}
