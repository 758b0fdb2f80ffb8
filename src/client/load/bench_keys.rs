//! The keys that a load test works on, and a ciphertext of each.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::{LoadError, LoadOperation, LoadPlan};
use crate::client::{self, ApiClient};

/// The context of every request. It is as long as those that object stores send.
pub const CONTEXT: &[u8; 32] = b"bench-bucket/bench-object-000000";
/// Requests in flight while keys are created.
const AT_ONCE: usize = 16;

/// The keys of one load test. Their names begin with `bench-` and a random number of this test.
pub struct BenchKeys {
    /// The beginning of their names.
    pub prefix: String,
    /// The name of each key, and a ciphertext that it sealed.
    pub list: Vec<(String, Vec<u8>)>,
}

impl BenchKeys {
    /// Creates the keys that the plan needs, and checks that each one decrypts what it sealed.
    ///
    /// If one cannot be created, it deletes those that were.
    pub async fn create(client: &ApiClient, plan: &LoadPlan) -> Result<Self, LoadError> {
        let prefix = format!("bench-{:08x}-", u32::from_be_bytes(crate::crypto::random::bytes()));
        let count = if needs_keys(plan) { plan.keys } else { 0 };
        let names = (0..count).map(|number| format!("{prefix}{number}"));
        let made: Result<Vec<_>, LoadError> =
            stream::iter(names).map(|name| create_key(client, name)).buffered(AT_ONCE).try_collect().await;
        match made {
            Ok(list) => Ok(Self { prefix, list }),
            Err(error) => {
                let list = (0..count).map(|number| (format!("{prefix}{number}"), Vec::new())).collect();
                Self { prefix, list }.delete(client, &[], AT_ONCE).await;
                Err(error)
            }
        }
    }

    /// The name of the `count`th key that client `worker` creates, counted from 0.
    pub fn created_name(prefix: &str, worker: usize, count: u64) -> String {
        format!("{prefix}w{worker}-{count}")
    }

    /// Deletes these keys and those that the clients created, as far as the server permits it.
    pub async fn delete(&self, client: &ApiClient, created: &[(usize, u64)], at_once: usize) {
        let kept = self.list.iter().map(|(name, _)| name.clone());
        let created = created.iter().flat_map(|(worker, count)| {
            (0..*count).map(move |number| Self::created_name(&self.prefix, *worker, number))
        });
        stream::iter(kept.chain(created))
            .for_each_concurrent(at_once, |name| async move {
                // Keys that were never created, or that this identity may not delete, are left: the report matters more.
                let _: Result<(), client::Error> = client.delete_key(&name).await;
            })
            .await;
    }
}

fn needs_keys(plan: &LoadPlan) -> bool {
    let keyless = [LoadOperation::Create, LoadOperation::Status, LoadOperation::Connect];
    plan.mix.operations().any(|operation| !keyless.contains(&operation))
}

async fn create_key(client: &ApiClient, name: String) -> Result<(String, Vec<u8>), LoadError> {
    client.create_key(&name).await?;
    let data_key = client.generate(&name, CONTEXT).await?;
    if client.decrypt(&name, &data_key.ciphertext, CONTEXT).await? != data_key.plaintext {
        return Err(LoadError::WrongAnswer { key: name });
    }
    Ok((name, data_key.ciphertext))
}
