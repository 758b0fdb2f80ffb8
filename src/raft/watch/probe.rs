//! Asks each peer again and again whether it answers, and logs when this node loses a peer, the quorum or its lease and
//! gets it back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::task::AbortOnDropHandle;

use super::full_disk::FullDisk;
use super::situation::Situation;
use super::stalled_disk::StalledDisk;
use super::waits::Waits;
use crate::raft::forwarding::leader::Leadership;
use crate::raft::leases::held::{HeldLease, Standing};
use crate::raft::peers::contacts::ContactChange;
use crate::raft::peers::trouble::PeerTrouble;
use crate::raft::protocol::types::NodeId;
use crate::raft::protocol::wire::DigestRequest;

/// The pause between two questions to a peer.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The pause while the peer does not work with this node. It is shorter, because the peer may be back any moment.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// How long a peer may take to answer: longer than connecting to it, because the error of that says more.
const ANSWER: Duration = Duration::from_secs(5);
/// The pause between two looks at what this node sees.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Asks each peer again and again whether it answers, in a task of its own, so that no slow peer delays the others.
/// Never returns.
pub(in crate::raft) async fn ask_peers(leadership: Arc<Leadership>) {
    let mut asking = HashMap::new();
    loop {
        let peers = leadership.other_members();
        asking.retain(|id, _| peers.contains(id));
        for id in peers {
            let ask = || AbortOnDropHandle::new(tokio::spawn(ask_again_and_again(Arc::clone(&leadership), id)));
            asking.entry(id).or_insert_with(ask);
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn ask_again_and_again(leadership: Arc<Leadership>, peer: NodeId) {
    loop {
        ask(&leadership, peer, ANSWER).await;
        let failed = leadership.links().contacts().failed(peer);
        tokio::time::sleep(if failed { ASK_AGAIN } else { ASK_EVERY }).await;
    }
}

/// Asks one peer whether it answers, and notes it.
pub(in crate::raft) async fn ask(leadership: &Leadership, peer: NodeId, patience: Duration) {
    let Some(mut client) = leadership.client(peer) else { return };
    // Any call can find that out, because the peer checks each one as it checks those of consensus. This one is cheap.
    let outcome = match tokio::time::timeout(patience, client.fetch_mark(DigestRequest::default())).await {
        Ok(Ok(reply)) => {
            leadership.links().note_doubt(peer, reply.get_ref().in_doubt);
            Ok(())
        }
        Ok(Err(status)) => Err(PeerTrouble::of(&status)),
        Err(_) => Err(PeerTrouble::TimedOut),
    };
    let change = leadership.links().contacts().heard(peer, outcome, Instant::now());
    let name = leadership.name_of(peer);
    match change {
        Some(ContactChange::Lost(why)) => tracing::warn!(peer = name, why = why.to_string(), "this node lost a peer"),
        Some(ContactChange::OtherReason(why)) => {
            tracing::warn!(peer = name, why = why.to_string(), "a lost peer answers, but does not work with this node");
        }
        Some(ContactChange::Back(after)) => {
            tracing::info!(peer = name, away_ms = millis(after), "a peer is back");
        }
        None => {}
    }
}

/// What this node watches of its disk.
pub(in crate::raft) struct WatchedDisk {
    pub stalled: StalledDisk,
    pub full: FullDisk,
}

/// Keeps what this node waits for up to date, and logs when it loses the quorum or its lease and gets it back. A leader
/// hands over while its disk stalls or lacks room. Never returns.
pub(in crate::raft) async fn look(
    leadership: Arc<Leadership>,
    lease: Arc<HeldLease>,
    mut disk: WatchedDisk,
    waits: Waits,
) {
    let (mut quorum, mut isolated) = (Loss::default(), Loss::default());
    loop {
        disk.stalled.look().await;
        disk.full.look().await;
        let situation = Situation::of(&leadership, lease.holds());
        waits.set_peers(situation.waits());
        let lost = leadership.links().contacts().lost();
        let answering = situation.voters.difference(&lost).count();
        let step = quorum.look(answering < situation.needed() && !situation.voters.is_empty());
        log_quorum(step, answering, &situation);
        let alone = matches!(lease.standing(), Standing::Offline(_) | Standing::Behind(_));
        let over = lease.has_been_held() && lease.standing() == Standing::Over;
        log_isolation(isolated.look(alone || over));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn log_quorum(step: Option<Step>, answering: usize, situation: &Situation) {
    let (needed, voters) = (situation.needed(), situation.voters.len());
    match step {
        Some(Step::Lost) => {
            tracing::warn!(
                answering,
                needed,
                voters,
                why = situation.waits_of_peers().join("; "),
                "this node lost the quorum"
            );
        }
        Some(Step::Back(after)) => {
            tracing::info!(answering, needed, voters, lost_ms = millis(after), "the quorum is back");
        }
        None => {}
    }
}

fn log_isolation(step: Option<Step>) {
    match step {
        Some(Step::Lost) => tracing::warn!(
            "isolated: no leader has renewed this node's lease; it serves the keys it knows while \
             consistency.offline lets it"
        ),
        Some(Step::Back(after)) => {
            tracing::info!(isolated_ms = millis(after), "no longer isolated: a leader renewed the lease");
        }
        None => {}
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Remembers whether something is lost.
#[derive(Default)]
struct Loss {
    since: Option<Instant>,
}

/// A change worth a line of the log.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Lost,
    Back(Duration),
}

impl Loss {
    fn look(&mut self, is_lost: bool) -> Option<Step> {
        match (self.since, is_lost) {
            (None, true) => {
                self.since = Some(Instant::now());
                Some(Step::Lost)
            }
            (Some(since), false) => {
                self.since = None;
                Some(Step::Back(since.elapsed()))
            }
            (None, false) | (Some(_), true) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_and_each_return_is_logged_once() {
        let mut loss = Loss::default();
        assert_eq!((loss.look(false), loss.look(true), loss.look(true)), (None, Some(Step::Lost), None));
        assert!(matches!(loss.look(false), Some(Step::Back(_))));
        assert_eq!(loss.look(false), None);
    }
}
