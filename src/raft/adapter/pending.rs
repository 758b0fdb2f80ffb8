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
    /// How often the node sent it.
    sent: u32,
    answer: oneshot::Sender<Result<RecordedOutcome, Refused>>,
}

/// The cluster lacks room for the command, and no leader has taken it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::raft) struct Refused;

/// One write that waits. Dropping it ends the wait.
pub(in crate::raft) struct PendingWrite {
    pending: Pending,
    id: RequestId,
    pub answer: oneshot::Receiver<Result<RecordedOutcome, Refused>>,
}

impl Pending {
    /// Begins to wait for the outcome of a command.
    pub(in crate::raft) fn wait_for(&self, id: RequestId) -> PendingWrite {
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().insert(id, Waiter { sent: 0, answer: sender });
        PendingWrite { pending: self.clone(), id, answer }
    }

    /// Hands the outcomes of commands to the callers that wait for them.
    pub(in crate::raft) fn answer(&self, outcomes: impl IntoIterator<Item = (RequestId, RecordedOutcome)>) {
        let mut waiting = self.waiting.lock();
        for (id, outcome) in outcomes {
            if let Some(waiter) = waiting.remove(&id) {
                // The caller may have run out of time. The outcome stands all the same.
                let _ = waiter.answer.send(Ok(outcome));
            }
        }
    }

    /// Counts the command as sent from now on, if a caller still waits for it. Returns whether one does.
    pub(in crate::raft) fn mark_sent(&self, id: RequestId) -> bool {
        self.waiting.lock().get_mut(&id).map(|waiter| waiter.sent += 1).is_some()
    }

    /// Refuses the command, if the node sent it only once. Otherwise an earlier leader may have taken it. Returns whether the
    /// caller has its answer.
    pub(in crate::raft) fn refuse(&self, id: RequestId) -> bool {
        let mut waiting = self.waiting.lock();
        let refused = waiting.get(&id).is_some_and(|waiter| waiter.sent == 1);
        if refused && let Some(waiter) = waiting.remove(&id) {
            // The caller may have run out of time. Nothing was written all the same.
            let _ = waiter.answer.send(Err(Refused));
        }
        refused
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
        self.pending.waiting.lock().remove(&self.id).is_none_or(|waiter| waiter.sent > 0)
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

    #[test]
    fn only_a_write_that_was_sent_once_is_refused_for_good() {
        let (pending, id) = (Pending::default(), RequestId([1; 16]));
        let mut once = pending.wait_for(id);
        assert!(!pending.refuse(id), "nobody sent it");
        assert!(pending.mark_sent(id) && pending.refuse(id) && !pending.is_waited_for(id));
        assert_eq!(once.answer.try_recv(), Ok(Err(Refused)));
        let mut twice = pending.wait_for(id);
        assert!(pending.mark_sent(id) && pending.mark_sent(id) && !pending.refuse(id));
        assert!(twice.answer.try_recv().is_err() && pending.is_waited_for(id));
    }
}
