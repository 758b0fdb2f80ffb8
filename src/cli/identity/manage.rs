//! Manages the identities of a server.

use crate::cli::batch::one_by_one;
use crate::cli::connect::Connect;
use crate::cli::output::{patterns, titled};
use crate::cli::{Error, Output};
use crate::client::{NewRole, SelfEntry};
use crate::policy::Identity;

/// Adds an identity with a role.
pub async fn create(connect: &Connect, identity: Identity, role: &NewRole, output: Output) -> Result<(), Error> {
    connect.client()?.create_identity(identity, role).await?;
    output.done("created", &identity.to_string())
}

/// Shows the role of an identity.
pub async fn describe(connect: &Connect, identity: &str, output: Output) -> Result<(), Error> {
    let entry = connect.client()?.describe_identity(identity).await?;
    output.either(&entry, || {
        let role = role(entry.admin, &entry.policy);
        let more = [("role", &*role), ("created at", &entry.created_at), ("created by", &entry.created_by)];
        titled(("identity", identity), more)
    })
}

/// Shows the caller's identity, and what it may do.
pub async fn describe_self(connect: &Connect, output: Output) -> Result<(), Error> {
    let own = connect.client()?.describe_self().await?;
    output.either(&own, || render(&own))
}

/// Lists the identities that begin with `prefix`.
pub async fn list(connect: &Connect, prefix: &str, output: Output) -> Result<(), Error> {
    output.names("identities", "No identities.", &connect.client()?.list_identities(prefix).await?)
}

/// Removes identities, which lose all access.
pub async fn remove(connect: &Connect, identities: &[String], output: Output) -> Result<(), Error> {
    let client = connect.client()?;
    let delete = async |identity: &str| Ok(client.delete_identity(identity).await?);
    one_by_one("Deleting", identities, delete, |identity, ()| output.done("deleted", identity)).await
}

fn render(own: &SelfEntry) -> String {
    let role = role(own.admin, &own.policy);
    let more = [("role", &*role), ("created at", &own.created_at), ("created by", &own.created_by)];
    let who = titled(("identity", &own.identity), more);
    let rules = patterns(&own.allow, &own.deny);
    if rules.is_empty() { who } else { format!("{who}\n\n{rules}") }
}

fn role(admin: bool, policy: &str) -> String {
    match (admin, policy) {
        (true, _) => "admin: may do everything".to_owned(),
        (false, "") => "no access: it has no policy".to_owned(),
        (false, policy) => format!("policy {policy}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_own_rules_are_shown() {
        let own: SelfEntry =
            serde_json::from_str(r#"{"identity":"ea","admin":false,"policy":"app","allow":{"/v1/key/*":{}}}"#).unwrap();
        let shown = anstream::adapter::strip_str(&render(&own)).to_string();
        assert!(shown.contains("role      policy app") && shown.contains("allow  /v1/key/*"), "{shown}");
        let nobody = anstream::adapter::strip_str(&render(&SelfEntry::default())).to_string();
        assert!(nobody.contains("no access"), "{nobody}");
        let tricky: SelfEntry = serde_json::from_str(r#"{"policy":"a","deny":{"/v1/\u001b[2J*":{}}}"#).unwrap();
        let shown = anstream::adapter::strip_str(&render(&tricky)).to_string();
        assert!(shown.contains("deny   /v1/\\u{1b}[2J*"), "{shown}");
    }
}
