//! Looks how much room the disk has. A leader that lacks room hands leadership to a voter that has some.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::blocking;
use crate::disk::DiskRoom;
use crate::raft::forwarding::hand_over::HandOver;
use crate::raft::forwarding::room_gate::RoomGate;
use crate::store::LogStore;

/// The pause between two looks at a disk that has plenty of room. Each look wakes a thread that may block.
const SELDOM: Duration = Duration::from_secs(1);

/// Watches the room on the disk of this node's data folder.
pub(in crate::raft) struct FullDisk {
    pub log: LogStore,
    pub room: Arc<DiskRoom>,
    pub gate: Arc<RoomGate>,
    pub hand_over: Arc<HandOver>,
    /// When this node last looked. `None` before its first look.
    pub looked: Option<Instant>,
}

impl FullDisk {
    /// Looks how much room there is, and lets a flush go on that waits for room. Does nothing if it looked a moment ago and
    /// saw plenty.
    pub(in crate::raft) async fn look(&mut self) {
        let recently = self.looked.is_some_and(|at| at.elapsed() < SELDOM);
        if recently && self.room.has_plenty() && !self.log.waits_for_room() {
            return;
        }
        self.looked = Some(Instant::now());
        let (room, log) = (Arc::clone(&self.room), self.log.clone());
        // If this fails, the next look tries again. A disk that fails shows in the log's own writes.
        let looked = blocking::spawn(move || room.look().and_then(|()| log.use_room())).await;
        if let Ok(Err(error)) = looked {
            tracing::debug!(%error, "the node cannot see how much room its disk has");
        }
        if self.room.lacks_room() && self.gate.is_open() {
            // `run` does nothing if this node does not lead.
            let committed = self.gate.last_committed();
            self.hand_over.run(committed, |voter| self.gate.has_room(voter), "its disk lacks room").await;
        }
    }
}
