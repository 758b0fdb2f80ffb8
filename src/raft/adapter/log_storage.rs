//! openraft's log storage on the store's write-ahead log.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};

use bytes::Bytes;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};

use crate::blocking;
use crate::raft::failure::Failure;
use crate::raft::protocol::entry::{decode_entry, encode_payload, level_of};
use crate::raft::protocol::types::{
    Entry, RaftLogId, RaftVote, TypeConfig, from_store_id, from_store_vote, to_store_id, to_store_vote,
};
use crate::state::LOWEST_LEVEL;
use crate::store::{Forged, LogId, LogStore, OnDurable};

/// How many bytes of payload one replication request carries before it takes no further entry.
const READ_BYTES: usize = 1024 * 1024;

/// The log as openraft sees it.
#[derive(Clone)]
pub struct LogStorage {
    log: LogStore,
    failure: Failure,
}

impl LogStorage {
    /// The storage on this log. It reports to `failure` if the log is not what this node wrote.
    pub(in crate::raft) fn new(log: LogStore, failure: Failure) -> Self {
        Self { log, failure }
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<(LogId, Bytes)>> {
        self.log.read(range).inspect_err(|error| {
            // openraft would end without this text, as after any failure of the disk.
            if let Some(forged) = Forged::cause_of(error) {
                self.failure.report_lasting(&forged.to_string());
            }
        })
    }
}

impl RaftLogReader<TypeConfig> for LogStorage {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let entries = self.read(start..end.max(start))?;
        let decode = |(id, payload)| decode_entry(from_store_id(id), payload).map_err(io::Error::other);
        entries.into_iter().map(decode).collect()
    }

    async fn read_vote(&mut self) -> io::Result<Option<RaftVote>> {
        Ok(self.log.state()?.vote.map(from_store_vote))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let mut bytes = 0;
        let within = |(_, payload): &(_, Bytes)| {
            let fits = bytes < READ_BYTES;
            bytes += payload.len();
            fits
        };
        let entries = self.read(start..end)?.into_iter().take_while(within);
        let decode = |(id, payload)| decode_entry(from_store_id(id), payload).map_err(io::Error::other);
        entries.map(decode).collect()
    }
}

impl RaftLogStorage<TypeConfig> for LogStorage {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let state = self.log.state()?;
        let last_purged_log_id = state.purged.map(from_store_id);
        Ok(LogState { last_purged_log_id, last_log_id: state.last.map(from_store_id).or(last_purged_log_id) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &RaftVote) -> io::Result<()> {
        let vote = to_store_vote(vote);
        blocking(&self.log, move |log| log.save_vote(vote)).await
    }

    async fn save_committed(&mut self, committed: Option<RaftLogId>) -> io::Result<()> {
        committed.map_or(Ok(()), |id| self.log.commit(to_store_id(&id)))
    }

    async fn read_committed(&mut self) -> io::Result<Option<RaftLogId>> {
        Ok(self.log.state()?.committed.map(from_store_id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let on_durable: OnDurable = Box::new(move |result| callback.io_completed(result));
        let mut level = LOWEST_LEVEL;
        let encoded = entries.into_iter().map(|entry| {
            level = level.max(level_of(&entry));
            (to_store_id(&entry.log_id), encode_payload(&entry))
        });
        let entries: Vec<_> = encoded.collect();
        self.log.raise_level(level)?;
        self.log.append(entries, on_durable)
    }

    async fn truncate_after(&mut self, last_log_id: Option<RaftLogId>) -> io::Result<()> {
        blocking(&self.log, move |log| log.truncate_after(last_log_id.map(|id| to_store_id(&id)))).await
    }

    async fn purge(&mut self, log_id: RaftLogId) -> io::Result<()> {
        blocking(&self.log, move |log| log.purge(to_store_id(&log_id))).await
    }
}

async fn blocking(log: &LogStore, work: impl FnOnce(&LogStore) -> io::Result<()> + Send + 'static) -> io::Result<()> {
    let log = log.clone();
    blocking::spawn(move || work(&log)).await.map_err(io::Error::other)?
}
