//! Revocations: a node checks policies and uses keys under a lease, and acknowledges a revocation once it holds
//! everywhere.

use std::sync::Arc;
use std::time::Instant;

use super::{Error, Kms};
use crate::policy::Rules;
use crate::raft::Standing;

/// The names of the members that may not have applied a revocation. Their leases have run out, so they either do not
/// serve, or, as isolated nodes, serve what they knew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Behind(pub Vec<String>);

impl Kms {
    /// Waits until each member has applied the last revocation or has no older lease. Then this node may acknowledge
    /// it. Call this after every write that takes something away or changes a policy or an identity.
    ///
    /// # Errors
    /// [`Error::NotEverywhere`] if the deadline came first.
    pub async fn wait_until_everywhere(&self, by: Instant) -> Result<Behind, Error> {
        Ok(Behind(self.cluster.fence(by).await?))
    }

    /// The rules for the policy check of a request. They are in force, because this node holds a lease or is isolated.
    ///
    /// # Errors
    /// [`Error::Stopping`] if the node must not serve.
    pub async fn rules_in_force(&self) -> Result<Arc<Rules>, Error> {
        self.check_standing().await?;
        Ok(self.rules())
    }

    /// Whether these rules are still in force. Each request calls this, and it only makes two comparisons.
    pub fn are_in_force(&self, rules: &Arc<Rules>) -> bool {
        self.cluster.holds_lease() && self.cluster.view().has_rules(rules)
    }

    /// Fails unless the node holds a lease, or lost its leader so recently that it may still serve the keys that it
    /// knows.
    pub(super) async fn check_standing(&self) -> Result<(), Error> {
        if self.cluster.holds_lease() {
            return Ok(());
        }
        match Box::pin(self.cluster.standing_after_renewal()).await {
            Standing::Held | Standing::Offline(_) => Ok(()),
            Standing::Over | Standing::Behind(_) => Err(Error::Stopping),
        }
    }
}
