//! `keyraft policy`: manages what identities may do.

mod apply;
mod edit;
mod open_siblings;
mod unmatched;
mod view;

use std::path::PathBuf;

use clap::Subcommand;

pub use self::apply::{ApplyOptions, apply, load};
use super::batch::in_turn;
use super::connect::Connect;
use super::denial::explained;
use super::{Error, Output};
use crate::policy::Identity;

/// Manage what identities may do
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    connect: Connect,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Create a policy
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// The policy's name
        name: String,
        /// JSON file with `allow` and `deny`, as `keyraft policy show --json` prints it; `-` for standard input
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Allow requests to these paths; may be given several times
        #[arg(long, value_name = "PATTERN")]
        allow: Vec<String>,
        /// Deny requests to these paths, even if another pattern allows them
        #[arg(long, value_name = "PATTERN")]
        deny: Vec<String>,
        /// Replace the policy if it exists
        #[arg(long)]
        replace: bool,
    },
    /// Add patterns to a policy, or remove some
    #[command(after_help = EDIT_EXAMPLES)]
    Edit {
        /// The policy's name
        name: String,
        /// Also allow requests to these paths
        #[arg(long, value_name = "PATTERN")]
        allow: Vec<String>,
        /// Deny requests to these paths, even if another pattern allows them
        #[arg(long, value_name = "PATTERN")]
        deny: Vec<String>,
        /// Remove this pattern from the policy, whether it allows or denies
        #[arg(long, value_name = "PATTERN")]
        drop: Vec<String>,
    },
    /// Show who created a policy, and when
    #[command(after_help = "Example:\n  keyraft policy info my-app")]
    Info {
        /// The policy's name
        name: String,
    },
    /// List policies
    #[command(after_help = "Examples:\n  keyraft policy ls\n  keyraft policy ls 'tenant-*'")]
    Ls {
        /// Only policies whose names begin with this
        #[arg(default_value = "", value_name = "PREFIX", hide_default_value = true)]
        prefix: String,
    },
    /// Show what a policy allows and denies
    #[command(
        after_help = "Examples:\n  keyraft policy show my-app\n  keyraft policy show my-app --json > my-app.json"
    )]
    Show {
        /// The policy's name
        name: String,
    },
    /// Give identities a policy, in place of the one that they have
    #[command(after_help = ASSIGN_EXAMPLES)]
    Assign {
        /// The policy's name
        policy: String,
        /// The identities: 64 hexadecimal digits, as `keyraft identity of` prints them
        #[arg(required = true, value_name = "IDENTITY")]
        identities: Vec<Identity>,
    },
    /// Make the server's policies and assignments match a file
    #[command(after_help = apply::EXAMPLES)]
    Apply(apply::Args),
    /// Delete policies; the identities that have them lose all access
    #[command(after_help = "Example:\n  keyraft policy rm my-app")]
    Rm {
        /// The policies' names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

const CREATE_EXAMPLES: &str = "\
Examples:
  keyraft policy create my-app --allow '/v1/key/create/my-app*' --allow '/v1/key/generate/my-app*' \\
                               --allow '/v1/key/decrypt/my-app*'
  keyraft policy create ops --allow '/v1/*' --deny '/v1/key/delete/*'
  keyraft policy create my-app my-app.json --replace

A pattern is a path, or the beginning of a path and a '*'. If --allow and --deny both match a path, --deny wins.";
const EDIT_EXAMPLES: &str = "\
Examples:
  keyraft policy edit my-app --allow '/v1/key/list/*'
  keyraft policy edit my-app --drop '/v1/key/delete/*' --deny '/v1/key/delete/prod-*'";
const ASSIGN_EXAMPLES: &str = "\
Examples:
  keyraft policy assign my-app $(keyraft identity of app.crt)
  keyraft identity new --policy my-app              a new identity, with the policy at once";

/// Runs the command.
pub async fn run(args: &Args, output: Output) -> Result<(), Error> {
    explained(&args.connect, act(args, output)).await
}

async fn act(args: &Args, output: Output) -> Result<(), Error> {
    let client = args.connect.client()?;
    match &args.action {
        Action::Create { name, file, allow, deny, replace } => {
            let policy = edit::described(file.as_deref(), allow, deny)?;
            edit::create(&client, name, &policy, *replace, output).await
        }
        Action::Edit { name, allow, deny, drop } => {
            let change = edit::PolicyEdit::parse(allow, deny, drop)?;
            edit::edit(&client, name, &change, output).await
        }
        Action::Info { name } => view::describe(&client, name, output).await,
        Action::Ls { prefix } => view::list(&client, prefix, output).await,
        Action::Show { name } => view::show(&client, name, output).await,
        Action::Assign { policy, identities } => {
            let assign = async |one: &Identity| edit::assign(&client, policy, *one, output).await;
            in_turn(identities, assign).await
        }
        Action::Apply(args) => apply::run(&client, args, output).await,
        Action::Rm { names } => in_turn(names, async |one: &String| edit::remove(&client, one, output).await).await,
    }
}
