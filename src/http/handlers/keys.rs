//! Operations on keys. Each handler reads the body, calls one operation of the KMS, and writes the answer.

use std::sync::Arc;

use serde::Serialize;

use super::listing;
use super::request::AuthorisedRequest;
use super::versions;
use crate::clock;
use crate::http::error::ApiError;
use crate::http::pipeline::body::is_declared_empty;
use crate::http::wire::answers::{self, Answer, JsonWriter};
use crate::http::wire::import_body::read_import;
use crate::http::wire::json::{self, BadJson, non_empty};
use crate::http::wire::key_version;
use crate::http::wire::listing::Listing;
use crate::kms::{KeyDescription, Kms};
use crate::policy::permitted::{
    BulkDecrypt, CreateKey, Decrypt, DeleteKey, DescribeKey, Encrypt, Generate, Hmac, ImportKey, PurgeKey, RestoreKey,
};
use crate::policy::{KeyAction, KeyName};

/// Does what the action says with a key, or lists keys.
///
/// # Errors
/// The error to answer with.
pub async fn handle(action: KeyAction, kms: &Arc<Kms>, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    match action {
        KeyAction::Generate => generate(kms, request).await,
        KeyAction::Decrypt => decrypt(kms, request).await,
        KeyAction::Encrypt => encrypt(kms, request).await,
        KeyAction::Hmac => hmac(kms, request).await,
        KeyAction::BulkDecrypt => Box::pin(bulk_decrypt(kms, request)).await,
        KeyAction::Create => Box::pin(create(kms, request)).await,
        KeyAction::Import => Box::pin(import(kms, request)).await,
        KeyAction::Describe => Box::pin(describe(kms, request)).await,
        KeyAction::Delete => Box::pin(delete(kms, request)).await,
        KeyAction::Rotate => Box::pin(versions::rotate(kms, request)).await,
        KeyAction::Versions => Box::pin(versions::list(kms, request)).await,
        KeyAction::Disable => Box::pin(versions::disable(kms, request)).await,
        KeyAction::Enable => Box::pin(versions::enable(kms, request)).await,
        KeyAction::Restore => Box::pin(restore(kms, request)).await,
        KeyAction::Purge => Box::pin(purge(kms, request)).await,
        KeyAction::List => Box::pin(listing::handle(Listing::Keys, kms, request)).await,
    }
}

async fn create(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<CreateKey>()?;
    kms.create_key(&permit, request.deadline.act_by).await?;
    Ok(answers::empty())
}

async fn import(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<ImportKey>()?;
    let import = read_import(&request.body)?;
    kms.import_key(&permit, import, request.deadline.act_by).await?;
    Ok(answers::empty())
}

async fn delete(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<DeleteKey>()?;
    let behind = kms.delete_key(&permit, request.deadline.act_by).await?;
    Ok(answers::revoked(behind))
}

async fn restore(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<RestoreKey>()?;
    kms.restore_key(&permit, request.deadline.act_by).await?;
    Ok(answers::empty())
}

async fn purge(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<PurgeKey>()?;
    let behind = kms.purge_key(&permit, request.deadline.act_by).await?;
    Ok(answers::revoked(behind))
}

async fn describe(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<DescribeKey>()?;
    let found = kms.describe_key(&permit, request.deadline.act_by).await?;
    Ok(answers::json(&DescribedKey::new(*permit.target(), &found)))
}

async fn generate(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<Generate>()?;
    let is_absent = request.body.is_empty() && is_declared_empty(request.parts.version, &request.parts.headers);
    let [context, version] =
        if is_absent { [None, None] } else { json::object(&request.body, ["context", "version"])? };
    let (context, number) = (json::bytes(context.as_ref())?, key_version::number(version.as_ref()));
    let by = request.deadline.act_by;
    let key = kms.generate(&permit, number, &context, by).await?;
    let mut answer = JsonWriter::object(&[key.plaintext.len(), key.ciphertext.len()]);
    answer.base64("plaintext", &*key.plaintext);
    answer.base64("ciphertext", &key.ciphertext);
    answer.version(non_empty(version.as_ref()));
    Ok(answers::secret_json(answer.finish()))
}

async fn encrypt(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<Encrypt>()?;
    let [plaintext, context, version] = json::object(&request.body, ["plaintext", "context", "version"])?;
    let (plaintext, context) = (json::bytes(plaintext.as_ref())?, json::bytes(context.as_ref())?);
    let (number, by) = (key_version::number(version.as_ref()), request.deadline.act_by);
    let ciphertext = kms.encrypt(&permit, number, &plaintext, &context, by).await?;
    let mut answer = JsonWriter::object(&[ciphertext.len()]);
    answer.base64("ciphertext", &ciphertext);
    answer.version(non_empty(version.as_ref()));
    Ok(answers::secret_json(answer.finish()))
}

async fn decrypt(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<Decrypt>()?;
    let [ciphertext, context, version] = json::object(&request.body, ["ciphertext", "context", "version"])?;
    let (ciphertext, context) = (json::bytes(ciphertext.as_ref())?, json::bytes(context.as_ref())?);
    let (number, by) = (key_version::number(version.as_ref()), request.deadline.act_by);
    let plaintext = kms.decrypt(&permit, number, &ciphertext, &context, by).await?;
    let mut answer = JsonWriter::object(&[plaintext.len()]);
    answer.base64("plaintext", &plaintext);
    Ok(answers::secret_json(answer.finish()))
}

async fn bulk_decrypt(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<BulkDecrypt>()?;
    let ciphertexts = json::objects(&request.body, ["ciphertext", "context"])?
        .iter()
        .map(|[ciphertext, context]| Ok((json::bytes(ciphertext.as_ref())?, json::bytes(context.as_ref())?)))
        .collect::<Result<Vec<_>, BadJson>>()?;
    let plaintexts = kms.bulk_decrypt(&permit, &ciphertexts, request.deadline.act_by).await?;
    let mut answer = JsonWriter::array(plaintexts.len(), plaintexts.iter().map(|plaintext| plaintext.len()).sum());
    for plaintext in &plaintexts {
        answer.base64("plaintext", plaintext);
        answer.next_object();
    }
    Ok(answers::secret_json(answer.finish_array()))
}

async fn hmac(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<Hmac>()?;
    let [message, version] = json::object(&request.body, ["message", "version"])?;
    let (message, number) = (json::bytes(message.as_ref())?, key_version::number(version.as_ref()));
    let by = request.deadline.act_by;
    let hmac = kms.hmac(&permit, number, &message, by).await?;
    let mut answer = JsonWriter::object(&[hmac.len()]);
    answer.base64("hmac", &hmac);
    answer.version(non_empty(version.as_ref()));
    Ok(answers::secret_json(answer.finish()))
}

/// The answer of describe.
#[derive(Serialize)]
struct DescribedKey<'a> {
    name: &'a str,
    algorithm: &'static str,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<String>,
}

impl<'a> DescribedKey<'a> {
    fn new(name: KeyName<'a>, found: &KeyDescription) -> Self {
        Self {
            name: name.as_str(),
            algorithm: found.cipher.name(),
            created_at: clock::rfc3339(found.author.created_at),
            created_by: found.author.created_by.map(|identity| identity.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kms::Cipher;
    use crate::policy::{Author, Identity};

    #[test]
    fn a_description_leaves_out_an_unknown_creator_but_not_the_date() {
        let name = KeyName::parse("a").unwrap();
        let described = |author| {
            serde_json::to_string(&DescribedKey::new(name, &KeyDescription { cipher: Cipher::ChaCha20, author }))
                .unwrap()
        };
        let unknown = r#"{"name":"a","algorithm":"ChaCha20","created_at":"0001-01-01T00:00:00Z"}"#;
        assert_eq!(described(Author::default()), unknown);
        let by = Author { created_at: Some(0), created_by: Some(Identity::from_bytes([0; 32])) };
        assert!(described(by).ends_with(&format!(r#""created_by":"{}"}}"#, "00".repeat(32))));
    }
}
