//! `keyraft key`: makes keys, uses them, rotates and deletes them.

mod lifecycle;
mod messages;
mod versions;

use clap::Subcommand;
use clap::builder::{PossibleValue, PossibleValuesParser};

use super::connect::Connect;
use super::denial::explained;
use super::{Error, Output};

/// Create keys, use them, rotate and delete them
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    connect: Connect,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Create new keys
    #[command(after_help = "Examples:\n  keyraft key create my-key\n  keyraft key create tenant-1 tenant-2")]
    Create {
        /// Names: 1 to 80 of A–Z a–z 0–9 _ -
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Create a key from key material of your own
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
    /// Show a key's cipher, and who created it and when
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
        /// Only keys whose names begin with this
        #[arg(default_value = "", value_name = "PREFIX", hide_default_value = true)]
        prefix: String,
    },
    /// Delete keys; after that, nobody can decrypt what they have encrypted
    #[command(after_help = RM_EXAMPLES)]
    Rm {
        /// The keys' names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Also delete a key that somebody used in the last day
        #[arg(short, long)]
        force: bool,
    },
    /// Bring deleted keys back within the server's deletion window
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore {
        /// The keys' names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Remove deleted keys for good, before their deletion window ends
    #[command(after_help = "Example:\n  keyraft key purge my-key")]
    Purge {
        /// The keys' names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Add a new version to keys; it encrypts from then on
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

Do not write the material on the command line: the shell's history and process lists would show it.";
const RM_EXAMPLES: &str = "\
Examples:
  keyraft key rm my-key
  keyraft key rm my-key --force          even if somebody used it in the last day

If the server has a deletion window, `keyraft key restore` brings the key back until the window ends.";
const RESTORE_EXAMPLES: &str = "\
Example:
  keyraft key restore my-key

The server has a deletion window if its configuration sets `keys.deletion_window`.";
const ROTATE_EXAMPLES: &str = "\
Examples:
  keyraft key rotate my-key
  keyraft key versions my-key

Older versions still decrypt what they have encrypted, and the HMAC of a message stays the same.";

/// The names of ciphers, with KES's longer names as aliases.
fn ciphers() -> PossibleValuesParser {
    let aliased = |name, alias| PossibleValue::new(name).alias(alias);
    PossibleValuesParser::new([aliased("AES256", "AES256-GCM_SHA256"), aliased("ChaCha20", "XCHACHA20-POLY1305")])
}

/// Runs the command.
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
