//! Operations of clients. The node that gets one carries it out in a task of its own, and answers when it is done.

use std::time::{Duration, Instant};

use keyraft::kms::{Error, Kms};
use keyraft::policy::{Action, Permit, PermittedAction, permitted};

use crate::settings::ADMIN;

/// How long a node may take for an operation.
const DEADLINE: Duration = Duration::from_secs(5);

/// What a client asks a node for.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Make a key of this name.
    Create(String),
    /// Make a data key under the key of this name.
    Generate(String),
    /// Open this ciphertext with the key of this name.
    Decrypt(String, Vec<u8>),
}

/// What the node answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// A data key, and the ciphertext of it.
    DataKey([u8; 32], Vec<u8>),
    Plaintext(Vec<u8>),
    Failed(String),
}

/// Carries out an operation on this node.
pub async fn carry_out(kms: &Kms, operation: Operation) -> Answer {
    let done = match operation {
        Operation::Create(name) => create(kms, &name).await,
        Operation::Generate(name) => generate(kms, &name).await,
        Operation::Decrypt(name, ciphertext) => decrypt(kms, &name, &ciphertext).await,
    };
    done.unwrap_or_else(|error| Answer::Failed(error.to_string()))
}

async fn create(kms: &Kms, name: &str) -> Result<Answer, Error> {
    let path = format!("/v1/key/create/{name}");
    let permit = permit::<permitted::CreateKey>(kms, &path).await?;
    kms.create_key(&permit, by()).await?;
    Ok(Answer::Done)
}

async fn generate(kms: &Kms, name: &str) -> Result<Answer, Error> {
    let path = format!("/v1/key/generate/{name}");
    let permit = permit::<permitted::Generate>(kms, &path).await?;
    let key = kms.generate(&permit, None, b"", by()).await?;
    Ok(Answer::DataKey(*key.plaintext, key.ciphertext))
}

async fn decrypt(kms: &Kms, name: &str, ciphertext: &[u8]) -> Result<Answer, Error> {
    let path = format!("/v1/key/decrypt/{name}");
    let permit = permit::<permitted::Decrypt>(kms, &path).await?;
    Ok(Answer::Plaintext(kms.decrypt(&permit, None, ciphertext, b"", by()).await?.to_vec()))
}

async fn permit<'p, A: PermittedAction>(kms: &Kms, path: &'p str) -> Result<Permit<'p, A>, Error> {
    let action = Action::parse(path).expect("the path is one of ours");
    let allowed = kms.rules_in_force().await?.permit(ADMIN, kms.file_admin(), action).map_err(|_| Error::Denied)?;
    Ok(allowed.permit().expect("the path names that action"))
}

fn by() -> Instant {
    Instant::now() + DEADLINE
}
