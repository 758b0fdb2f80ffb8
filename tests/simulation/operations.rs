//! Operations of clients. The node that gets one carries it out in a task of its own, and answers when it is done.

use std::fmt;
use std::time::{Duration, Instant};

use keyraft::kms::{Error, Kms};
use keyraft::policy::{Action, Permit, PermittedAction, permitted};

use crate::settings::ADMIN;

/// How long a node may take for an operation.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// What a client asks a node for.
#[derive(Clone, PartialEq, Eq)]
pub enum Operation {
    /// Make a key of this name.
    Create(String),
    /// Make a data key under the key of this name.
    Generate(String),
    /// Open this data key of the key of this name.
    Decrypt(String, DataKey),
    /// Delete the key of this name.
    Delete(String),
}

/// What the node answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Created,
    Generated(DataKey),
    Opened(Vec<u8>),
    /// Deleted, and these nodes may not know it.
    Deleted(Vec<String>),
    Failed(Error),
}

/// A data key, and the ciphertext of it.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKey {
    pub plaintext: Vec<u8>,
    pub ciphertext: Vec<u8>,
}

impl Operation {
    /// The key that it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Create(name) | Self::Generate(name) | Self::Decrypt(name, _) | Self::Delete(name) => name,
        }
    }
}

/// Carries out an operation on this node.
pub async fn carry_out(kms: &Kms, operation: Operation) -> Answer {
    let done = match operation {
        Operation::Create(name) => create(kms, &name).await,
        Operation::Generate(name) => generate(kms, &name).await,
        Operation::Decrypt(name, key) => decrypt(kms, &name, &key.ciphertext).await,
        Operation::Delete(name) => delete(kms, &name).await,
    };
    done.unwrap_or_else(Answer::Failed)
}

async fn create(kms: &Kms, name: &str) -> Result<Answer, Error> {
    let path = format!("/v1/key/create/{name}");
    let permit = permit::<permitted::CreateKey>(kms, &path).await?;
    kms.create_key(&permit, by()).await?;
    Ok(Answer::Created)
}

async fn generate(kms: &Kms, name: &str) -> Result<Answer, Error> {
    let path = format!("/v1/key/generate/{name}");
    let permit = permit::<permitted::Generate>(kms, &path).await?;
    let key = kms.generate(&permit, None, b"", by()).await?;
    Ok(Answer::Generated(DataKey { plaintext: key.plaintext.to_vec(), ciphertext: key.ciphertext }))
}

async fn decrypt(kms: &Kms, name: &str, ciphertext: &[u8]) -> Result<Answer, Error> {
    let path = format!("/v1/key/decrypt/{name}");
    let permit = permit::<permitted::Decrypt>(kms, &path).await?;
    Ok(Answer::Opened(kms.decrypt(&permit, None, ciphertext, b"", by()).await?.to_vec()))
}

async fn delete(kms: &Kms, name: &str) -> Result<Answer, Error> {
    let path = format!("/v1/key/delete/{name}");
    let permit = permit::<permitted::DeleteKey>(kms, &path).await?;
    Ok(Answer::Deleted(kms.delete_key(&permit, by()).await?.0))
}

async fn permit<'p, A: PermittedAction>(kms: &Kms, path: &'p str) -> Result<Permit<'p, A>, Error> {
    let action = Action::parse(path).expect("the path is one of ours");
    let allowed = kms.rules_in_force().await?.permit(ADMIN, kms.file_admin(), action).map_err(|_| Error::Denied)?;
    Ok(allowed.permit().expect("the path names that action"))
}

fn by() -> Instant {
    Instant::now() + DEADLINE
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(name) => write!(f, "create {name}"),
            Self::Generate(name) => write!(f, "generate {name}"),
            Self::Decrypt(name, key) => write!(f, "decrypt {name} {key:?}"),
            Self::Delete(name) => write!(f, "delete {name}"),
        }
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", hex::encode(&self.plaintext[..4]))
    }
}
