//! The keys a load test works on, and a ciphertext of each.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::{LoadError, LoadOperation, LoadPlan};
use crate::client::{self, ApiClient};

/// What every request is bound to: as long as the contexts that object stores send.
pub const CONTEXT: &[u8; 32] = b"bench-bucket/bench-object-000000";
/// Requests at a time while keys are made.
const AT_ONCE: usize = 16;

/// The keys of one load test; every name begins with `bench-` and a number of its own.
pub struct BenchKeys {
    /// The beginning of their names.
    pub prefix: String,
    /// Each key's name and a ciphertext of it.
    pub list: Vec<(String, Vec<u8>)>,
}

impl BenchKeys {
    /// Makes the keys that the plan needs, and sees that what they seal they also open.
    pub async fn make(client: &ApiClient, plan: &LoadPlan) -> Result<Self, LoadError> {
        let prefix = format!("bench-{:08x}-", u32::from_be_bytes(crate::crypto::random::bytes()));
        let count = if needs_keys(plan) { plan.keys } else { 0 };
        let names = (0..count).map(|number| format!("{prefix}{number}"));
        let made: Result<Vec<_>, LoadError> =
            stream::iter(names).map(|name| make_key(client, name)).buffered(AT_ONCE).try_collect().await;
        match made {
            Ok(list) => Ok(Self { prefix, list }),
            Err(error) => {
                let list = (0..count).map(|number| (format!("{prefix}{number}"), Vec::new())).collect();
                Self { prefix, list }.delete(client, &[], AT_ONCE).await;
                Err(error)
            }
        }
    }

    /// The name of the `count`th key that client `worker` creates.
    pub fn created_name(prefix: &str, worker: usize, count: u64) -> String {
        format!("{prefix}w{worker}-{count}")
    }

    /// Deletes the keys, and those that the clients created, as far as the server lets it.
    pub async fn delete(&self, client: &ApiClient, created: &[(usize, u64)], at_once: usize) {
        let kept = self.list.iter().map(|(name, _)| name.clone());
        let created = created.iter().flat_map(|(worker, count)| {
            (0..*count).map(move |number| Self::created_name(&self.prefix, *worker, number))
        });
        stream::iter(kept.chain(created))
            .for_each_concurrent(at_once, |name| async move {
                // A key that was never made, or that may not be deleted, is none of this test's business.
                let _: Result<(), client::Error> = client.delete_key(&name).await;
            })
            .await;
    }
}

fn needs_keys(plan: &LoadPlan) -> bool {
    let keyless = [LoadOperation::Create, LoadOperation::Status, LoadOperation::Connect];
    plan.mix.operations().any(|operation| !keyless.contains(&operation))
}

async fn make_key(client: &ApiClient, name: String) -> Result<(String, Vec<u8>), LoadError> {
    client.create_key(&name).await?;
    let made = client.generate(&name, CONTEXT).await?;
    if client.decrypt(&name, &made.ciphertext, CONTEXT).await? != made.plaintext {
        return Err(LoadError::WrongAnswer { key: name });
    }
    Ok((name, made.ciphertext))
}
