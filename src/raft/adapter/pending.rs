//! Writes that this node received and has not applied yet, by request id.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::state::{RecordedOutcome, RequestId};

/// Writes that wait for their outcome. All clones share one map.
#[derive(Clone, Default)]
pub(in crate::raft) struct Pending {
    waiting: Arc<Mutex<HashMap<RequestId, Waiter>>>,
}

struct Waiter {
    sent: bool,
    answer: oneshot::Sender<RecordedOutcome>,
}

/// One write that waits. Dropping it ends the wait.
pub(in crate::raft) struct PendingWrite {
    pending: Pending,
    id: RequestId,
    pub answer: oneshot::Receiver<RecordedOutcome>,
}

impl Pending {
    /// Begins to wait for the outcome of a command.
    pub(in crate::raft) fn wait_for(&self, id: RequestId) -> PendingWrite {
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().insert(id, Waiter { sent: false, answer: sender });
        PendingWrite { pending: self.clone(), id, answer }
    }

    /// Hands the outcomes of commands to the callers that wait for them.
    pub(in crate::raft) fn answer(&self, outcomes: impl IntoIterator<Item = (RequestId, RecordedOutcome)>) {
        let mut waiting = self.waiting.lock();
        for (id, outcome) in outcomes {
            if let Some(waiter) = waiting.remove(&id) {
                // The caller may have run out of time. The outcome stands all the same.
                let _ = waiter.answer.send(outcome);
            }
        }
    }

    /// Counts the command as sent from now on, if a caller still waits for it. Returns whether one does.
    pub(in crate::raft) fn mark_sent(&self, id: RequestId) -> bool {
        self.waiting.lock().get_mut(&id).map(|waiter| waiter.sent = true).is_some()
    }

    /// Whether a caller still waits for the command.
    pub(in crate::raft) fn is_waited_for(&self, id: RequestId) -> bool {
        self.waiting.lock().contains_key(&id)
    }

    /// The ids of all commands that a caller waits for.
    pub(in crate::raft) fn ids(&self) -> Vec<RequestId> {
        self.waiting.lock().keys().copied().collect()
    }
}

impl PendingWrite {
    /// Ends the wait and keeps the command from being sent from now on. Returns whether it was sent before.
    pub(in crate::raft) fn give_up(self) -> bool {
        self.pending.waiting.lock().remove(&self.id).is_none_or(|waiter| waiter.sent)
    }
}

impl Drop for PendingWrite {
    fn drop(&mut self) {
        self.pending.waiting.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_given_up_before_it_was_sent_is_never_sent() {
        let pending = Pending::default();
        let id = RequestId([1; 16]);
        assert!(!pending.wait_for(id).give_up(), "nobody sent it");
        assert!(!pending.mark_sent(id), "and nobody will");
        let waiting = pending.wait_for(id);
        assert!(pending.mark_sent(id) && waiting.give_up());
    }
}
