//! The first entry of the log: the first membership. Every founder writes the same one before it takes part.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use tokio::sync::oneshot;

use super::document::membership;
use crate::failpoint::{self, Failpoint};
use crate::raft::protocol::entry::encode_payload;
use crate::raft::protocol::types::{Entry, LeaderId, Member, NodeId, RaftLogId, to_store_id};
use crate::store::{LogId, LogStore};

/// Appends the entry durably, unless the log has entries or the node has voted. A node that has voted gets its first entry
/// from a leader: its log may have had entries that it must not lose.
///
/// openraft's own `initialize` gives each node an entry of another position. All but one would then cut it off again.
pub(in crate::raft) async fn append(log: &LogStore, members: &BTreeMap<NodeId, Member>) -> io::Result<()> {
    let state = log.state()?;
    if state.last.is_some() || state.vote.is_some() {
        return Ok(());
    }
    let (sender, durable) = oneshot::channel();
    log.append([first_entry(members)], Box::new(move |result| drop(sender.send(result))))?;
    durable.await.map_err(|_| io::Error::other("the log was closed before its first entry was durable"))??;
    failpoint::reached(Failpoint::FirstEntryWritten);
    Ok(())
}

fn first_entry(members: &BTreeMap<NodeId, Member>) -> (LogId, Bytes) {
    let node_id = members.keys().next().copied().unwrap_or_default();
    let id = RaftLogId::new(LeaderId { term: 0, node_id }, 0);
    let entry = Entry::new(id, EntryPayload::Membership(membership(members)));
    (to_store_id(&id), encode_payload(&entry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::ClusterId;
    use crate::store::{Owner, Store, StoreId};
    use crate::test_vectors::store_keys;

    fn members(count: u64) -> BTreeMap<NodeId, Member> {
        (1..=count).map(|id| (id, Member { name: format!("node-{id}"), ..Member::default() })).collect()
    }

    #[tokio::test]
    async fn every_founder_appends_the_same_entry_once() {
        let dir = tempfile::tempdir().unwrap();
        let owner = Owner { store_id: StoreId([2; 16]), node_id: 2 };
        let log = Store::create(dir.path(), owner, &store_keys(ClusterId([1; 16]))).unwrap().log;
        for _ in 0..2 {
            append(&log, &members(3)).await.unwrap();
            assert_eq!(log.state().unwrap().last, Some(LogId { term: 0, node: 1, index: 0 }));
        }
        assert_eq!(log.read(0..9).unwrap(), [first_entry(&members(3))]);
    }
}
