//! The digest check: finds out which node is wrong when the digests of two nodes differ. A node that is wrong stops, and
//! takes the state of another one at its next start.
//!
//! Two nodes at the same index have the same digest, or one of them has broken an invariant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::mpsc;

use super::verdict::{Verdict, verdict};
use crate::raft::failure::Failure;
use crate::raft::forwarding::leader::Leadership;
use crate::raft::leases::digest_exchange::{DigestExchange, UnconfirmedDigest, from_wire, to_wire};
use crate::raft::protocol::types::NodeId;
use crate::raft::protocol::wire::DigestRequest;
use crate::state::Digest;
use crate::store::{KeystoreCheckpoint, StateDigest};

/// How long this node waits until it has applied the index of a digest.
const CATCH_UP: Duration = Duration::from_secs(1);
/// How long a member that is asked waits until it has applied the index in the question.
pub(in crate::raft) const PEER_CATCH_UP: Duration = Duration::from_millis(500);
/// How long a member may take to answer with its digest.
const ANSWER: Duration = Duration::from_secs(1);
/// The pause between two rounds of asking all members.
const PAUSE: Duration = Duration::from_millis(250);
/// How often a disputed node asks all members again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What the digest check works with.
pub(in crate::raft) struct DigestCheck {
    pub digests: Arc<DigestExchange>,
    pub leadership: Arc<Leadership>,
    pub checkpoint: KeystoreCheckpoint,
    pub failure: Failure,
}

/// The digests of all members that answered, at the index of this node's newest one.
struct Round {
    own: StateDigest,
    others: BTreeMap<NodeId, Digest>,
}

impl DigestCheck {
    /// Asks all members for their digests whenever one differs, and again and again while the state is disputed. Returns
    /// once this node has to stop, because it is wrong.
    pub(in crate::raft) async fn run(self, mut unconfirmed: mpsc::Receiver<UnconfirmedDigest>) {
        // The members that differed when they last answered, and for which of them the log has a line.
        let (mut differing, mut logged) = (BTreeSet::new(), BTreeSet::new());
        loop {
            tokio::select! {
                heard = unconfirmed.recv() => match heard {
                    Some(heard) if self.differs(heard.digest).await => drop(differing.insert(heard.from)),
                    Some(_) => continue,
                    None => return,
                },
                () = tokio::time::sleep(ASK_AGAIN), if self.digests.dispute.is_open() => {}
            }
            let Some(round) = self.ask_all().await else { continue };
            match self.judge(&round, &mut differing) {
                Verdict::Wrong => return self.stop(&round),
                verdict => self.show(verdict, &round, &differing, &mut logged),
            }
            if !self.digests.dispute.is_open() {
                differing.clear();
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether this node's digest at that index is another one, once it has applied as much. If it does not apply it in
    /// time, or no longer keeps the digest, nothing is known.
    async fn differs(&self, theirs: StateDigest) -> bool {
        self.digests
            .at(theirs.index, CATCH_UP)
            .await
            .is_some_and(|own| own.key_version == theirs.key_version && own != theirs)
    }

    /// Asks all members for their digest at the index of this node's newest one. `None` before the first entry.
    async fn ask_all(&self) -> Option<Round> {
        let own = self.digests.newest()?;
        let asked = self.leadership.other_members().into_iter().map(async |id| {
            let mut client = self.leadership.client(id)?;
            let question = client.fetch_mark(DigestRequest { own: Some(to_wire(own)) });
            let reply = tokio::time::timeout(ANSWER, question).await.ok()?.ok()?.into_inner();
            let theirs = from_wire(&reply.digest?)?;
            let comparable = theirs.index == own.index && theirs.key_version == own.key_version;
            comparable.then_some((id, theirs.digest))
        });
        Some(Round { own, others: join_all(asked).await.into_iter().flatten().collect() })
    }

    /// Judges the digests of a round. Keeps in `differing` who differs, also those that differed before and are silent
    /// now.
    fn judge(&self, round: &Round, differing: &mut BTreeSet<NodeId>) -> Verdict {
        let members = self.leadership.other_members();
        differing.retain(|id| members.contains(id) && !round.others.contains_key(id));
        let silent = differing.len();
        differing.extend(round.others.iter().filter(|(_, digest)| **digest != round.own.digest).map(|(id, _)| *id));
        verdict(round.own.digest, &round.others, silent)
    }

    /// Opens or closes the dispute, and logs it. `logged` are the nodes that the last line named.
    fn show(&self, verdict: Verdict, round: &Round, differing: &BTreeSet<NodeId>, logged: &mut BTreeSet<NodeId>) {
        let changed = self.digests.dispute.set(verdict == Verdict::Undecided);
        let is_new = changed || differing != logged;
        logged.clone_from(differing);
        let (index, own, others) = (round.own.index, round.own.digest, round.listed());
        let names: Vec<_> = differing.iter().map(|id| self.leadership.name_of(*id)).collect();
        let differing = names.join(", ");
        match verdict {
            Verdict::Undecided if is_new => tracing::error!(
                index, %own, others, differing,
                "this node's state differs from that of another node, and too few nodes answer to say which one is \
                 right: until they do, this node answers no client. Start the nodes that are down. If none is left to \
                 start, keep the data folders (cluster.data) of all nodes as they are, and start none of them: this \
                 version cannot choose between two states"
            ),
            Verdict::Right if is_new => tracing::error!(
                index, %own, others, differing,
                "another node's state is wrong: it differs from the state that this node and others have. That node \
                 ends, and takes the state of another node at its next start"
            ),
            Verdict::Agreed | Verdict::Right if changed => {
                tracing::info!(index, "other nodes have this node's state: it may serve again");
            }
            _ => {}
        }
    }

    fn stop(&self, round: &Round) {
        report_wrong_state(
            &self.checkpoint,
            &self.failure,
            &format!(
                "invariant broken: at index {} the digest of this node's state is {}, but other nodes agree on another \
                 one ({}): the keystore of this node is damaged",
                round.own.index,
                round.own.digest,
                round.listed()
            ),
        );
    }
}

impl Round {
    /// The digests of the others, for a person to read.
    fn listed(&self) -> String {
        let listed: Vec<_> = self.others.iter().map(|(id, digest)| format!("node {id} has {digest}")).collect();
        if listed.is_empty() { "no answer".to_owned() } else { listed.join(", ") }
    }
}

/// Notes that the state of this node is wrong, and stops the node. The next start takes the state of another node.
pub(in crate::raft) fn report_wrong_state(checkpoint: &KeystoreCheckpoint, failure: &Failure, reason: &str) {
    match checkpoint.mark_wrong() {
        Ok(()) => failure.report(&format!("{reason}; the next start rebuilds the keystore from another node")),
        Err(error) => failure.report_lasting(&format!(
            "{reason}; this node cannot note that in its data folder ({error}): before the next start, move the folders \
             'keystore' and 'snapshots' out of it, but leave 'log' there"
        )),
    }
}
