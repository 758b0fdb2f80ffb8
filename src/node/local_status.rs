//! What a node tells on its own machine, whatever state it is in.

use serde_json::{Value, json};

use super::parts::Parts;
use crate::http::status_json;

/// The status as JSON: the cluster's once there is one, and the reason when the node does not serve.
pub(super) fn status(parts: &Parts) -> Value {
    let local = &parts.local;
    let mut status = match local.kms.load().as_deref() {
        Some(kms) => status_json(&kms.cluster_status()),
        None => json!({
            "cluster_id": null,
            "node": {
                "id": null,
                "name": parts.place().name,
                "version": env!("CARGO_PKG_VERSION"),
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
