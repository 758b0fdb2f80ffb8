//! Proposes commands to openraft on this node, which takes them if this node leads.

use bytes::Bytes;
use futures::StreamExt;

use crate::raft::adapter::metrics::Raft;
use crate::raft::protocol::types::Proposal;
use crate::state::{self, EncodedCommand, HIGHEST_LEVEL};
use crate::store::MAX_PAYLOAD_BYTES;

/// Room for what an entry adds to its command. It adds a few bytes only.
const FRAME_ROOM: usize = 1024;

/// Why a leader does not take a command.
#[derive(Debug, thiserror::Error)]
enum RefusedCommand {
    #[error("its header is damaged")]
    Header,
    #[error("it has {0} bytes, more than an entry can hold")]
    TooLarge(usize),
    /// Its node has applied an entry that raises the level, and this one has yet to do so.
    #[error("it has feature level {0}, which is above the active one")]
    LevelAbove(u32),
}

impl RefusedCommand {
    fn log(&self) {
        match self {
            // This node is about to apply the entry that raises the level.
            Self::LevelAbove(_) => tracing::debug!(error = %self, "the leader refused a command for now"),
            Self::Header | Self::TooLarge(_) => tracing::error!(error = %self, "the leader refused a command"),
        }
    }
}

/// Which commands of a batch a leader did not take, by their positions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::raft) struct NotTaken {
    /// They may be sent again, because a command takes effect once however often it is sent.
    pub rejected: Vec<u32>,
    /// The cluster lacks room for them.
    pub no_room: Vec<u32>,
}

/// Proposes commands in their order, while `level` is active on this node. Without room, it takes only those that need none.
pub(in crate::raft) async fn propose(
    raft: &Raft,
    has_room: bool,
    level: Option<u32>,
    commands: Vec<Bytes>,
) -> NotTaken {
    let (mut positions, mut proposals, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
    let mut no_room = Vec::new();
    for (position, command) in (0u32..).zip(commands) {
        match readable(level, command) {
            Ok(command) if !has_room && state::needs_room(&command) => no_room.push(position),
            Ok(command) => {
                positions.push(position);
                proposals.push(Proposal::new(&command));
            }
            // Its sender tries again until its deadline.
            Err(error) => {
                error.log();
                rejected.push(position);
            }
        }
    }
    let Ok(mut results) = raft.client_write_many(proposals).await else {
        rejected.extend(positions);
        return NotTaken { rejected, no_room };
    };
    let mut answered = 0;
    while let Some(Ok(result)) = results.next().await {
        if result.is_err() {
            rejected.push(positions[answered]);
        }
        answered += 1;
    }
    rejected.extend(positions.into_iter().skip(answered));
    NotTaken { rejected, no_room }
}

/// Reads the header of a command. Its body is for `apply`, which answers a malformed one: a leader that checked more here
/// would keep the caller waiting. Before the cluster's first command, any level that this version can read is active.
fn readable(level: Option<u32>, command: Bytes) -> Result<EncodedCommand, RefusedCommand> {
    // The log could write larger entries, but not read them again.
    if command.len() > MAX_PAYLOAD_BYTES - FRAME_ROOM {
        return Err(RefusedCommand::TooLarge(command.len()));
    }
    let command = EncodedCommand::of_bytes(command).ok_or(RefusedCommand::Header)?;
    let is_above = command.level() > level.unwrap_or(HIGHEST_LEVEL);
    if is_above && (command.level() > HIGHEST_LEVEL || !state::raises_level(&command)) {
        return Err(RefusedCommand::LevelAbove(command.level()));
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::RequestId;

    #[test]
    fn a_leader_takes_any_body_but_no_level_above_the_active_one() {
        let command = |level| EncodedCommand::new(level, RequestId([1; 16]), 0, b"\xff\xff").bytes().clone();
        assert!(readable(Some(2), command(1)).is_ok() && readable(Some(2), command(2)).is_ok());
        assert!(readable(None, command(HIGHEST_LEVEL)).is_ok());
        assert!(matches!(readable(Some(2), command(3)), Err(RefusedCommand::LevelAbove(3))));
        assert!(matches!(readable(None, command(HIGHEST_LEVEL + 1)), Err(RefusedCommand::LevelAbove(_))));
        assert!(matches!(readable(Some(2), command(1).slice(1..20)), Err(RefusedCommand::Header)));
        let large = Bytes::from(vec![0; MAX_PAYLOAD_BYTES]);
        assert!(matches!(readable(Some(2), large), Err(RefusedCommand::TooLarge(_))));
    }
}
