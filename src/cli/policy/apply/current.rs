//! What a server has now: every policy, every identity, and who asks.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::cli::Error;
use crate::cli::policy::edit::policy_of;
use crate::client::{Client, IdentityEntry};
use crate::policy::Policy;

/// Questions at a time.
const AT_ONCE: usize = 16;

/// A server's rules.
#[derive(Debug, Default)]
pub struct Current {
    /// Policies by name.
    pub policies: BTreeMap<String, Policy>,
    /// Identities, admins too.
    pub identities: BTreeMap<String, IdentityEntry>,
    /// Who asks.
    pub own_identity: String,
    /// The policy of who asks; empty for none.
    pub own_policy: String,
}

impl Current {
    /// Asks for all of it.
    pub async fn of(client: &Client) -> Result<Self, Error> {
        let own = client.describe_self().await?;
        let names = client.list_policies("").await?;
        let policies = stream::iter(names).map(|name| async move {
            match client.read_policy(&name).await {
                Ok(entry) => policy_of(&entry).map(|policy| Some((name, policy))),
                Err(error) if error.is_status(404) => Ok(None),
                Err(error) => Err(error.into()),
            }
        });
        let policies: Vec<_> = policies.buffered(AT_ONCE).try_collect().await?;
        let identities = stream::iter(client.list_identities("").await?).map(|identity| async move {
            match client.describe_identity(&identity).await {
                Ok(entry) => Ok(Some((identity, entry))),
                // Deleted since it was listed.
                Err(error) if error.is_status(404) => Ok(None),
                Err(error) => Err(Error::from(error)),
            }
        });
        let identities: Vec<_> = identities.buffered(AT_ONCE).try_collect().await?;
        Ok(Self {
            policies: policies.into_iter().flatten().collect(),
            identities: identities.into_iter().flatten().collect(),
            own_identity: own.identity,
            own_policy: own.policy,
        })
    }
}
