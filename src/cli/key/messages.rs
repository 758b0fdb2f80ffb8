//! Uses keys: encrypts and decrypts messages, makes data keys, computes HMACs.

use clap::Subcommand;
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::encoding::{bytes, decode, encode};
use crate::cli::output::fields;
use crate::cli::{Error, Output};
use crate::client::ApiClient;

/// The commands that use a key.
#[derive(Subcommand)]
pub enum Action {
    /// Encrypt a message
    #[command(after_help = ENCRYPT_EXAMPLES)]
    Encrypt {
        /// The key's name
        name: String,
        /// The message as text, or `-` to read it from standard input
        message: String,
        /// Context in base64; to decrypt, give the same
        context: Option<String>,
        /// The message is given in base64
        #[arg(long)]
        base64: bool,
    },
    /// Decrypt a ciphertext, and print the message in base64
    #[command(after_help = DECRYPT_EXAMPLES)]
    Decrypt {
        /// The key's name
        name: String,
        /// The ciphertext in base64, or `-` to read it from standard input
        ciphertext: String,
        /// The context that was given to encrypt
        context: Option<String>,
        /// Print the message itself, without base64
        #[arg(long)]
        raw: bool,
    },
    /// Make a data encryption key: in the clear to use now, and encrypted to store
    #[command(after_help = DEK_EXAMPLES)]
    Dek {
        /// The key's name
        name: String,
        /// Context in base64; to decrypt, give the same
        context: Option<String>,
    },
    /// Compute a message's HMAC-SHA-256 under a key
    #[command(after_help = "Examples:\n  keyraft key hmac my-key 'Hello World'\n  keyraft key hmac my-key - < file")]
    Hmac {
        /// The key's name
        name: String,
        /// The message as text, or `-` to read it from standard input
        message: String,
        /// The message is given in base64
        #[arg(long)]
        base64: bool,
    },
}

const ENCRYPT_EXAMPLES: &str = "\
Examples:
  keyraft key encrypt my-key 'Hello World'
  keyraft key encrypt my-key - < file | jq -r .ciphertext";
const DECRYPT_EXAMPLES: &str = "\
Examples:
  CIPHERTEXT=$(keyraft key encrypt my-key 'Hello World' | jq -r .ciphertext)
  keyraft key decrypt my-key \"$CIPHERTEXT\" --raw

  CIPHERTEXT=$(keyraft key dek my-key | jq -r .ciphertext)
  keyraft key decrypt my-key \"$CIPHERTEXT\"";
const DEK_EXAMPLES: &str = "\
Examples:
  keyraft key dek my-key
  keyraft key dek my-key \"$(echo -n bucket/object | base64)\" | jq -r .ciphertext";

/// Runs the command.
pub async fn run(client: &ApiClient, action: &Action, output: Output) -> Result<(), Error> {
    match action {
        Action::Encrypt { name, message, context, base64 } => {
            let message = message_of(message, *base64)?;
            print(output, "ciphertext", &client.encrypt(name, &message, &context_of(context.as_deref())?).await?)
        }
        Action::Decrypt { name, ciphertext, context, raw } => {
            let ciphertext = decode("ciphertext", ciphertext)?;
            let plaintext = client.decrypt(name, &ciphertext, &context_of(context.as_deref())?).await?;
            if *raw { output.bytes(&plaintext) } else { print(output, "plaintext", &plaintext) }
        }
        Action::Dek { name, context } => data_key(client, name, &context_of(context.as_deref())?, output).await,
        Action::Hmac { name, message, base64 } => {
            print(output, "hmac", &client.hmac(name, &message_of(message, *base64)?).await?)
        }
    }
}

async fn data_key(client: &ApiClient, name: &str, context: &[u8], output: Output) -> Result<(), Error> {
    let made = client.generate(name, context).await?;
    let (plaintext, ciphertext) = (encode(&made.plaintext), encode(&made.ciphertext));
    output.either(&json!({ "plaintext": plaintext, "ciphertext": ciphertext }), || {
        fields([("plaintext", plaintext.clone()), ("ciphertext", ciphertext.clone())])
    })
}

fn print(output: Output, label: &'static str, bytes: &[u8]) -> Result<(), Error> {
    let text = encode(bytes);
    output.either(&json!({ label: text }), || fields([(label, text.clone())]))
}

fn message_of(message: &str, base64: bool) -> Result<Zeroizing<Vec<u8>>, Error> {
    if base64 { decode("message", message) } else { bytes(message) }
}

fn context_of(context: Option<&str>) -> Result<Vec<u8>, Error> {
    context.map_or(Ok(Vec::new()), |text| decode("context", text).map(|bytes| bytes.to_vec()))
}
