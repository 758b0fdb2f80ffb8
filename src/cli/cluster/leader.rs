//! Figures about the members that only the leader knows.

use std::time::Duration;

use crate::cli::connect::Connect;
use crate::cli::{Error, Output};
use crate::client::{ClusterStatus, MemberStatus};

/// How long the leader may take. The answer of the first node is here, and a user waits for it.
const LEADER_TIMEOUT: Duration = Duration::from_secs(3);

/// The view of a node, with the leader's figures added. If the leader does not report them, a warning says so.
pub async fn with_leader_figures(connect: &Connect, status: ClusterStatus, output: Output) -> ClusterStatus {
    let Some(leader) = other_leader(&status) else { return status };
    let reason = match ask(connect, leader).await {
        Ok(leaders) if leaders.node.id == leaders.leader => return merged(status, &leaders),
        Ok(_) => "it no longer leads".to_owned(),
        Err(error) => error.to_string(),
    };
    output.warn(&format!("LAG and SEEN are unknown, because the leader {} did not report them: {reason}", leader.name));
    status
}

/// The leader, when it is not the node that answered.
fn other_leader(status: &ClusterStatus) -> Option<&MemberStatus> {
    let leader = status.leader.filter(|leader| status.node.id != Some(*leader))?;
    status.members.iter().find(|member| member.id == leader)
}

async fn ask(connect: &Connect, leader: &MemberStatus) -> Result<ClusterStatus, Error> {
    let endpoint = leader.address.parse();
    let endpoint = endpoint.map_err(|_| Error::Input {
        what: "the address that it announces is not valid",
        reason: leader.address.clone(),
    })?;
    Ok(connect.client_of(endpoint)?.with_timeout(LEADER_TIMEOUT).cluster_status().await?)
}

/// The same members, with the leader's figures.
fn merged(mut status: ClusterStatus, leaders: &ClusterStatus) -> ClusterStatus {
    for member in &mut status.members {
        if let Some(reported) = leaders.members.iter().find(|reported| reported.id == member.id) {
            member.lacks_room |= reported.lacks_room;
            member.lag = reported.lag.or(member.lag);
            // The leader itself has answered just now.
            member.heard_ms = if leaders.leader == Some(member.id) { Some(0) } else { reported.heard_ms };
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(node: u64, figures: &str) -> ClusterStatus {
        let member = |id| format!(r#"{{"id":{id},"name":"node-{id}","address":"a:{id}"{figures}}}"#);
        let members = [member(1), member(2), member(3)].join(",");
        serde_json::from_str(&format!(r#"{{"node":{{"id":{node}}},"leader":2,"members":[{members}]}}"#)).unwrap()
    }

    #[test]
    fn the_figures_come_from_a_leader_that_is_another_node() {
        assert!(other_leader(&view(2, "")).is_none());
        assert_eq!(other_leader(&view(1, "")).map(|leader| leader.id), Some(2));
        let with_figures = merged(view(1, ""), &view(2, r#","lag":5,"heard_ms":70"#));
        let figures: Vec<_> = with_figures.members.iter().map(|member| (member.lag, member.heard_ms)).collect();
        assert_eq!(figures, [(Some(5), Some(70)), (Some(5), Some(0)), (Some(5), Some(70))]);
        let older = merged(view(1, ""), &view(2, r#","lag":5"#));
        assert_eq!((older.members[0].lag, older.members[0].heard_ms), (Some(5), None));
    }
}
