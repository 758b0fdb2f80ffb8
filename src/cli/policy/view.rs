//! Shows and lists policies.

use crate::cli::output::{patterns, titled};
use crate::cli::{Error, Output};
use crate::client::{ApiClient, PolicyEntry};

/// Shows who made a policy, and when.
pub async fn describe(client: &ApiClient, name: &str, output: Output) -> Result<(), Error> {
    let policy = client.describe_policy(name).await?;
    output.either(&policy, || origin(&policy))
}

/// Shows a policy's patterns.
pub async fn show(client: &ApiClient, name: &str, output: Output) -> Result<(), Error> {
    let policy = client.read_policy(name).await?;
    output.either(&policy, || {
        let rules = patterns(&policy.allow, &policy.deny);
        let rules = if rules.is_empty() { "It allows nothing.".to_owned() } else { rules };
        format!("{}\n\n{rules}", origin(&policy))
    })
}

/// Lists the policies whose names begin with `prefix`.
pub async fn list(client: &ApiClient, prefix: &str, output: Output) -> Result<(), Error> {
    output.names("names", "No policies.", &client.list_policies(prefix).await?)
}

fn origin(policy: &PolicyEntry) -> String {
    titled(("name", &policy.name), [("created at", &policy.created_at), ("created by", &policy.created_by)])
}
