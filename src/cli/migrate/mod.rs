//! `keyraft migrate`: copies keys, policies and identities from KES or MinIO.

mod config;
mod keystore;
mod old_server;
mod preflight;
mod proof;
mod report;
mod source;
mod static_key;
mod stored_key;
mod transfer;

use std::path::PathBuf;

use clap::Subcommand;

use self::old_server::OldServer;
use self::source::KeySource;
use self::transfer::TransferPlan;
use super::connect::Connect;
use super::denial::explained;
use super::{Error, Output};
use crate::client::{self, ApiClient};
use crate::crypto::Cipher;

/// Copy keys, policies and identities from KES or MinIO
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    connect: Connect,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Copy the keys of a KES file keystore
    #[command(after_help = KEYSTORE_EXAMPLES)]
    Keystore {
        /// The keystore's folder, with a file for each key; the command only reads it
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Show what would change, and change nothing
        #[arg(short = 'n', long)]
        dry_run: bool,
        #[command(flatten)]
        old: OldServer,
    },
    /// Copy the key of a MinIO without a key server: NAME:KEY, in base64 or hex
    #[command(after_help = STATIC_EXAMPLES)]
    Static {
        /// File with lines of `NAME:BASE64`, or MinIO's environment file; `-` for standard input [default: the variable
        /// MINIO_KMS_SECRET_KEY]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// The cipher that MinIO used it with: AES256, or ChaCha20 on processors without AES
        #[arg(long, default_value = "AES256")]
        cipher: Cipher,
        /// Show what would change, and change nothing
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
    /// Copy the policies and identities of a KES configuration file
    #[command(after_help = CONFIG_EXAMPLES)]
    Config {
        /// The configuration file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Show what would change, and change nothing
        #[arg(short = 'n', long)]
        dry_run: bool,
        /// Apply the changes without asking
        #[arg(short, long)]
        yes: bool,
    },
}

const KEYSTORE_EXAMPLES: &str = "\
Examples:
  keyraft migrate keystore /var/lib/kes/keys --dry-run
  keyraft migrate keystore /var/lib/kes/keys --verify https://old-kes:7373
  keyraft migrate keystore /var/lib/kes/keys --json | jq '.keys[] | select(.outcome == \"failed\")'

The command proves every key after its import: the new server must decrypt what the file's key encrypts, and HMACs
must agree. It proves a key that the new server already has in the same way, and never overwrites it. After a
failure, run the command again: it goes on where it stopped.";
const STATIC_EXAMPLES: &str = "\
Examples:
  keyraft migrate static                            reads MINIO_KMS_SECRET_KEY
  keyraft migrate static /etc/default/minio
  pass show minio-kms | keyraft migrate static -

The key cannot be an argument, because process lists and the shell's history would show it.";
const CONFIG_EXAMPLES: &str = "\
Examples:
  keyraft migrate config kes.yml --dry-run          exit code 6 if anything would change
  keyraft migrate config kes.yml

This does the same as `keyraft policy apply`, which can also delete what is not in the file.";

/// Runs the command.
pub async fn run(args: &Args, output: Output) -> Result<(), Error> {
    explained(&args.connect, act(args, output)).await
}

async fn act(args: &Args, output: Output) -> Result<(), Error> {
    match &args.action {
        Action::Keystore { dir, dry_run, old } => migrate_keys(args, keystore::read(dir)?, *dry_run, old, output).await,
        Action::Static { file, cipher, dry_run } => {
            migrate_keys(args, static_key::read(file.as_deref(), *cipher)?, *dry_run, &OldServer::default(), output)
                .await
        }
        Action::Config { file, dry_run, yes } => {
            config::run(&args.connect.client()?, file, *dry_run, *yes, output).await
        }
    }
}

async fn migrate_keys(
    args: &Args,
    source: KeySource,
    dry_run: bool,
    old: &OldServer,
    output: Output,
) -> Result<(), Error> {
    let settings = args.connect.settings()?;
    let old = old.client(&settings)?;
    let client = args.connect.client()?;
    let keeps_origin = is_admin(&client).await?;
    if !keeps_origin && !source.keys.is_empty() {
        output.warn(
            "only an admin can keep the dates and creators of keys: these keys get today's date, and you as their creator",
        );
    }
    let (report, outcome) = transfer::run(&TransferPlan { client, old, dry_run, keeps_origin }, source).await?;
    output.either(&report.json(), || report.render())?;
    outcome.and_then(|()| report.verdict())
}

async fn is_admin(client: &ApiClient) -> Result<bool, Error> {
    match client.describe_self().await {
        Ok(own) => Ok(own.admin),
        Err(client::Error::Status { status: 400..500, .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
