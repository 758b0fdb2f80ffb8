//! Proposing commands to this node's consensus, if it leads.

use bytes::Bytes;
use futures::StreamExt;

use crate::raft::adapter::metrics::Raft;
use crate::raft::protocol::types::Proposal;
use crate::state::{Command, DecodeError};
use crate::store::MAX_PAYLOAD_BYTES;

/// What an entry adds to its command, and room to spare.
const FRAME_ROOM: usize = 1024;

/// Proposes commands in their order. Returns the positions of those that were not taken, which may be sent again:
/// a command takes effect once however often it is sent.
pub(in crate::raft) async fn propose(raft: &Raft, level: u32, commands: Vec<Bytes>) -> Vec<u32> {
    let (mut positions, mut proposals, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
    for (position, command) in (0u32..).zip(commands) {
        match check(&command) {
            Ok(()) => {
                positions.push(position);
                proposals.push(Proposal::new(level, &command));
            }
            // Its sender's deadline ends the retries; in the log it would do nothing but take room.
            Err(error) => {
                tracing::error!(%error, "a command was refused before it was proposed");
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

/// Whether a command may stand in the log: larger entries could be written but not read again.
fn check(command: &Bytes) -> Result<(), DecodeError> {
    if command.len() > MAX_PAYLOAD_BYTES - FRAME_ROOM {
        return Err(DecodeError::Malformed("command: too large"));
    }
    Command::decode(command).map(drop)
}
