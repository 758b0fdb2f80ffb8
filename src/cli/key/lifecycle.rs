//! Makes, shows, lists, deletes and restores keys.

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::cli::batch::one_by_one;
use crate::cli::encoding::decode;
use crate::cli::escape::quoted;
use crate::cli::output::titled;
use crate::cli::{Error, Output, prompt};
use crate::client::{ApiClient, Import};
use crate::clock;

/// A key counts as in use if somebody may have used it in the last day. A server notes a use once an hour, in whole
/// minutes, and sends it to the others a minute later. So the real last use may be up to 62 minutes later.
const IN_USE: Duration = Duration::minutes(24 * 60 + 62);

/// Makes keys with new material.
pub async fn create(client: &ApiClient, names: &[String], output: Output) -> Result<(), Error> {
    let create = async |name: &str| Ok(client.create_key(name).await?);
    one_by_one("Creating", names, create, |name, ()| output.done("created", name)).await
}

/// Makes a key from the given material.
pub async fn import(
    client: &ApiClient,
    name: &str,
    material: &str,
    cipher: Option<&str>,
    output: Output,
) -> Result<(), Error> {
    let entered = (material == "-").then(|| prompt::secret("Key material in base64")).transpose()?;
    // `decode` would read standard input again for `-`. A `?` makes it refuse the input, as it must for `-` and non-UTF-8.
    let as_base64 = |bytes| std::str::from_utf8(bytes).ok().filter(|text| *text != "-").unwrap_or("?");
    let material = decode("key material", entered.as_ref().map_or(material, |entered| as_base64(entered)))?;
    client.import_key(name, &Import { material: &material, cipher, ..Import::default() }).await?;
    output.done("imported", name)
}

/// Shows a key's cipher, and who created it and when.
pub async fn describe(client: &ApiClient, name: &str, output: Output) -> Result<(), Error> {
    let key = client.describe_key(name).await?;
    output.either(&key, || {
        let more = [("algorithm", &*key.algorithm), ("created at", &key.created_at), ("created by", &key.created_by)];
        titled(("name", &key.name), more)
    })
}

/// Lists the keys whose names begin with `prefix`.
pub async fn list(client: &ApiClient, prefix: &str, output: Output) -> Result<(), Error> {
    output.names("names", "No keys.", &client.list_keys(prefix).await?)
}

/// Deletes keys. Without `force` it does not delete a key that seems to be in use.
pub async fn remove(client: &ApiClient, names: &[String], force: bool, output: Output) -> Result<(), Error> {
    let delete = async |name: &str| {
        if !force {
            assert_unused(client, name).await?;
        }
        Ok(client.delete_key(name).await?)
    };
    one_by_one("Deleting", names, delete, |name, ()| output.done("deleted", name)).await?;
    if !output.is_json() {
        // The API does not say whether the server has a deletion window.
        output.note(&format!("If the server has a deletion window, this undoes it:\n  {}", restore_command(names)));
    }
    Ok(())
}

/// Restores deleted keys.
pub async fn restore(client: &ApiClient, names: &[String], output: Output) -> Result<(), Error> {
    let restore = async |name: &str| Ok(client.restore_key(name).await?);
    one_by_one("Restoring", names, restore, |name, ()| output.done("restored", name)).await
}

/// Removes deleted keys for good.
pub async fn purge(client: &ApiClient, names: &[String], output: Output) -> Result<(), Error> {
    let purge = async |name: &str| Ok(client.purge_key(name).await?);
    one_by_one("Purging", names, purge, |name, ()| output.done("purged", name)).await
}

fn restore_command(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| quoted(name)).collect();
    format!("keyraft key restore {}", names.join(" "))
}

async fn assert_unused(client: &ApiClient, name: &str) -> Result<(), Error> {
    let answers = match client.key_versions_everywhere(name).await {
        Ok(answers) => answers,
        // The server records no uses, as KES does not, or has no such key, and the deletion will report that.
        Err(error) if error.is_status(404) || error.is_status(501) => return Ok(()),
        Err(error) if error.is_status(403) => {
            return Err(Error::UseUnknown { name: name.to_owned(), error: Box::new(error.into()) });
        }
        Err(error) => return Err(error.into()),
    };
    let now = clock::unix_ns();
    match answers.into_iter().map(|versions| versions.last_used).filter(|last_used| is_recent(last_used, now)).max() {
        Some(last_used) => Err(Error::RecentlyUsed { name: name.to_owned(), last_used }),
        None => Ok(()),
    }
}

/// Whether a date is at most [`IN_USE`] old. One in the future is, too, because the server's clock may be ahead.
fn is_recent(last_used: &str, now_ns: i64) -> bool {
    let now = OffsetDateTime::from_unix_timestamp_nanos(now_ns.into());
    match (OffsetDateTime::parse(last_used, &Rfc3339), now) {
        (Ok(used), Ok(now)) => now - used < IN_USE,
        // Without a date, no use is recorded. A date that cannot be read may be a recent one.
        _ => !last_used.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::Response;

    use super::*;
    use crate::client::Endpoint;
    use crate::client::test_server::TestServer;
    use crate::tls::Alpn;

    #[tokio::test]
    async fn a_use_counts_even_if_only_one_server_knows_it() {
        let says = |body: String| move |_| Response::new(Full::new(Bytes::from(body.clone())));
        let used = format!(r#"{{"last_used":"{}"}}"#, clock::rfc3339(Some(clock::unix_ns())));
        let blind = TestServer::start(says("{}".to_owned())).await;
        let knows = TestServer::start_with(blind.tls.clone(), says(used)).await;
        let away = Endpoint { host: "127.0.0.1".to_owned(), port: 1 };
        let of = |endpoints: Vec<&Endpoint>| blind.client(endpoints.into_iter().cloned().collect(), Alpn::Either);
        assert!(assert_unused(&of(vec![&blind.endpoint, &away]), "k").await.is_ok());
        let all = of(vec![&blind.endpoint, &away, &knows.endpoint]);
        assert!(matches!(assert_unused(&all, "k").await, Err(Error::RecentlyUsed { .. })));
        assert!(matches!(assert_unused(&of(vec![&away]), "k").await, Err(Error::Client(_))));
    }

    #[test]
    fn a_key_is_in_use_for_a_day_and_the_delay_of_reports() {
        let now = 1_700_000_000_000_000_000; // 2023-11-14T22:13:20Z
        for (last_used, recent) in [
            ("", false),
            ("2023-11-13T21:11:20Z", false),
            ("2023-11-13T21:12:00Z", true),
            ("2023-11-14T22:13:20.5Z", true),
            ("yesterday", true),
        ] {
            assert_eq!(is_recent(last_used, now), recent, "{last_used}");
        }
    }
}
