//! The snapshot stream: sends a snapshot file to another node in parts, and receives one.

use std::io;
use std::path::PathBuf;

use bytes::BytesMut;
use futures::{Stream, StreamExt};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Status;

use crate::blocking;
use crate::raft::protocol::wire::{SnapshotPart, VoteState};
use crate::state::ClusterId;
use crate::store::{ReadError, Snapshot, Snapshots};

const PART_BYTES: usize = 256 * 1024;

/// A snapshot as parts to send. The first part carries the vote. The last one comes only if the file is the one that this
/// node wrote. If it is not, the node sets it aside.
///
/// # Errors
/// The snapshot is damaged, or the file system refused.
pub(in crate::raft) fn send(
    snapshots: &Snapshots,
    snapshot: &Snapshot,
    vote: Option<VoteState>,
) -> io::Result<impl Stream<Item = io::Result<SnapshotPart>> + Send + 'static> {
    let aside = Aside { snapshots: snapshots.clone(), snapshot: snapshot.clone() };
    let (file, sent) = snapshots.open_to_send(snapshot).map_err(|error| aside.unless_whole(error))?;
    let parts = (vote, File::from_std(file), sent, aside);
    Ok(futures::stream::try_unfold(parts, |(vote, mut file, mut sent, aside)| async move {
        let mut bytes = BytesMut::with_capacity(PART_BYTES);
        let read = file.read_buf(&mut bytes).await?;
        sent.check(&bytes).map_err(|damage| aside.unless_whole(damage.into()))?;
        Ok((read > 0).then(|| (SnapshotPart { vote, bytes: bytes.freeze() }, (None, file, sent, aside))))
    }))
}

/// Sets a snapshot aside that turns out to be damaged while it is sent.
struct Aside {
    snapshots: Snapshots,
    snapshot: Snapshot,
}

impl Aside {
    fn unless_whole(&self, error: ReadError) -> io::Error {
        if let ReadError::Damaged(damage) = &error {
            tracing::error!(
                path = %self.snapshot.path.display(), %damage,
                "a snapshot of this node is damaged: the node does not send it, and sets it aside"
            );
            if let Err(error) = self.snapshots.set_aside(&self.snapshot) {
                tracing::error!(%error, "this node cannot set the damaged snapshot aside");
            }
        }
        error.into()
    }
}

/// Writes the parts to a file in the snapshot folder, checks the whole file and keeps it as a snapshot. Returns the
/// snapshot and the vote of the first part.
///
/// # Errors
/// The stream broke, the snapshot is damaged or of another cluster, or the disk failed. The file is removed.
pub(in crate::raft) async fn receive(
    snapshots: &Snapshots,
    cluster: Option<ClusterId>,
    parts: impl Stream<Item = Result<SnapshotPart, Status>> + Unpin,
) -> io::Result<(Snapshot, Option<VoteState>)> {
    let (file, path) = snapshots.create_received()?;
    let unfinished = Unfinished(path);
    let vote = write_parts(File::from_std(file), parts).await?;
    let snapshots = snapshots.clone();
    let taken = blocking::spawn(move || snapshots.accept(&unfinished.0, cluster));
    Ok((taken.await.map_err(io::Error::other)?.map_err(io::Error::other)?, vote))
}

/// The path of a file that is removed when this value is dropped, also when the sender leaves in the middle. A file
/// that became a snapshot has another name by then.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // The next start removes a file that cannot be removed now.
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn write_parts(
    mut file: File,
    mut parts: impl Stream<Item = Result<SnapshotPart, Status>> + Unpin,
) -> io::Result<Option<VoteState>> {
    let mut vote = None;
    while let Some(part) = parts.next().await {
        let part = part.map_err(io::Error::other)?;
        vote = vote.or(part.vote);
        file.write_all(&part.bytes).await?;
    }
    file.sync_all().await?;
    Ok(vote)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::state::ClusterId;
    use crate::store::{FoundKeystore, LogId, Owner, Store, StoreId};
    use crate::test_vectors::store_keys;

    /// The snapshots of a node, and one of them.
    fn with_snapshot(dir: &tempfile::TempDir, store: u8) -> (Snapshots, Snapshot) {
        let owner = Owner { store_id: StoreId([store; 16]), node_id: 1 };
        let store = Store::create(dir.path(), owner, &store_keys(ClusterId([1; 16]))).unwrap();
        let FoundKeystore::Whole(mut keystore) = store.keystore else { panic!("a new store is whole") };
        // Several parts.
        keystore.set_membership(vec![1; 1000 * 1000].into());
        keystore.advance(LogId { term: 1, node: 1, index: 1 });
        let snapshot = keystore.begin_snapshot().run(&store.snapshots).unwrap();
        (store.snapshots, snapshot)
    }

    #[tokio::test]
    async fn a_snapshot_arrives_whole_and_a_damaged_one_does_not_leave() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let (sender, snapshot) = with_snapshot(&dirs[0], 1);
        let (receiver, _) = with_snapshot(&dirs[1], 2);
        let vote = Some(VoteState { term: 3, node: 1, committed: true });
        let whole = send(&sender, &snapshot, vote).unwrap();
        let whole = whole.map(|part| part.map_err(|error| Status::internal(error.to_string()))).boxed();
        let (received, received_vote) = receive(&receiver, None, whole).await.unwrap();
        assert_eq!((received.header, received_vote), (snapshot.header.clone(), vote));

        let mut damaged = send(&sender, &snapshot, None).unwrap().boxed();
        let mut bytes = fs::read(&snapshot.path).unwrap();
        let at = bytes.len() - 100;
        bytes[at] ^= 1;
        fs::write(&snapshot.path, &bytes).unwrap();
        let mut sent = 0;
        let error = loop {
            match damaged.next().await.unwrap() {
                Ok(part) => sent += part.bytes.len(),
                Err(error) => break error,
            }
        };
        assert!(sent > 0 && sent < bytes.len() && error.to_string().contains("checksum"), "{sent} {error}");
        assert_eq!(sender.newest().unwrap(), None);
        assert!(snapshot.path.with_extension("damaged").exists());
    }
}
