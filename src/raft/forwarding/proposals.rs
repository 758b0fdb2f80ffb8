//! Proposes commands to openraft on this node, which takes them if this node leads.

use bytes::Bytes;
use futures::StreamExt;

use crate::raft::adapter::metrics::Raft;
use crate::raft::protocol::types::Proposal;
use crate::state::{Command, DecodeError};
use crate::store::MAX_PAYLOAD_BYTES;

/// Room for what an entry adds to its command. It adds a few bytes only.
const FRAME_ROOM: usize = 1024;

/// Proposes commands in their order. Returns the positions of those that openraft did not take. They may be sent again,
/// because a command takes effect once however often it is sent.
pub(in crate::raft) async fn propose(raft: &Raft, level: u32, commands: Vec<Bytes>) -> Vec<u32> {
    let (mut positions, mut proposals, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
    for (position, command) in (0u32..).zip(commands) {
        match check(&command) {
            Ok(()) => {
                positions.push(position);
                proposals.push(Proposal::new(level, &command));
            }
            // The deadline of its sender ends the retries. In the log it would only take room.
            Err(error) => {
                tracing::error!(%error, "this node refused to propose a command");
                rejected.push(position);
            }
        }
    }
    let Ok(mut results) = raft.client_write_many(proposals).await else {
        rejected.extend(positions);
        return rejected;
    };
    let mut answered = 0;
    while let Some(Ok(result)) = results.next().await {
        if result.is_err() {
            rejected.push(positions[answered]);
        }
        answered += 1;
    }
    rejected.extend(positions.into_iter().skip(answered));
    rejected
}

/// Checks that a command may stand in the log. The log could write larger entries, but not read them again.
fn check(command: &Bytes) -> Result<(), DecodeError> {
    if command.len() > MAX_PAYLOAD_BYTES - FRAME_ROOM {
        return Err(DecodeError::Malformed("command: too large"));
    }
    Command::decode(command).map(drop)
}
