//! The beginning and the end of keys.

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::cli::encoding::decode;
use crate::cli::output::titled;
use crate::cli::{Error, Output};
use crate::client::{Client, Import};
use crate::clock;

/// A key that was used within this is taken for one that is needed.
const IN_USE: Duration = Duration::DAY;

/// Makes keys of new material.
pub async fn create(client: &Client, names: &[String], output: Output) -> Result<(), Error> {
    for name in names {
        client.create_key(name).await?;
        output.done("created", name)?;
    }
    Ok(())
}

/// Makes a key of the material given.
pub async fn import(
    client: &Client,
    name: &str,
    material: &str,
    cipher: Option<&str>,
    output: Output,
) -> Result<(), Error> {
    let material = decode("key material", material)?;
    client.import_key(name, &Import { material: &material, cipher, ..Import::default() }).await?;
    output.done("imported", name)
}

/// Shows what is known of a key.
pub async fn describe(client: &Client, name: &str, output: Output) -> Result<(), Error> {
    let key = client.describe_key(name).await?;
    output.either(&key, || {
        let more = [("algorithm", &*key.algorithm), ("created at", &key.created_at), ("created by", &key.created_by)];
        titled(("name", &key.name), more)
    })
}

/// Lists keys.
pub async fn list(client: &Client, prefix: &str, output: Output) -> Result<(), Error> {
    output.names("names", "No keys.", &client.list_keys(prefix).await?)
}

/// Deletes keys: unless forced, none that seems to be needed.
pub async fn remove(client: &Client, names: &[String], force: bool, output: Output) -> Result<(), Error> {
    for name in names {
        if !force {
            assert_unused(client, name).await?;
        }
        client.delete_key(name).await?;
        output.done("deleted", name)?;
    }
    Ok(())
}

/// Brings deleted keys back.
pub async fn restore(client: &Client, names: &[String], output: Output) -> Result<(), Error> {
    for name in names {
        client.restore_key(name).await?;
        output.done("restored", name)?;
    }
    Ok(())
}

/// Deletes keys for good that wait for it.
pub async fn purge(client: &Client, names: &[String], output: Output) -> Result<(), Error> {
    for name in names {
        client.purge_key(name).await?;
        output.done("purged", name)?;
    }
    Ok(())
}

async fn assert_unused(client: &Client, name: &str) -> Result<(), Error> {
    let last_used = match client.key_versions(name).await {
        Ok(versions) => versions.last_used,
        // A server without versions, such as KES, does not know either; what the deletion finds is the answer.
        Err(error) if error.is_status(404) || error.is_status(501) => return Ok(()),
        Err(error) if error.is_status(403) => {
            return Err(Error::UseUnknown { name: name.to_owned(), error: Box::new(error.into()) });
        }
        Err(error) => return Err(error.into()),
    };
    if is_recent(&last_used, clock::unix_ns()) {
        return Err(Error::RecentlyUsed { name: name.to_owned(), last_used });
    }
    Ok(())
}

/// Whether a date lies within [`IN_USE`] before now, or, by the server's clock, after it.
fn is_recent(last_used: &str, now_ns: i64) -> bool {
    let now = OffsetDateTime::from_unix_timestamp_nanos(now_ns.into());
    match (OffsetDateTime::parse(last_used, &Rfc3339), now) {
        (Ok(used), Ok(now)) => now - used < IN_USE,
        // No date at all: it was never used, or not since that is noted. One that cannot be read may be recent.
        _ => !last_used.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_in_use_for_a_day() {
        let now = 1_700_000_000_000_000_000; // 2023-11-14T22:13:20Z
        for (last_used, recent) in [
            ("", false),
            ("2023-11-13T22:13:20Z", false),
            ("2023-11-13T22:13:21Z", true),
            ("2023-11-14T22:13:20.5Z", true),
            ("yesterday", true),
        ] {
            assert_eq!(is_recent(last_used, now), recent, "{last_used}");
        }
    }
}
