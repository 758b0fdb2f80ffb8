//! The membership as bytes, which the log, the keystore and the founding document hold.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;

use super::types::{Member, Membership, NodeId, RaftLogId, StoredMembership};
use super::wire;
use crate::policy::Identity;
use crate::store::StoreId;

/// Encodes a membership, with its position in the log if that is known.
pub(in crate::raft) fn encode_membership(log_id: Option<&RaftLogId>, membership: &Membership) -> Vec<u8> {
    membership_to_wire(log_id, membership).encode_to_vec()
}

/// Decodes what [`encode_membership`] made. `None` when it is damaged.
pub(in crate::raft) fn decode_membership(bytes: &[u8]) -> Option<(Option<RaftLogId>, Membership)> {
    let wire = wire::Membership::decode(bytes).ok()?;
    let log_id = wire.log_id.map(RaftLogId::from);
    Some((log_id, membership_from_wire(wire)?))
}

/// Decodes a membership that was stored with its position. Empty bytes stand for the time before the first.
pub(in crate::raft) fn decode_stored(bytes: &[u8]) -> Option<StoredMembership> {
    if bytes.is_empty() {
        return Some(StoredMembership::default());
    }
    decode_membership(bytes).map(|(log_id, membership)| StoredMembership::new(log_id, membership))
}

pub(in crate::raft) fn membership_to_wire(log_id: Option<&RaftLogId>, membership: &Membership) -> wire::Membership {
    let configs = membership.get_joint_config().iter();
    wire::Membership {
        log_id: log_id.map(|id| (*id).into()),
        configs: configs.map(|ids| wire::Voters { ids: ids.iter().copied().collect() }).collect(),
        members: membership.nodes().map(|(id, member)| member_to_wire(*id, member)).collect(),
    }
}

/// `None` when the id of a member is damaged, or when the members lack a voter.
pub(in crate::raft) fn membership_from_wire(wire: wire::Membership) -> Option<Membership> {
    let configs: Vec<BTreeSet<NodeId>> = wire.configs.into_iter().map(|c| c.ids.into_iter().collect()).collect();
    let members = members_from_wire(wire.members)?;
    if configs.is_empty() && members.is_empty() {
        return Some(Membership::default());
    }
    Membership::new(configs, members).ok()
}

/// `None` when an id is damaged.
pub(in crate::raft) fn members_from_wire(members: Vec<wire::Member>) -> Option<BTreeMap<NodeId, Member>> {
    members.into_iter().map(member_from_wire).collect()
}

fn member_to_wire(id: NodeId, member: &Member) -> wire::Member {
    wire::Member {
        id,
        name: member.name.clone(),
        api_address: member.api_address.clone(),
        peer_address: member.peer_address.clone(),
        store_id: Bytes::copy_from_slice(&member.store_id.0),
        key: Bytes::copy_from_slice(member.key.as_bytes()),
    }
}

fn member_from_wire(wire: wire::Member) -> Option<(NodeId, Member)> {
    let member = Member {
        name: wire.name,
        api_address: wire.api_address,
        peer_address: wire.peer_address,
        store_id: StoreId(wire.store_id.as_ref().try_into().ok()?),
        key: Identity::try_from(wire.key.as_ref()).ok()?,
    };
    Some((wire.id, member))
}
