//! `keyraft key`: making keys and using them.

use clap::Subcommand;
use serde_json::json;

use super::connect::Connect;
use super::encoding::{bytes, decode, encode};
use super::output::{GOOD, STRONG, fields};
use super::{Error, Output};
use crate::client::Client;

/// Make keys, and use them
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    connect: Connect,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make new keys
    #[command(after_help = "Examples:\n  keyraft key create my-key\n  keyraft key create tenant-1 tenant-2")]
    Create {
        /// Names: 1 to 80 of A–Z a–z 0–9 _ -
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Bring key material of your own
    #[command(after_help = IMPORT_EXAMPLES)]
    Import {
        /// The key's name
        name: String,
        /// 32 bytes in base64, or `-` to read them from standard input
        #[arg(default_value = "-", value_name = "BASE64")]
        material: String,
        /// AES256 or ChaCha20
        #[arg(long)]
        cipher: Option<String>,
    },
    /// Show what is known of a key
    #[command(after_help = "Example:\n  keyraft key info my-key")]
    Info {
        /// The key's name
        name: String,
    },
    /// List keys
    #[command(
        after_help = "Examples:\n  keyraft key ls\n  keyraft key ls 'tenant-*'\n  keyraft key ls | jq -r '.names[]'"
    )]
    Ls {
        /// The beginning of their names
        #[arg(default_value = "", value_name = "PREFIX", hide_default_value = true)]
        prefix: String,
    },
    /// Delete keys, and with them everything that was ever sealed under them
    #[command(after_help = "Example:\n  keyraft key rm my-key")]
    Rm {
        /// The keys' names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Seal a message
    #[command(after_help = ENCRYPT_EXAMPLES)]
    Encrypt {
        /// The key's name
        name: String,
        /// The message as text, or `-` to read it from standard input
        message: String,
        /// Base64 that must be given again to decrypt
        context: Option<String>,
        /// The message is base64 of bytes
        #[arg(long)]
        base64: bool,
    },
    /// Open a ciphertext, and print what was sealed in base64
    #[command(after_help = DECRYPT_EXAMPLES)]
    Decrypt {
        /// The key's name
        name: String,
        /// The ciphertext in base64, or `-` to read it from standard input
        ciphertext: String,
        /// The base64 that was given to encrypt
        context: Option<String>,
        /// Print the bytes as they are
        #[arg(long)]
        raw: bool,
    },
    /// Make a data encryption key: once in the clear to use now, once sealed to keep
    #[command(after_help = DEK_EXAMPLES)]
    Dek {
        /// The key's name
        name: String,
        /// Base64 that must be given again to decrypt
        context: Option<String>,
    },
    /// Compute a message's HMAC-SHA-256 under a key
    #[command(after_help = "Examples:\n  keyraft key hmac my-key 'Hello World'\n  keyraft key hmac my-key - < file")]
    Hmac {
        /// The key's name
        name: String,
        /// The message as text, or `-` to read it from standard input
        message: String,
        /// The message is base64 of bytes
        #[arg(long)]
        base64: bool,
    },
}

const IMPORT_EXAMPLES: &str = "\
Examples:
  head -c 32 /dev/urandom | base64 | keyraft key import my-key
  keyraft key import my-key --cipher ChaCha20 - < key.b64

On the command line itself the material would show in the shell's history and in process lists.";
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

/// Does what was asked for to a key.
pub async fn run(args: &Args, output: Output) -> Result<(), Error> {
    let client = args.connect.client()?;
    match &args.action {
        Action::Create { names } => create(&client, names, output).await,
        Action::Import { name, material, cipher } => import(&client, name, material, cipher.as_deref(), output).await,
        Action::Info { name } => describe(&client, name, output).await,
        Action::Ls { prefix } => list(&client, prefix, output).await,
        Action::Rm { names } => remove(&client, names, output).await,
        Action::Encrypt { name, message, context, base64 } => {
            let ciphertext =
                client.encrypt(name, &message_of(message, *base64)?, &context_of(context.as_deref())?).await?;
            print(output, "ciphertext", &ciphertext)
        }
        Action::Decrypt { name, ciphertext, context, raw } => {
            let ciphertext = decode("ciphertext", ciphertext)?;
            let plaintext = client.decrypt(name, &ciphertext, &context_of(context.as_deref())?).await?;
            if *raw { output.bytes(&plaintext) } else { print(output, "plaintext", &plaintext) }
        }
        Action::Dek { name, context } => data_key(&client, name, &context_of(context.as_deref())?, output).await,
        Action::Hmac { name, message, base64 } => {
            print(output, "hmac", &client.hmac(name, &message_of(message, *base64)?).await?)
        }
    }
}

async fn create(client: &Client, names: &[String], output: Output) -> Result<(), Error> {
    for name in names {
        client.create_key(name).await?;
        output.either(&json!({ "created": name }), || format!("{GOOD}Created{GOOD:#} {name}"))?;
    }
    Ok(())
}

async fn import(
    client: &Client,
    name: &str,
    material: &str,
    cipher: Option<&str>,
    output: Output,
) -> Result<(), Error> {
    client.import_key(name, &decode("key material", material)?, cipher).await?;
    output.either(&json!({ "imported": name }), || format!("{GOOD}Imported{GOOD:#} {name}"))
}

async fn describe(client: &Client, name: &str, output: Output) -> Result<(), Error> {
    let key = client.describe_key(name).await?;
    output.either(&key, || {
        fields([
            ("name", format!("{STRONG}{}{STRONG:#}", key.name)),
            ("algorithm", key.algorithm.clone()),
            ("created at", key.created_at.clone()),
            ("created by", key.created_by.clone()),
        ])
    })
}

async fn list(client: &Client, prefix: &str, output: Output) -> Result<(), Error> {
    let names = client.list_keys(prefix).await?;
    if names.is_empty() && !output.is_json() {
        return output.line("No keys.");
    }
    output.either(&json!({ "names": names }), || names.join("\n"))
}

async fn remove(client: &Client, names: &[String], output: Output) -> Result<(), Error> {
    for name in names {
        client.delete_key(name).await?;
        output.either(&json!({ "deleted": name }), || format!("{GOOD}Deleted{GOOD:#} {name}"))?;
    }
    Ok(())
}

async fn data_key(client: &Client, name: &str, context: &[u8], output: Output) -> Result<(), Error> {
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

fn message_of(message: &str, base64: bool) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
    if base64 { decode("message", message) } else { bytes(message) }
}

fn context_of(context: Option<&str>) -> Result<Vec<u8>, Error> {
    context.map_or(Ok(Vec::new()), |text| decode("context", text).map(|bytes| bytes.to_vec()))
}
