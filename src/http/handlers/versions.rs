//! The versions of a key: creating, listing, disabling and enabling them.

use serde::Serialize;

use super::request::AuthorisedRequest;
use crate::clock;
use crate::http::error::ApiError;
use crate::http::wire::answers::{self, Answer};
use crate::http::wire::authorship::Authorship;
use crate::http::wire::json::{self, non_empty};
use crate::http::wire::key_version;
use crate::kms::{KeyVersion, KeyVersions, Kms};
use crate::policy::permitted::{DisableVersion, EnableVersion, ListVersions, RotateKey};

const MINUTE_NS: i64 = 60_000_000_000;

/// Creates a new version.
///
/// # Errors
/// The error to answer with.
pub async fn rotate(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<RotateKey>()?;
    let version = kms.rotate_key(&permit, request.deadline.act_by).await?;
    Ok(answers::json(&NewVersion { version: format!("v{version}") }))
}

/// Lists all versions.
///
/// # Errors
/// The error to answer with.
pub async fn list(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<ListVersions>()?;
    let found = kms.key_versions(&permit, request.deadline.act_by).await?;
    Ok(answers::json(&VersionList::new(&found)))
}

/// Disables the version that the body names.
///
/// # Errors
/// The error to answer with.
pub async fn disable(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<DisableVersion>()?;
    let behind = kms.disable_version(&permit, named_version(request)?, request.deadline.act_by).await?;
    Ok(answers::revoked(behind))
}

/// Enables the version that the body names.
///
/// # Errors
/// The error to answer with.
pub async fn enable(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<EnableVersion>()?;
    kms.enable_version(&permit, named_version(request)?, request.deadline.act_by).await?;
    Ok(answers::empty())
}

fn named_version(request: &AuthorisedRequest<'_>) -> Result<u32, ApiError> {
    let [version] = json::object(&request.body, ["version"])?;
    non_empty(version.as_ref()).ok_or(ApiError::Body)?;
    Ok(key_version::number(version.as_ref()).unwrap_or_default())
}

#[derive(Serialize)]
struct NewVersion {
    version: String,
}

#[derive(Serialize)]
struct VersionList {
    versions: Vec<VersionEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used: Option<String>,
}

#[derive(Serialize)]
struct VersionEntry {
    version: String,
    #[serde(flatten)]
    origin: Authorship,
    state: &'static str,
}

impl VersionList {
    fn new(found: &KeyVersions) -> Self {
        let last_used = found.last_used.map(|minute| clock::rfc3339(Some(i64::from(minute) * MINUTE_NS)));
        Self { versions: found.versions.iter().map(VersionEntry::new).collect(), last_used }
    }
}

impl VersionEntry {
    fn new(found: &KeyVersion) -> Self {
        let state = if found.disabled { "disabled" } else { "enabled" };
        Self { version: format!("v{}", found.version), origin: Authorship::of(&found.author), state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Author;

    #[test]
    fn versions_have_the_documented_form() {
        let author = Author { created_at: Some(0), created_by: None };
        let versions =
            vec![KeyVersion { version: 1, author, disabled: true }, KeyVersion { version: 2, author, disabled: false }];
        let shown = |last_used| {
            serde_json::to_string(&VersionList::new(&KeyVersions { versions: versions.clone(), last_used })).unwrap()
        };
        let v = |n, state| format!(r#"{{"version":"v{n}","created_at":"1970-01-01T00:00:00Z","state":"{state}"}}"#);
        let both = format!("{},{}", v(1, "disabled"), v(2, "enabled"));
        assert_eq!(shown(None), format!(r#"{{"versions":[{both}]}}"#));
        assert_eq!(shown(Some(1)), format!(r#"{{"versions":[{both}],"last_used":"1970-01-01T00:01:00Z"}}"#));
    }
}
