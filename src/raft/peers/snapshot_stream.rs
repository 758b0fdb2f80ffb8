//! The snapshot stream: sends a snapshot file to another node in parts, and receives one.

use std::io;
use std::path::PathBuf;

use bytes::BytesMut;
use futures::{Stream, StreamExt};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Status;

use crate::raft::protocol::wire::{SnapshotPart, VoteState};
use crate::state::ClusterId;
use crate::store::{Snapshot, Snapshots};

const PART_BYTES: usize = 256 * 1024;

/// Reads a file as parts to send. The first part carries the vote.
pub(in crate::raft) fn of_file(
    vote: Option<VoteState>,
    file: File,
) -> impl Stream<Item = io::Result<SnapshotPart>> + Send + 'static {
    futures::stream::try_unfold((vote, file), |(vote, mut file)| async move {
        let mut bytes = BytesMut::with_capacity(PART_BYTES);
        let read = file.read_buf(&mut bytes).await?;
        Ok((read > 0).then(|| (SnapshotPart { vote, bytes: bytes.freeze() }, (None, file))))
    })
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
    let taken = tokio::task::spawn_blocking(move || snapshots.accept(&unfinished.0, cluster));
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
