//! `keyraft key`: making keys, using them, and what becomes of them.

mod lifecycle;
mod messages;
mod versions;

use clap::Subcommand;
use clap::builder::{PossibleValue, PossibleValuesParser};

use super::connect::Connect;
use super::denial::explained;
use super::{Error, Output};

/// Make keys, use them, rotate and delete them
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
        #[arg(long, value_parser = ciphers(), hide_possible_values = true)]
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
    #[command(after_help = RM_EXAMPLES)]
    Rm {
        /// The keys' names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Delete a key that was used in the last day, too
        #[arg(short, long)]
        force: bool,
    },
    /// Bring deleted keys back while they wait for their deletion
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore {
        /// The keys' names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// End the wait of deleted keys: nothing brings them back then
    #[command(after_help = "Example:\n  keyraft key purge my-key")]
    Purge {
        /// The keys' names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Add a version, which everything new is sealed under
    #[command(after_help = ROTATE_EXAMPLES)]
    Rotate {
        /// The keys' names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Show the versions of a key, and when it was used last
    #[command(after_help = "Examples:\n  keyraft key versions my-key\n  keyraft key versions my-key | jq .last_used")]
    Versions {
        /// The key's name
        name: String,
    },
    /// Make a version unusable until it is enabled again
    #[command(
        after_help = "Example:\n  keyraft key disable my-key v1\n\nThe newest enabled version cannot be disabled."
    )]
    Disable {
        /// The key's name
        name: String,
        /// The version, such as v1
        version: String,
    },
    /// Make a disabled version usable again
    #[command(after_help = "Example:\n  keyraft key enable my-key v1")]
    Enable {
        /// The key's name
        name: String,
        /// The version, such as v1
        version: String,
    },
    #[command(flatten)]
    Message(messages::Action),
}

const IMPORT_EXAMPLES: &str = "\
Examples:
  head -c 32 /dev/urandom | base64 | keyraft key import my-key
  keyraft key import my-key --cipher ChaCha20 - < key.b64

On the command line itself the material would show in the shell's history and in process lists.";
const RM_EXAMPLES: &str = "\
Examples:
  keyraft key rm my-key
  keyraft key rm my-key --force          although it was used in the last day

Where the server has a deletion window, `keyraft key restore` brings it back until that ends.";
const RESTORE_EXAMPLES: &str = "\
Example:
  keyraft key restore my-key

A deleted key waits where the server's configuration has `keys.deletion_window`.";
const ROTATE_EXAMPLES: &str = "\
Examples:
  keyraft key rotate my-key
  keyraft key versions my-key

Older versions still open what they sealed, and the HMAC of a message stays the same.";

/// The names of ciphers, and the longer ones that KES has for them.
fn ciphers() -> PossibleValuesParser {
    let aliased = |name, alias| PossibleValue::new(name).alias(alias);
    PossibleValuesParser::new([aliased("AES256", "AES256-GCM_SHA256"), aliased("ChaCha20", "XCHACHA20-POLY1305")])
}

/// Does what was asked for to a key.
pub async fn run(args: &Args, output: Output) -> Result<(), Error> {
    explained(&args.connect, act(args, output)).await
}

async fn act(args: &Args, output: Output) -> Result<(), Error> {
    let client = args.connect.client()?;
    match &args.action {
        Action::Create { names } => lifecycle::create(&client, names, output).await,
        Action::Import { name, material, cipher } => {
            lifecycle::import(&client, name, material, cipher.as_deref(), output).await
        }
        Action::Info { name } => lifecycle::describe(&client, name, output).await,
        Action::Ls { prefix } => lifecycle::list(&client, prefix, output).await,
        Action::Rm { names, force } => lifecycle::remove(&client, names, *force, output).await,
        Action::Restore { names } => lifecycle::restore(&client, names, output).await,
        Action::Purge { names } => lifecycle::purge(&client, names, output).await,
        Action::Rotate { names } => versions::rotate(&client, names, output).await,
        Action::Versions { name } => versions::show(&client, name, output).await,
        Action::Disable { name, version } => versions::disable(&client, name, version, output).await,
        Action::Enable { name, version } => versions::enable(&client, name, version, output).await,
        Action::Message(action) => messages::run(&client, action, output).await,
    }
}
