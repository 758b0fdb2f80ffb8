//! Manages the versions of keys.

use serde_json::json;

use crate::cli::batch::one_by_one;
use crate::cli::escape::{printable, quoted};
use crate::cli::output::{GOOD, fields, table};
use crate::cli::{Error, Output};
use crate::client::{self, ApiClient, KeyVersion, KeyVersions};

/// Adds a version to each key.
pub async fn rotate(client: &ApiClient, names: &[String], output: Output) -> Result<(), Error> {
    let rotate = async |name: &str| client.rotate_key(name).await.map_err(|error| not_rotated(name, error));
    let report = |name: &str, version: String| {
        output.either(&json!({ "rotated": name, "version": version }), || {
            format!("{GOOD}Rotated{GOOD:#} {name}; its newest version is {version}")
        })
    };
    one_by_one("Rotating", names, rotate, report).await
}

/// The error of a rotation. A second rotation would add one more version, so it says if the first may have happened.
fn not_rotated(name: &str, error: client::Error) -> Error {
    if !error.may_be_done() {
        return error.into();
    }
    Error::OutcomeUnknown {
        what: format!("the server has rotated {name}"),
        look: format!("keyraft key versions {}", quoted(name)),
        error: Box::new(error.into()),
    }
}

/// Shows a key's versions.
pub async fn show(client: &ApiClient, name: &str, output: Output) -> Result<(), Error> {
    let versions = client.key_versions(name).await?;
    output.either(&versions, || render(&versions))
}

/// Disables a version, so that nothing can use it.
pub async fn disable(client: &ApiClient, name: &str, version: &str, output: Output) -> Result<(), Error> {
    client.disable_version(name, version).await?;
    output.either(&json!({ "disabled": name, "version": version }), || {
        format!("{GOOD}Disabled{GOOD:#} {version} of {name}")
    })
}

/// Enables a disabled version.
pub async fn enable(client: &ApiClient, name: &str, version: &str, output: Output) -> Result<(), Error> {
    client.enable_version(name, version).await?;
    output.either(&json!({ "enabled": name, "version": version }), || {
        format!("{GOOD}Enabled{GOOD:#} {version} of {name}")
    })
}

fn render(versions: &KeyVersions) -> String {
    let rows = table(["VERSION", "STATE", "CREATED AT", "CREATED BY"], versions.versions.iter().map(row));
    let last_used = if versions.last_used.is_empty() { "unknown" } else { &versions.last_used };
    format!("{rows}\n\n{}", fields([("last used", printable(last_used))]))
}

fn row(version: &KeyVersion) -> [String; 4] {
    [version.version.clone(), version.state.clone(), version.created_at.clone(), version.created_by.clone()]
}
