//! The status of the cluster as a node shows it: as JSON, and as figures for metrics.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kms::{ClusterStatus, RaftMemberStatus, ReadableLevels, Standing};
use crate::telemetry::{ClusterFigures, PeerLag};

/// The answer of `GET /v1/cluster/status`.
pub fn status_json(status: &ClusterStatus) -> Value {
    let raft = &status.raft;
    json!({
        "cluster_id": status.cluster_id,
        "node": {
            "id": raft.id,
            "name": status.name,
            "version": raft.version.release,
            "levels": levels_json(raft.version.levels),
            "state": status.state.name(),
            "audit_key": status.audit_key,
        },
        "level": raft.level,
        "leader": raft.leader,
        "term": raft.term,
        "committed": raft.committed,
        "applied": raft.applied,
        "digest": raft.digest,
        "members": raft.members.iter().map(member).collect::<Vec<_>>(),
    })
}

/// The feature levels that a node can read, as the status shows them.
pub fn levels_json(levels: ReadableLevels) -> Value {
    json!({ "lowest": levels.lowest, "highest": levels.highest })
}

fn member(member: &RaftMemberStatus) -> Value {
    let mut shown = json!({
        "id": member.id,
        "name": member.name,
        "role": member.role,
        "address": member.api_address,
        "peer_address": member.peer_address,
        // If a member does not answer, its lag is unknown, even if it acknowledged entries before.
        "lag": member.lag.filter(|_| member.away.is_none()),
    });
    if let Some(version) = &member.version {
        shown["version"] = json!(version.release);
        shown["levels"] = levels_json(version.levels);
    }
    if member.lacks_room {
        shown["lacks_room"] = json!(true);
    }
    if let Some(away) = &member.away {
        let for_ms = u64::try_from(away.since.as_millis()).unwrap_or(u64::MAX);
        shown["problem"] = json!({ "reason": away.trouble.to_string(), "for_ms": for_ms });
    }
    if let Some(heard) = member.heard {
        shown["heard_ms"] = u64::try_from(heard.as_millis()).unwrap_or(u64::MAX).into();
    }
    shown
}

/// The figures of `GET /v1/cluster/metrics`.
pub fn figures(status: &ClusterStatus) -> ClusterFigures {
    let (raft, storage) = (&status.raft, &status.storage);
    let peers = raft.members.iter().filter(|member| member.id != raft.id);
    let offline = match status.standing {
        Standing::Held | Standing::Over | Standing::Behind(_) => Duration::ZERO,
        Standing::Offline(since) => since,
    };
    ClusterFigures {
        id: raft.id,
        leader: raft.leader,
        term: raft.term,
        last: raft.last,
        committed: raft.committed,
        applied: raft.applied,
        malformed: raft.malformed,
        in_doubt: raft.in_doubt,
        disputes: status.disputes,
        lags: peers.filter_map(lag).collect(),
        keys: storage.keys,
        fsyncs: storage.fsyncs,
        fsync_ns: storage.fsync_ns,
        snapshot_at: storage.snapshot_at,
        disk_bytes: storage.disk_bytes,
        free_bytes: storage.room.free,
        low_bytes: storage.room.low,
        reserve_bytes: storage.room.reserve,
        lacks_room: storage.room.lacks,
        waits_for_room: storage.waits_for_room,
        fence_waits: status.fences.waits,
        fence_ns: status.fences.waited_ns,
        members_waited_out: status.fences.waited_out,
        lease_until_ns: status.lease_until_ns,
        has_lease: status.standing == Standing::Held,
        seconds_offline: offline.as_secs_f64(),
    }
}

fn lag(member: &RaftMemberStatus) -> Option<PeerLag> {
    member.lag.map(|entries| PeerLag { name: member.name.clone(), entries })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kms::{FenceFigures, NodeState, NodeVersion, RaftStatus, StorageFigures};

    fn version() -> NodeVersion {
        NodeVersion { release: "1.2.3".to_owned(), levels: ReadableLevels { lowest: 1, highest: 2 } }
    }

    fn status() -> ClusterStatus {
        let member = |id, lag| RaftMemberStatus {
            id,
            name: format!("node-{id}"),
            role: "follower",
            version: (id == 2).then(version),
            api_address: format!("127.0.0.1:737{id}"),
            peer_address: format!("127.0.0.1:747{id}"),
            lag,
            heard: lag.map(Duration::from_secs),
            lacks_room: id == 3,
            away: None,
        };
        let raft = RaftStatus {
            id: 1,
            version: version(),
            level: None,
            leader: None,
            term: 3,
            last: 9,
            committed: 8,
            applied: 7,
            digest: "ab".to_owned(),
            malformed: 0,
            in_doubt: false,
            members: vec![member(1, Some(0)), member(2, Some(5)), member(3, None)],
        };
        ClusterStatus {
            cluster_id: None,
            name: "node-1".to_owned(),
            state: NodeState::Starting,
            standing: Standing::Over,
            lease_until_ns: 0,
            fences: FenceFigures::default(),
            disputes: 0,
            audit_key: None,
            raft,
            storage: StorageFigures::default(),
        }
    }

    #[test]
    fn a_status_says_null_where_a_value_is_unknown() {
        let shown = status_json(&status());
        assert_eq!((&shown["cluster_id"], &shown["leader"]), (&Value::Null, &Value::Null));
        assert_eq!(shown["node"]["state"], "starting");
        assert_eq!(shown["members"][1]["lag"], 5);
        assert_eq!(shown["members"][2]["lag"], Value::Null);
        assert_eq!(shown["members"][1]["heard_ms"], 5_000);
        assert!(shown["members"][2].get("heard_ms").is_none());
        assert_eq!(shown["members"][2]["lacks_room"], true);
        assert!(shown["members"][1].get("lacks_room").is_none());
    }

    #[test]
    fn a_status_shows_the_version_and_the_readable_levels_of_each_node_that_has_said_them() {
        let shown = status_json(&status());
        let levels = json!({ "lowest": 1, "highest": 2 });
        assert_eq!((&shown["node"]["version"], &shown["node"]["levels"]), (&json!("1.2.3"), &levels));
        assert_eq!((&shown["members"][1]["version"], &shown["members"][1]["levels"]), (&json!("1.2.3"), &levels));
        assert!(shown["members"][2].get("version").is_none() && shown["members"][2].get("levels").is_none());
        assert_eq!(shown["level"], Value::Null);
    }

    #[test]
    fn only_peers_with_a_known_lag_are_counted() {
        let lags = figures(&status()).lags;
        assert_eq!(lags, [PeerLag { name: "node-2".to_owned(), entries: 5 }]);
    }
}
