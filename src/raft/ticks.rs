//! Runs openraft's timer only while an election may be due, and sends the leader's heartbeats.
//!
//! That timer fires five times for each heartbeat, on every node, although most of the time nothing is due. Without it an
//! idle node sleeps from one heartbeat to the next.

use std::sync::Arc;
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use tokio::time::timeout;

use super::adapter::metrics::Raft;
use super::leases::held::HeldLease;
use super::peers::links::Links;
use super::protocol::types::TypeConfig;
use crate::clock;
use crate::config::TimingConfig;

/// The pause of a node that waits for nobody's heartbeats, because it is alone. A change of its state ends it early.
const ALONE: Duration = Duration::from_secs(1);

/// What openraft says about this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Leads,
    /// It leads a cluster of one.
    LeadsAlone,
    Follows,
    /// It campaigns, or has voted for another node that does.
    Elects,
}

/// What this node does now, and for how long unless its state changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It sends a heartbeat. openraft's timer does not run.
    Beat(Duration),
    /// It heard from the leader a moment ago, or is alone. openraft's timer does not run.
    Rest(Duration),
    /// openraft's timer runs, because this node may have to campaign.
    Tick(Duration),
}

/// Does this for as long as consensus runs.
pub(super) async fn run(raft: Raft, links: Arc<Links>, lease: Arc<HeldLease>, timing: TimingConfig) {
    let ticks = Ticks(raft);
    let mut server = ticks.0.server_metrics();
    loop {
        lease.look_at_clocks();
        let role = Role::of(&server.borrow_and_update());
        let pause = match step(role, since_heartbeat(&links), timing) {
            Step::Tick(pause) => {
                ticks.set(true);
                pause
            }
            Step::Rest(pause) => {
                ticks.set(false);
                pause
            }
            Step::Beat(pause) => {
                ticks.set(false);
                if ticks.0.trigger().heartbeat().await.is_err() {
                    return;
                }
                pause
            }
        };
        if let Ok(Err(_)) = timeout(pause, server.changed()).await {
            return;
        }
    }
}

/// How long ago this node took a heartbeat of its leader. `None` if it has not taken one since it started.
fn since_heartbeat(links: &Links) -> Option<Duration> {
    let heard_ns = links.contacts().heard_leader_ns();
    let ago_ns = clock::boot_ns().saturating_sub(heard_ns);
    (heard_ns > 0).then(|| Duration::from_nanos(ago_ns.try_into().unwrap_or(0)))
}

impl Role {
    fn of(metrics: &RaftServerMetrics<TypeConfig>) -> Self {
        match metrics.state {
            ServerState::Leader if metrics.membership_config.nodes().count() <= 1 => Self::LeadsAlone,
            ServerState::Leader => Self::Leads,
            ServerState::Follower | ServerState::Learner if metrics.vote.committed => Self::Follows,
            ServerState::Follower | ServerState::Learner | ServerState::Candidate | ServerState::Shutdown => {
                Self::Elects
            }
        }
    }
}

fn step(role: Role, since_heartbeat: Option<Duration>, timing: TimingConfig) -> Step {
    match role {
        Role::LeadsAlone => Step::Rest(ALONE),
        Role::Leads => Step::Beat(timing.heartbeat),
        Role::Follows => {
            // After a heartbeat, openraft waits for the leader's lease and then for an election timeout.
            let quiet = timing.election_max + timing.election_min;
            let rest = since_heartbeat.map_or(Duration::ZERO, |ago| quiet.saturating_sub(ago));
            if rest.is_zero() { Step::Tick(timing.heartbeat) } else { Step::Rest(rest) }
        }
        Role::Elects => Step::Tick(timing.heartbeat),
    }
}

/// openraft's timer. It runs again when this is dropped: a node whose timer stands still elects no leader.
struct Ticks(Raft);

impl Ticks {
    fn set(&self, run: bool) {
        self.0.runtime_config().tick(run);
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        self.set(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn step_of(role: Role, since_heartbeat: Option<u64>) -> Step {
        let timing = TimingConfig { heartbeat: MS(50), election_min: MS(100), election_max: MS(160) };
        step(role, since_heartbeat.map(MS), timing)
    }

    #[test]
    fn the_timer_runs_whenever_an_election_may_be_due() {
        assert_eq!(step_of(Role::Follows, None), Step::Tick(MS(50)), "it has heard from no leader since the start");
        assert_eq!(step_of(Role::Follows, Some(0)), Step::Rest(MS(260)));
        assert_eq!(step_of(Role::Follows, Some(259)), Step::Rest(MS(1)));
        assert_eq!(step_of(Role::Follows, Some(260)), Step::Tick(MS(50)));
        assert_eq!(step_of(Role::Elects, Some(0)), Step::Tick(MS(50)));
    }

    #[test]
    fn a_leader_sends_heartbeats_unless_it_is_alone() {
        assert_eq!(step_of(Role::Leads, None), Step::Beat(MS(50)));
        assert_eq!(step_of(Role::LeadsAlone, None), Step::Rest(ALONE));
    }
}
