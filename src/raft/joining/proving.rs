//! With what this node proves itself to others, at each step of its start.

use std::io;
use std::sync::Arc;

use crate::blocking;
use crate::crypto::{ClusterKeys, random};
use crate::raft::failure::Failure;
use crate::raft::peers::links::Links;
use crate::raft::preface::admission::Admission;
use crate::raft::preface::credential::{ClusterIdentity, Credential, MemberCredential};
use crate::raft::preface::node_starts::NodeStarts;
use crate::raft::protocol::membership::decode_stored;
use crate::store::{ClusterFacts, FoundingStage, NodeRecord, StoreId};

/// From now on this node knows its members, and can fetch wraps from them. The keys of its cluster are not open yet.
pub(in crate::raft) fn show_cluster(links: &Links, facts: &ClusterFacts) {
    links.own_preface().set_credential(Credential::Closed(Some(identity_of(facts))));
    if let Some(stored) = decode_stored(&facts.membership) {
        links.set_members(stored.nodes().map(|(id, member)| (*id, member.clone())).collect());
    }
}

/// Begins a start in this record, durably. From now on this node proves itself with these open keys.
///
/// # Errors
/// The disk failed.
pub(in crate::raft) async fn begin_start(
    links: &Links,
    facts: &ClusterFacts,
    keys: &ClusterKeys,
    record: NodeRecord,
    failure: &Failure,
) -> io::Result<()> {
    let (members, beginning) = (links.members(), record.clone());
    let begun = blocking::spawn(move || {
        beginning.forget_strangers(|store: StoreId| members.values().any(|member| member.store_id == store));
        beginning.begin_start(random::bytes())
    });
    let start = begun.await.map_err(io::Error::other)??;
    tracing::debug!(%start, "the node record notes this start");
    let member = MemberCredential {
        cluster: identity_of(facts),
        key: Arc::clone(&keys.cluster_key),
        starts: Arc::new(NodeStarts::new(record, failure.clone())),
    };
    let stage = facts.founding.as_ref().map(|founding| founding.stage);
    let own = links.own_preface();
    match stage {
        Some(FoundingStage::Noted | FoundingStage::Stored) => own.set_credential(Credential::Noted(member)),
        Some(FoundingStage::Begun) | None => own.set_credential(Credential::Member(member)),
    }
    Ok(())
}

fn identity_of(facts: &ClusterFacts) -> ClusterIdentity {
    ClusterIdentity {
        id: facts.cluster.id,
        incarnation: facts.cluster.incarnation,
        public_key: facts.cluster.secrets.public_key,
        admission: Admission::of_voter(&facts.admission),
    }
}
