//! The part of `/v1/cluster/metrics` about consensus and storage of this node.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::exposition::{counter, gauge, render};
use crate::clock;

/// What this node knows of its cluster and its storage.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClusterFigures {
    /// This node's id.
    pub id: u64,
    /// The leader's id, if this node knows it.
    pub leader: Option<u64>,
    /// The current term.
    pub term: u64,
    /// Index of the last entry in the log.
    pub last: u64,
    /// Index of the last entry that this node knows to be committed.
    pub committed: u64,
    /// Index of the last entry that this node applied.
    pub applied: u64,
    /// Commands that this node applied and could not read, since it started.
    pub malformed: u64,
    /// Whether the log of this node lost entries, and the node has yet to catch up.
    pub in_doubt: bool,
    /// How often this node answered no client because its state was disputed, since it started.
    pub disputes: u64,
    /// How far each peer lags. Only the leader knows.
    pub lags: Vec<PeerLag>,
    /// Keys that the node holds.
    pub keys: u64,
    /// Flushes of the log to disk so far.
    pub fsyncs: u64,
    /// Time that these flushes took, in nanoseconds.
    pub fsync_ns: u64,
    /// Unix time of the newest snapshot in nanoseconds, if there is one.
    pub snapshot_at: Option<i64>,
    /// Bytes that the data folder takes on disk.
    pub disk_bytes: u64,
    /// Bytes that the disk has left.
    pub free_bytes: u64,
    /// With fewer bytes left than this, the node lacks room.
    pub low_bytes: u64,
    /// Bytes that the reserve keeps.
    pub reserve_bytes: u64,
    /// Whether the node lacks room.
    pub lacks_room: bool,
    /// Whether the log waits for room.
    pub waits_for_room: bool,
    /// How often this node waited until all members held to a revocation.
    pub fence_waits: u64,
    /// Time that it waited, in nanoseconds.
    pub fence_ns: u64,
    /// Members that had not applied a revocation, so that the node waited until their leases ended.
    pub members_waited_out: u64,
    /// When the node's lease ends, in nanoseconds of `CLOCK_BOOTTIME`. 0 before the first lease.
    pub lease_until_ns: i64,
    /// Whether the node holds a lease.
    pub has_lease: bool,
    /// For how long the node has been serving without a lease, in seconds.
    pub seconds_offline: f64,
}

/// How far a peer lags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerLag {
    /// The peer's name.
    pub name: String,
    /// Log entries that the peer has yet to receive.
    pub entries: u64,
}

/// The metrics in Prometheus text 0.0.4.
pub fn render_cluster_metrics(figures: &ClusterFigures) -> String {
    render(ClusterFamilies { figures: figures.clone(), now_ns: clock::unix_ns() })
}

#[derive(Debug)]
struct ClusterFamilies {
    figures: ClusterFigures,
    now_ns: i64,
}

impl Collector for ClusterFamilies {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        self.consensus(&mut out)?;
        self.lags(&mut out)?;
        self.lease(&mut out)?;
        self.fences(&mut out)?;
        self.storage(&mut out)
    }
}

impl ClusterFamilies {
    fn consensus(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let f = &self.figures;
        let is_leader = u64::from(f.leader == Some(f.id));
        gauge(out, "keyraft_raft_is_leader", "1 if this node leads, else 0.", is_leader)?;
        gauge(out, "keyraft_raft_has_leader", "1 if this node knows a leader, else 0.", u64::from(f.leader.is_some()))?;
        if let Some(leader) = f.leader {
            gauge(out, "keyraft_raft_leader_id", "Id of the leader; absent while this node knows no leader.", leader)?;
        }
        gauge(out, "keyraft_raft_term", "The current term.", f.term)?;
        gauge(out, "keyraft_raft_last_index", "Index of the last entry in the log.", f.last)?;
        gauge(
            out,
            "keyraft_raft_committed_index",
            "Index of the last entry that this node knows to be committed.",
            f.committed,
        )?;
        gauge(out, "keyraft_raft_applied_index", "Index of the last entry that this node applied.", f.applied)?;
        let help = "Commands in the log that this node could not read, or found invalid, and skipped.";
        counter(out, "keyraft_raft_malformed_commands_total", help, f.malformed)?;
        let help = "1 while this node neither votes nor leads, because its log lost entries and it has yet to catch up, else 0.";
        gauge(out, "keyraft_raft_in_doubt", help, u64::from(f.in_doubt))?;
        // A gauge would never show it: a node with a disputed state answers no scrape.
        let help = "How often this node closed its listener because its state differed from another node's, and too few \
                    nodes answered to say which one was right.";
        counter(out, "keyraft_raft_disputes_total", help, f.disputes)
    }

    fn lags(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if self.figures.lags.is_empty() {
            return Ok(());
        }
        let help = "Log entries that a peer has yet to receive; only the leader knows.";
        let mut family = out.encode_descriptor("keyraft_raft_peer_lag_entries", help, None, MetricType::Gauge)?;
        for lag in &self.figures.lags {
            family.encode_family(&[("peer", lag.name.as_str())])?.encode_gauge(&lag.entries)?;
        }
        Ok(())
    }

    fn lease(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let f = &self.figures;
        gauge(out, "keyraft_lease_held", "1 if this node holds a lease, else 0.", u64::from(f.has_lease))?;
        gauge(
            out,
            "keyraft_lease_offline_seconds",
            "Seconds for which this node has been serving known keys without a lease.",
            f.seconds_offline,
        )?;
        let until = seconds(f.lease_until_ns.max(0).unsigned_abs());
        gauge(out, "keyraft_lease_until_seconds", "When the lease ends, in seconds since this machine booted.", until)
    }

    fn fences(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let f = &self.figures;
        counter(
            out,
            "keyraft_fence_waits_total",
            "How often this node waited until every node had applied a revocation or no longer held a lease.",
            f.fence_waits,
        )?;
        seconds_counter(
            out,
            "keyraft_fence_wait_seconds_total",
            "Seconds that this node waited until every node had applied a revocation or no longer held a lease.",
            f.fence_ns,
        )?;
        let help = "Nodes that had not applied a revocation, so that this node waited until their leases ended.";
        counter(out, "keyraft_fence_waited_out_total", help, f.members_waited_out)
    }

    fn storage(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let f = &self.figures;
        gauge(out, "keyraft_keys", "Keys that this node holds.", f.keys)?;
        counter(out, "keyraft_log_fsyncs_total", "Flushes of the log to disk.", f.fsyncs)?;
        let help = "Seconds that flushes of the log to disk took.";
        seconds_counter(out, "keyraft_log_fsync_seconds_total", help, f.fsync_ns)?;
        if let Some(at) = f.snapshot_at {
            let age = seconds(self.now_ns.saturating_sub(at).max(0).unsigned_abs());
            gauge(
                out,
                "keyraft_snapshot_age_seconds",
                "Age of the newest snapshot; absent before the first one.",
                age,
            )?;
        }
        gauge(out, "keyraft_disk_used_bytes", "Bytes that the data folder takes on disk.", f.disk_bytes)?;
        self.room(out)
    }

    fn room(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let f = &self.figures;
        gauge(out, "keyraft_disk_free_bytes", "Bytes that the disk of the data folder has left.", f.free_bytes)?;
        let help = "With fewer bytes left than this, the node lacks room (storage.low).";
        gauge(out, "keyraft_disk_low_bytes", help, f.low_bytes)?;
        let help = "Bytes that the reserve keeps for what the node must write to a full disk.";
        gauge(out, "keyraft_disk_reserve_bytes", help, f.reserve_bytes)?;
        let help = "1 if the disk of this node lacks room, else 0.";
        gauge(out, "keyraft_disk_lacks_room", help, u64::from(f.lacks_room))?;
        let help = "1 if the log of this node waits until its disk has room, else 0.";
        gauge(out, "keyraft_log_waits_for_room", help, u64::from(f.waits_for_room))
    }
}

fn seconds_counter(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, ns: u64) -> fmt::Result {
    let mut metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
    metric.encode_counter::<prometheus_client::encoding::NoLabelSet, _, f64>(&seconds(ns), None)
}

fn seconds(ns: u64) -> f64 {
    std::time::Duration::from_nanos(ns).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::exposition::parse::families;
    use super::*;

    fn samples(figures: ClusterFigures) -> BTreeMap<String, f64> {
        let text = render(ClusterFamilies { figures, now_ns: 10_000_000_000 });
        families(&text).into_values().flat_map(|family| family.samples).collect()
    }

    #[test]
    fn every_figure_has_a_metric() {
        let lags = [("node-2", 0), ("node-3", 17)].map(|(name, entries)| PeerLag { name: name.to_owned(), entries });
        let found = samples(ClusterFigures {
            id: 1,
            leader: Some(1),
            term: 2,
            last: 30,
            committed: 29,
            applied: 28,
            malformed: 4,
            in_doubt: true,
            disputes: 2,
            lags: lags.into(),
            keys: 5,
            fsyncs: 6,
            fsync_ns: 1_500_000_000,
            snapshot_at: Some(7_500_000_000),
            disk_bytes: 1_024,
            free_bytes: 2_048,
            low_bytes: 4_096,
            reserve_bytes: 512,
            lacks_room: true,
            waits_for_room: false,
            fence_waits: 9,
            fence_ns: 2_500_000_000,
            members_waited_out: 1,
            lease_until_ns: 7_500_000_000,
            has_lease: true,
            seconds_offline: 0.0,
        });
        let expected = [
            ("keyraft_raft_is_leader", 1.0),
            ("keyraft_raft_has_leader", 1.0),
            ("keyraft_raft_leader_id", 1.0),
            ("keyraft_raft_term", 2.0),
            ("keyraft_raft_last_index", 30.0),
            ("keyraft_raft_committed_index", 29.0),
            ("keyraft_raft_applied_index", 28.0),
            ("keyraft_raft_malformed_commands_total", 4.0),
            ("keyraft_raft_in_doubt", 1.0),
            ("keyraft_raft_disputes_total", 2.0),
            (r#"keyraft_raft_peer_lag_entries{peer="node-2"}"#, 0.0),
            (r#"keyraft_raft_peer_lag_entries{peer="node-3"}"#, 17.0),
            ("keyraft_lease_held", 1.0),
            ("keyraft_lease_offline_seconds", 0.0),
            ("keyraft_lease_until_seconds", 7.5),
            ("keyraft_fence_waits_total", 9.0),
            ("keyraft_fence_wait_seconds_total", 2.5),
            ("keyraft_fence_waited_out_total", 1.0),
            ("keyraft_keys", 5.0),
            ("keyraft_log_fsyncs_total", 6.0),
            ("keyraft_log_fsync_seconds_total", 1.5),
            ("keyraft_snapshot_age_seconds", 2.5),
            ("keyraft_disk_used_bytes", 1_024.0),
            ("keyraft_disk_free_bytes", 2_048.0),
            ("keyraft_disk_low_bytes", 4_096.0),
            ("keyraft_disk_reserve_bytes", 512.0),
            ("keyraft_disk_lacks_room", 1.0),
            ("keyraft_log_waits_for_room", 0.0),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)).into());
    }

    #[test]
    fn an_unknown_figure_is_absent_instead_of_zero() {
        let found = samples(ClusterFigures { id: 1, ..ClusterFigures::default() });
        assert_eq!(found["keyraft_raft_has_leader"], 0.0);
        for absent in ["keyraft_raft_leader_id", "keyraft_snapshot_age_seconds"] {
            assert!(!found.contains_key(absent), "{absent}");
        }
        assert!(!found.keys().any(|name| name.contains("lag")));
    }
}
