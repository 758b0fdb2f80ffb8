//! openraft's state machine on the keystore: it applies committed entries, and builds and installs snapshots.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use futures::{Stream, StreamExt, TryStreamExt};
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};

use super::pending::Pending;
use crate::blocking;
use crate::clock;
use crate::policy::KeyName;
use crate::raft::protocol::membership::{decode_stored, encode_membership};
use crate::raft::protocol::types::{
    Entry, RaftLogId, RaftSnapshot, SnapshotMeta, StoredMembership, TypeConfig, from_store_id, to_store_id,
};
use crate::state::{self, Current, EncodedCommand, KeyRecord, Outcome, RecordedOutcome, Remembered, RequestId};
use crate::store::{self, Keystore, KeystoreCheckpoint, ReadError, SnapshotBuild, Snapshots, View};

/// How many entries the state machine applies before it writes and answers them.
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
    checkpoint: KeystoreCheckpoint,
}

impl StateMachine {
    /// The state machine on this keystore.
    pub(in crate::raft) fn new(keystore: Keystore, snapshots: Snapshots, pending: Pending) -> Self {
        Self { keystore, snapshots, pending }
    }

    /// Applies entries, and stages their changes as part of one transaction.
    fn apply_batch(&mut self, entries: &[EntryResponder<TypeConfig>]) -> Vec<(RequestId, RecordedOutcome)> {
        let mut outcomes = Vec::with_capacity(entries.len());
        for (entry, _) in entries {
            outcomes.extend(self.apply_entry(entry));
            self.keystore.advance(to_store_id(&entry.log_id));
        }
        if self.keystore.may_wait() {
            // sled may take long for this much. Heartbeats go on meanwhile.
            blocking::in_place(|| self.keystore.commit());
        } else {
            self.keystore.commit();
        }
        outcomes
    }

    fn apply_entry(&mut self, entry: &Entry) -> Option<(RequestId, RecordedOutcome)> {
        match &entry.payload {
            EntryPayload::Blank => None,
            EntryPayload::Membership(membership) => {
                self.keystore.set_membership(encode_membership(Some(&entry.log_id), membership).into());
                None
            }
            EntryPayload::Normal(proposal) => {
                Some((proposal.command.request_id(), self.apply_command(entry.index(), &proposal.command)))
            }
        }
    }

    /// Has `state` decide a command, and makes its changes at once, so that the next command sees them.
    fn apply_command(&mut self, index: u64, command: &EncodedCommand) -> RecordedOutcome {
        let view = self.keystore.view();
        let (cluster, rules) = (view.cluster(), view.rules());
        let (outcome, changes) = state::apply(
            command,
            Current {
                cluster: cluster.as_deref(),
                rules: &rules,
                record: &|name, version| record(view, name, version),
                memory: self.keystore.memory(),
                members: &|| members(self.keystore.membership()),
                records_under: &|version| self.keystore.records_under(version),
            },
        );
        if outcome == Outcome::Malformed {
            tracing::error!(index, "a command cannot be read, or is invalid: every node skips it");
            self.keystore.count_malformed();
        }
        let level = cluster.map(|cluster| cluster.level);
        if self.keystore.copies_many_rules(&changes) {
            // Heartbeats go on meanwhile.
            blocking::in_place(|| self.keystore.change(index, changes));
        } else {
            self.keystore.change(index, changes);
        }
        self.log_level(level);
        self.keystore.remember(Remembered { request_id: command.request_id(), index, outcome: outcome.clone() });
        outcome
    }

    /// Logs that the feature level has risen, if it was this one before.
    fn log_level(&self, before: Option<u32>) {
        if let (Some(from), Some(to)) = (before, self.keystore.view().level())
            && from < to
        {
            tracing::info!(from, to, "the cluster has raised its feature level");
        }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = store::Snapshot;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<RaftLogId>, StoredMembership)> {
        let membership = decode_stored(self.keystore.membership())
            .ok_or_else(|| io::Error::other("invariant broken: the stored membership cannot be read"))?;
        Ok((self.keystore.last_applied().map(from_store_id), membership))
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + Send,
    {
        let mut batches = entries.ready_chunks(BATCH);
        while let Some(batch) = batches.next().await {
            let batch: Vec<_> = futures::stream::iter(batch).try_collect().await?;
            let outcomes = self.apply_batch(&batch);
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
        let (begun, level) = (Instant::now(), self.keystore.view().level());
        // Filling in a million keys takes seconds. Heartbeats go on meanwhile.
        blocking::in_place(|| {
            // openraft hands over a snapshot that arrived here. Only its own checks bring one from another folder.
            let arrived = self.snapshots.holds(&snapshot);
            let snapshot = if arrived { snapshot } else { self.snapshots.accept(&snapshot.path, None)? };
            let installed = self.keystore.install(&snapshot);
            if let Err(ReadError::Damaged(_)) = &installed {
                // Otherwise the next start would try to install it again, and end like this one.
                self.snapshots.set_aside(&snapshot)?;
            }
            installed.map_err(io::Error::other)
        })?;
        self.log_level(level);
        let index = meta.last_log_id.map_or(0, |id| id.index);
        tracing::info!(
            index,
            ms = clock::nanos(begun.elapsed()) / 1_000_000,
            "this node installed a snapshot from the leader"
        );
        // The snapshot may cover commands for which callers wait. The memory in it has their outcomes.
        let remembered = |id: RequestId| self.keystore.memory().outcome_of(id).map(|outcome| (id, outcome));
        let outcomes: Vec<_> = self.pending.ids().into_iter().filter_map(remembered).collect();
        self.pending.answer(outcomes);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<RaftSnapshot>> {
        while let Some(snapshot) = self.snapshots.newest()? {
            match as_openraft(snapshot.clone()) {
                Ok(snapshot) => return Ok(Some(snapshot)),
                // If this ended openraft, no start of this node would get further.
                Err(error) => {
                    tracing::error!(%error, path = %snapshot.path.display(), "this node sets a damaged snapshot aside");
                    self.snapshots.set_aside(&snapshot)?;
                }
            }
        }
        Ok(None)
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = store::Snapshot;

    async fn build_snapshot(&mut self) -> io::Result<RaftSnapshot> {
        let build = self.build.take().ok_or_else(|| io::Error::other("a builder builds one snapshot"))?;
        let (snapshots, checkpoint) = (self.snapshots.clone(), self.checkpoint.clone());
        let begun = Instant::now();
        let header = build.header().clone();
        let built = blocking::spawn(move || {
            let Ok(snapshot) = build.run(&snapshots).inspect_err(log_failed_build) else { return Ok(None) };
            // After this, the log may be purged up to the snapshot. If the keystore on disk does not reach as far, the next
            // start makes it anew from the snapshot.
            drop(checkpoint.run());
            Ok::<_, io::Error>(Some(snapshot))
        });
        let Some(snapshot) = built.await.map_err(io::Error::other)?? else {
            // openraft ignores a snapshot that is not newer than what it knows. An error would end it.
            let nothing = store::Snapshot { path: PathBuf::new(), header };
            return Ok(RaftSnapshot { meta: SnapshotMeta::default(), snapshot: nothing });
        };
        let bytes = snapshot.path.metadata().map_or(0, |metadata| metadata.len());
        let index = snapshot.header.applied.last.map_or(0, |last| last.index);
        tracing::info!(index, bytes, ms = clock::nanos(begun.elapsed()) / 1_000_000, "this node built a snapshot");
        as_openraft(snapshot)
    }
}

fn log_failed_build(error: &io::Error) {
    tracing::error!(%error, "this node cannot build a snapshot: it keeps its log, and tries again later");
}

/// The record of a version of a key, or of its newest one.
fn record(view: &View, name: &str, version: Option<u32>) -> Option<KeyRecord> {
    let name = KeyName::parse(name).ok()?;
    let encoded = match version {
        Some(version) => view.record(name, version),
        None => view.newest_record(name),
    }?;
    Some(KeyRecord::decode(&encoded).expect("`state` decodes a record before it decides to keep it"))
}

/// The ids of all members at this position of the log.
fn members(membership: &[u8]) -> Vec<u64> {
    decode_stored(membership).map_or_else(Vec::new, |stored| stored.nodes().map(|(id, _)| *id).collect())
}

/// A snapshot with the metadata that openraft needs.
pub(in crate::raft) fn as_openraft(snapshot: store::Snapshot) -> io::Result<RaftSnapshot> {
    let last_membership = decode_stored(&snapshot.header.membership)
        .ok_or_else(|| io::Error::other("the membership in a snapshot cannot be read"))?;
    let last_log_id = snapshot.header.applied.last.map(from_store_id);
    Ok(RaftSnapshot { meta: SnapshotMeta { last_log_id, last_membership }, snapshot })
}

#[cfg(test)]
mod any_bytes_tests;

#[cfg(test)]
mod tests {
    use openraft::StorageError;
    use openraft::testing::log::{StoreBuilder, Suite};

    use super::*;
    use crate::crypto::Cipher;
    use crate::policy::{ActionKind, Actor, Author, Identity, KeyAction, Prefix};
    use crate::raft::adapter::log_storage::LogStorage;
    use crate::raft::failure::Failure;
    use crate::state::{ClusterId, ClusterState, Command, CreationId, IncarnationId, Init, KeySeen, Operation};
    use crate::store::{FoundKeystore, Owner, Store, StoreId};
    use crate::test_vectors::store_keys;

    fn opened(dir: &tempfile::TempDir) -> (LogStorage, StateMachine) {
        let owner = Owner { store_id: StoreId([1; 16]), node_id: 0 };
        let store = Store::create(dir.path(), owner, &store_keys(ClusterId([1; 16]))).unwrap();
        let FoundKeystore::Whole(keystore) = store.keystore else { panic!("a new store is whole") };
        (
            LogStorage::new(store.log, Failure::default()),
            StateMachine::new(keystore, store.snapshots, Pending::default()),
        )
    }

    fn command(number: u8, action: Option<ActionKind>, operation: Operation) -> EncodedCommand {
        let actor = Actor::Client { identity: Identity::from_bytes([1; 32]), file_admin: true };
        Command { time_ns: 0, actor, action, file_names_admin: true, operation }.encode(1, RequestId([number; 16]), 0)
    }

    /// The first command of a cluster that begins at this level.
    pub(super) fn first_command(level: u32) -> EncodedCommand {
        let cluster = ClusterState {
            id: ClusterId([1; 16]),
            incarnation: IncarnationId([2; 16]),
            secrets: crate::test_vectors::no_secrets(),
            level,
            ring: Vec::new(),
            active_ring_version: 1,
            time_ns: 0,
            created_at: None,
            seals: Vec::new(),
            last_ring_version: 0,
            ring_notes: Vec::new(),
        };
        let init = Init { cluster, policies: Vec::new(), assignments: Vec::new() };
        let operation = Operation::Init(Box::new(init));
        let command = Command { time_ns: 0, actor: Actor::Node, action: None, file_names_admin: true, operation };
        command.encode(level, RequestId([0; 16]), 0)
    }

    /// Creates the key `a`. Its creation id has the command's number.
    fn create(number: u8) -> EncodedCommand {
        let record = KeyRecord {
            creation_id: CreationId([number; 16]),
            version: 1,
            cipher: Cipher::Aes256,
            disabled: false,
            ring_version: 1,
            author: Author::default(),
            last_used: None,
            delete_at: None,
            sealed: vec![7; 108],
        };
        let operation = Operation::CreateKey { name: "a".to_owned(), record: record.encode().into() };
        command(number, Some(ActionKind::Key(KeyAction::Create)), operation)
    }

    /// Deletes the key `a` of this creation.
    fn delete(number: u8, creation: u8) -> EncodedCommand {
        let key = KeySeen { name: "a".to_owned(), creation_id: CreationId([creation; 16]) };
        command(number, Some(ActionKind::Key(KeyAction::Delete)), Operation::DeleteKey { key, window_ns: 0 })
    }

    #[test]
    fn a_command_is_decided_by_all_commands_before_it_and_takes_effect_once() {
        let dir = tempfile::tempdir().unwrap();
        let (_log, mut machine) = opened(&dir);
        let done = Outcome::Done;
        let commands = [
            (first_command(1), done, 0),
            (create(1), done, 1),
            (create(2), Outcome::KeyExists, 1),
            (delete(3, 1), done, 0),
            // The memory has its outcome, so that it does not create the key again.
            (create(1), done, 0),
            (create(4), done, 1),
            (delete(3, 1), done, 1),
            (delete(5, 1), Outcome::KeyNotFound, 1),
        ];
        for (index, (command, outcome, keys)) in (1..).zip(commands) {
            assert_eq!(machine.apply_command(index, &command), outcome, "{index}");
            let names = machine.keystore.view().names(Prefix::parse("").unwrap(), None, 10);
            assert_eq!(names.len(), keys, "{index}");
        }
    }

    struct Builder;

    impl StoreBuilder<TypeConfig, LogStorage, StateMachine, tempfile::TempDir> for Builder {
        async fn build(&self) -> Result<(tempfile::TempDir, LogStorage, StateMachine), StorageError<TypeConfig>> {
            let dir = tempfile::tempdir().unwrap();
            let (log, state_machine) = opened(&dir);
            Ok((dir, log, state_machine))
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_snapshot_that_cannot_be_used_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let (_log, mut machine) = opened(&dir);
        let mut built = Vec::new();
        for (index, membership) in [(1, Vec::new()), (2, b"?".to_vec())] {
            machine.apply_command(index, &create(1));
            machine.keystore.set_membership(membership.into());
            machine.keystore.advance(store::LogId { term: 1, node: 1, index });
            machine.keystore.commit();
            built.push(machine.keystore.begin_snapshot().run(&machine.snapshots).unwrap());
        }
        // Its membership cannot be read.
        let found = machine.get_current_snapshot().await.unwrap().unwrap();
        assert_eq!(found.snapshot, built[0]);
        assert!(!built[1].path.exists() && built[1].path.with_extension("damaged").exists());
        // Its content cannot be read, and the file was whole when it arrived.
        std::fs::write(&built[0].path, std::fs::read(&built[0].path).unwrap().split_last().unwrap().1).unwrap();
        machine.install_snapshot(&found.meta, found.snapshot).await.unwrap_err();
        assert!(machine.get_current_snapshot().await.unwrap().is_none());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn openrafts_storage_checks_pass() {
        Suite::test_all(Builder).await.unwrap();
    }
}

#[cfg(test)]
mod vectors;
