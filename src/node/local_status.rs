//! The status that a node shows on its local socket, in every phase.

use serde_json::{Value, json};

use super::parts::Parts;
use super::phase::Phase;
use crate::http::{levels_json, status_json};
use crate::kms::ClusterStatus;
use crate::state::ReadableLevels;

/// Returns the status as JSON: with the cluster as this node sees it while it takes part, and with the reason if it does
/// not serve.
pub(super) fn status(parts: &Parts) -> Value {
    let phase = parts.phase.borrow().clone();
    let name = parts.this_node().name;
    let mut status = match (phase.serving(), phase.cluster()) {
        (Some(serving), _) => status_json(&serving.kms.cluster_status()),
        (None, Some(cluster)) => status_json(&ClusterStatus::before_serving(cluster, &name, phase.state())),
        (None, None) => outside_consensus(&phase, &name),
    };
    if let Some(reason) = phase.reason() {
        status["node"]["reason"] = json!(reason);
    }
    status["waiting_for"] = json!(parts.waits.now());
    status
}

/// The status of a node that takes no part in consensus. A sealed one still knows which cluster it belongs to.
fn outside_consensus(phase: &Phase, name: &str) -> Value {
    let facts = match phase {
        Phase::Sealed { facts, .. } => facts.as_ref(),
        _ => None,
    };
    json!({
        "cluster_id": facts.map(|facts| facts.cluster.id.to_string()),
        "node": {
            "id": facts.map(|facts| facts.owner.node_id),
            "name": name,
            "version": env!("CARGO_PKG_VERSION"),
            "levels": levels_json(ReadableLevels::OWN),
            "state": phase.state().name(),
        },
        "leader": null,
        "members": [],
    })
}
