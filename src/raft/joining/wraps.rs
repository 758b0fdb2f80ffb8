//! Fetches the wraps of the key ring, for a sealed node whose own wraps its root key does not open: they may be old.

use std::time::Duration;

use crate::raft::peers::links::Links;
use crate::raft::peers::trouble::PeerTrouble;
use crate::raft::protocol::membership::decode_stored;
use crate::raft::protocol::types::{Member, NodeId};
use crate::raft::protocol::wire::WrapsRequest;
use crate::state::ClusterState;
use crate::store::ClusterFacts;

/// How long one member may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the members in these facts, one after the other. Returns what each says of the same cluster, if it differs from the
/// facts.
pub(in crate::raft) async fn fetch(links: &Links, facts: &ClusterFacts) -> Vec<ClusterState> {
    let Some(stored) = decode_stored(&facts.membership) else { return Vec::new() };
    let members: Vec<(NodeId, Member)> = stored.nodes().map(|(id, member)| (*id, member.clone())).collect();
    let others = members.iter().filter(|(id, _)| *id != facts.owner.node_id);
    let asked = others.map(|(_, member)| async move {
        match tokio::time::timeout(TIMEOUT, ask(links, member)).await.unwrap_or(Err(PeerTrouble::TimedOut)) {
            Ok(cluster) => cluster,
            Err(trouble) => {
                tracing::debug!(peer = member.name, %trouble, "a sealed node could not fetch the wraps of its key ring");
                None
            }
        }
    });
    let fetched = futures::future::join_all(asked).await.into_iter().flatten();
    fetched.filter(|cluster| is_of(cluster, &facts.cluster)).collect()
}

/// What a member says about the cluster. `None` when it cannot be read.
async fn ask(links: &Links, member: &Member) -> Result<Option<ClusterState>, PeerTrouble> {
    let mut client = links.wraps_client(member).map_err(|error| PeerTrouble::of_io(&error))?;
    let reply = client.fetch_wraps(WrapsRequest {}).await.map_err(|status| PeerTrouble::of(&status))?;
    Ok(ClusterState::decode(&reply.into_inner().cluster).ok())
}

/// Whether a member speaks of the cluster that this node knows, and says something new.
fn is_of(fetched: &ClusterState, known: &ClusterState) -> bool {
    let identity = |cluster: &ClusterState| (cluster.id, cluster.incarnation, cluster.secrets.public_key);
    identity(fetched) == identity(known) && fetched != known
}
