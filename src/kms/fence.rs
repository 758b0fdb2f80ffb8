//! Revocations that hold: nothing is permitted or used without a lease, and none is acknowledged before all hold to it.

use std::sync::Arc;
use std::time::Instant;

use super::{Error, Kms};
use crate::policy::Rules;
use crate::raft::Standing;

/// The names of the members that are not known to have applied a revocation. Their leases have run out: they serve
/// nothing, or, isolated, what they knew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Behind(pub Vec<String>);

impl Kms {
    /// Waits until no member that holds a lease can do what was revoked here, so that the revocation may be
    /// acknowledged. To be called after every write that takes something away or changes a policy or an identity.
    ///
    /// # Errors
    /// [`Error::NotEverywhere`]
    pub async fn everywhere(&self, by: Instant) -> Result<Behind, Error> {
        Ok(Behind(self.cluster.fence(by).await?))
    }

    /// The rules to check a request by: those in force, and not ones that this node, without a lease, takes for such.
    ///
    /// # Errors
    /// [`Error::Stopping`]: the node must not serve.
    pub async fn rules_in_force(&self) -> Result<Arc<Rules>, Error> {
        self.check_standing().await?;
        Ok(self.rules())
    }

    /// Whether these rules are still in force; two comparisons, for every request.
    pub fn are_in_force(&self, rules: &Arc<Rules>) -> bool {
        self.cluster.holds_lease() && self.cluster.view().has_rules(rules)
    }

    /// A node serves known keys under its lease, and, for a while, without one.
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
