//! Logs elections: that this node campaigns, who leads now, and why the last leader no longer leads.

use std::sync::Arc;
use std::time::Duration;

use openraft::ServerState;

use super::probe;
use crate::raft::forwarding::leader::Leadership;
use crate::raft::peers::contacts::Contacts;
use crate::raft::protocol::types::{NodeId, TypeConfig};

/// How long the last leader may take to show that it still answers.
const ANSWER: Duration = Duration::from_millis(500);

/// What this node last saw of elections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::raft) struct ElectionState {
    campaigns: bool,
    leads: bool,
    term: u64,
    /// The last leader, and its term.
    leader: Option<(NodeId, u64)>,
}

/// A change worth a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ElectionEvent {
    Campaigns { term: u64, last: Option<(NodeId, u64)> },
    StoppedLeading { term: u64 },
    Leads { leader: NodeId, term: u64, last: Option<(NodeId, u64)> },
}

impl ElectionState {
    /// What openraft knows now. openraft remembers on disk which leader this node followed. Since this node started,
    /// that one leads only if it has sent something.
    pub(in crate::raft) fn of(metrics: &openraft::RaftMetrics<TypeConfig>, contacts: &Contacts) -> Self {
        let (leads, term) = (metrics.state == ServerState::Leader, metrics.current_term);
        let leader = metrics.current_leader.filter(|_| leads || contacts.has_followed(term));
        Self {
            campaigns: metrics.state == ServerState::Candidate,
            leads,
            term,
            leader: leader.map(|leader| (leader, term)),
        }
    }

    /// Logs what changed from this state to `now`, and keeps `now`.
    pub(in crate::raft) fn follow(&mut self, now: Self, leadership: &Arc<Leadership>) {
        for event in events(*self, now) {
            log(event, leadership);
        }
        // Keep the last leader while the term has none, so that the line about the next one says why the last one
        // ended.
        *self = Self { leader: now.leader.or(self.leader), ..now };
    }
}

fn events(before: ElectionState, now: ElectionState) -> Vec<ElectionEvent> {
    let campaigns = now.campaigns && (!before.campaigns || now.term != before.term);
    let leads = now.leader.filter(|_| now.leader != before.leader);
    let stopped = before.leads && !now.leads;
    let events = [
        stopped.then_some(ElectionEvent::StoppedLeading { term: before.term }),
        campaigns.then_some(ElectionEvent::Campaigns { term: now.term, last: before.leader }),
        leads.map(|(leader, term)| ElectionEvent::Leads { leader, term, last: before.leader }),
    ];
    events.into_iter().flatten().collect()
}

fn log(event: ElectionEvent, leadership: &Arc<Leadership>) {
    match event {
        ElectionEvent::Campaigns { term, last } => {
            let why = if last.is_some_and(|(_, term)| leadership.links().contacts().handed_over(term)) {
                "the leader handed leadership over"
            } else {
                "this node heard from no leader in time"
            };
            tracing::info!(term, why, "this node campaigns");
        }
        ElectionEvent::StoppedLeading { term } if leadership.links().contacts().handed_over(term) => {
            tracing::info!(term, why = "it handed leadership over", "this node no longer leads");
        }
        ElectionEvent::StoppedLeading { term } => {
            let why = "another node began a later term, or a majority of the nodes did not answer";
            tracing::warn!(term, why, "this node no longer leads");
        }
        ElectionEvent::Leads { leader, term, last: None } => {
            tracing::info!(leader = leadership.name_of(leader), term, "a node leads");
        }
        ElectionEvent::Leads { leader, term, last: Some(last) } => {
            let leadership = Arc::clone(leadership);
            // Ask in a task of its own: the answer of the last leader may take a while.
            tokio::spawn(async move {
                let why = why_it_ended(&leadership, last).await;
                let (leader, last_leader) = (leadership.name_of(leader), leadership.name_of(last.0));
                tracing::info!(leader, term, last_leader, last_term = last.1, last_ended = why, "a node leads");
            });
        }
    }
}

async fn why_it_ended(leadership: &Leadership, (leader, term): (NodeId, u64)) -> String {
    let contacts = leadership.links().contacts();
    if contacts.handed_over(term) {
        return "it handed leadership over".to_owned();
    }
    if leader == leadership.own_id() {
        return "another node began a later term, or a majority of the nodes did not answer".to_owned();
    }
    probe::ask(leadership, leader, ANSWER).await;
    match contacts.away().remove(&leader) {
        Some(away) => format!("it {}", away.trouble),
        None => "it answers now: it restarted, stopped leading, or sent its heartbeats too late".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: ElectionState = ElectionState { campaigns: false, leads: false, term: 3, leader: Some((1, 3)) };

    #[test]
    fn a_change_of_leader_is_one_event_with_the_last_leader() {
        let campaigning = ElectionState { campaigns: true, term: 4, leader: None, ..IDLE };
        assert_eq!(events(IDLE, campaigning), [ElectionEvent::Campaigns { term: 4, last: Some((1, 3)) }]);
        let leading = ElectionState { leads: true, campaigns: false, term: 4, leader: Some((2, 4)) };
        let remembered = ElectionState { leader: IDLE.leader, ..campaigning };
        assert_eq!(events(remembered, leading), [ElectionEvent::Leads { leader: 2, term: 4, last: Some((1, 3)) }]);
        assert_eq!(events(leading, leading), []);
    }

    #[test]
    fn a_leader_that_stops_and_a_leader_elected_again_are_events() {
        let leading = ElectionState { leads: true, ..IDLE };
        assert_eq!(events(leading, IDLE), [ElectionEvent::StoppedLeading { term: 3 }]);
        let again = ElectionState { term: 5, leader: Some((1, 5)), ..IDLE };
        assert_eq!(events(IDLE, again), [ElectionEvent::Leads { leader: 1, term: 5, last: Some((1, 3)) }]);
    }

    #[test]
    fn a_long_campaign_is_logged_once_a_term() {
        let campaigning = ElectionState { campaigns: true, leader: None, ..IDLE };
        assert_eq!(events(campaigning, campaigning), []);
        assert_eq!(
            events(campaigning, ElectionState { term: 4, ..campaigning }),
            [ElectionEvent::Campaigns { term: 4, last: None }]
        );
    }
}
