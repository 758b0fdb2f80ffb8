//! Reads the rules of a server: every policy, every identity, and who the caller is.

use std::collections::BTreeMap;
use std::future::Future;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::ProgressBar;

use crate::cli::Error;
use crate::cli::output::progress_bar;
use crate::cli::policy::edit::policy_of;
use crate::client::{ApiClient, IdentityEntry};
use crate::policy::{Identity, Policy};

/// Requests at a time.
const AT_ONCE: usize = 16;

/// A server's rules.
#[derive(Debug, Default)]
pub struct ServerRules {
    /// Policies by name.
    pub policies: BTreeMap<String, Policy>,
    /// Identities, admins too.
    pub identities: BTreeMap<String, IdentityEntry>,
    /// The identity of the caller.
    pub own_identity: String,
    /// The policy of the caller; empty if it has none.
    pub own_policy: String,
}

impl ServerRules {
    /// Reads all of it, and the entry of `admin`, because a node's own admin is not in the list of identities.
    pub async fn of(client: &ApiClient, admin: Option<Identity>) -> Result<Self, Error> {
        let own = client.describe_self().await?;
        let names = client.list_policies("").await?;
        let mut identities = client.list_identities("").await?;
        identities.extend(admin.map(|admin| admin.to_string()).filter(|admin| !identities.contains(admin)));
        let bar = progress_bar("Reading", names.len() + identities.len());
        let policies = read(names, &bar, |name| policy(client, name)).await?;
        let identities = read(identities, &bar, |one| identity(client, one)).await?;
        bar.finish_and_clear();
        Ok(Self { policies, identities, own_identity: own.identity, own_policy: own.policy })
    }
}

/// Reads the policies or identities with these names, a few at a time. It skips those that were deleted meanwhile.
async fn read<T, F: Future<Output = Result<Option<T>, Error>>>(
    names: Vec<String>,
    bar: &ProgressBar,
    one: impl Fn(String) -> F,
) -> Result<BTreeMap<String, T>, Error> {
    let all = stream::iter(names).map(|name| {
        let one = one(name.clone());
        async move { Ok::<_, Error>((name, one.await?)) }
    });
    let all: Vec<_> = all.buffered(AT_ONCE).inspect(|_| bar.inc(1)).try_collect().await?;
    Ok(all.into_iter().filter_map(|(name, one)| Some((name, one?))).collect())
}

async fn policy(client: &ApiClient, name: String) -> Result<Option<Policy>, Error> {
    match client.read_policy(&name).await {
        Ok(entry) => policy_of(&entry).map(Some),
        Err(error) if error.is_status(404) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn identity(client: &ApiClient, identity: String) -> Result<Option<IdentityEntry>, Error> {
    match client.describe_identity(&identity).await {
        Ok(entry) => Ok(Some(entry)),
        Err(error) if error.is_status(404) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
