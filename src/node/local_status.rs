//! The status that a node shows on its local socket, in every state.

use serde_json::{Value, json};

use super::parts::Parts;
use crate::http::{levels_json, status_json};
use crate::raft::ReadableLevels;

/// Returns the status as JSON: with the cluster's part once the node has joined, and with the reason if it does not
/// serve.
pub(super) fn status(parts: &Parts) -> Value {
    let local = &parts.local;
    let mut status = match local.kms.load().as_deref() {
        Some(kms) => status_json(&kms.cluster_status()),
        None => json!({
            "cluster_id": null,
            "node": {
                "id": null,
                "name": parts.this_node().name,
                "version": env!("CARGO_PKG_VERSION"),
                "levels": levels_json(ReadableLevels::OWN),
                "state": local.state.now().name(),
            },
            "leader": null,
            "members": [],
        }),
    };
    if let Some(reason) = local.reason.load().as_deref() {
        status["node"]["reason"] = json!(reason);
    }
    status["waiting_for"] = json!(parts.waits.now());
    status
}
