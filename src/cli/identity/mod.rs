//! `keyraft identity`: makes API keys, computes identities, and manages those of a server.

mod compute;
mod manage;
mod new;

use std::path::PathBuf;

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;

use super::connect::{Connect, ConnectByKey};
use super::denial::explained;
use super::{Error, Output};
use crate::client::NewRole;
use crate::policy::Identity;

/// Manage identities, and see what they may do
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make an API key, with which a client shows who it is
    #[command(after_help = NEW_EXAMPLES)]
    New {
        /// Also write the API key's certificate to this file, in PEM
        #[arg(long, value_name = "FILE", requires = "key")]
        cert: Option<PathBuf>,
        /// Also write the certificate's private key to this file
        #[arg(long, value_name = "FILE", requires = "cert")]
        key: Option<PathBuf>,
        #[command(flatten)]
        role: RoleArgs,
        /// Print only the API key
        #[arg(long, conflicts_with = "json")]
        bare: bool,
        #[command(flatten)]
        connect: ConnectByKey,
    },
    /// Show the identity of an API key or a certificate
    #[command(after_help = OF_EXAMPLES)]
    Of {
        /// API key, certificate file (PEM or DER), or `-` for either on standard input [default: your own, from the
        /// environment]
        #[arg(value_name = "API-KEY|FILE")]
        what: Option<String>,
    },
    /// Add an identity to the server, with a policy or as an admin
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// The identity: 64 hexadecimal digits, as `keyraft identity of` prints it
        identity: Identity,
        #[command(flatten)]
        role: RoleArgs,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show the role of an identity, or who you are and what you may do
    #[command(
        after_help = "Examples:\n  keyraft identity info\n  keyraft identity info \"$(keyraft identity of app.crt)\""
    )]
    Info {
        #[command(flatten)]
        connect: Connect,
        /// The identity [default: your own]
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        identity: Option<String>,
    },
    /// List the identities that have a policy, and the admins
    #[command(after_help = "Examples:\n  keyraft identity ls\n  keyraft identity ls 'ea98*'")]
    Ls {
        #[command(flatten)]
        connect: Connect,
        /// Only identities that begin with this
        #[arg(default_value = "", value_name = "PREFIX", hide_default_value = true)]
        prefix: String,
    },
    /// Delete identities from the server; they lose all access
    #[command(after_help = "Example:\n  keyraft identity rm $(keyraft identity of app.crt)")]
    Rm {
        #[command(flatten)]
        connect: Connect,
        /// The identities
        #[arg(required = true, value_name = "IDENTITY", value_parser = NonEmptyStringValueParser::new())]
        identities: Vec<String>,
    },
}

/// The role of a new identity.
#[derive(Clone, clap::Args)]
struct RoleArgs {
    /// Give the identity this policy
    #[arg(long, value_name = "NAME", conflicts_with = "admin")]
    policy: Option<String>,
    /// Make the identity an admin, who may do everything
    #[arg(long)]
    admin: bool,
}

impl RoleArgs {
    fn role(&self) -> Option<NewRole> {
        if self.admin { Some(NewRole::Admin) } else { self.policy.clone().map(NewRole::Policy) }
    }
}

const NEW_EXAMPLES: &str = "\
Examples:
  keyraft identity new                                  makes an API key, and sends nothing to a server
  keyraft identity new --policy my-app                  also adds the identity to the server, with a policy
  keyraft identity new --admin                          also adds it, as an admin
  keyraft identity new --cert app.crt --key app.key     also writes files, for curl and other clients
  export MINIO_KES_API_KEY=$(keyraft identity new --policy my-app --bare)

The server stores only the identity. Keep the API key, and keep it secret: nobody can show it again.";
const OF_EXAMPLES: &str = "\
Examples:
  keyraft identity of                                   your own, from MINIO_KES_API_KEY or MINIO_KES_CERT_FILE
  keyraft identity of client.crt
  keyraft identity of - < api-key.txt

The command prints only the 64 digits, also into a pipe. With --json it prints JSON.";
const CREATE_EXAMPLES: &str = "\
Examples:
  keyraft identity create $(keyraft identity of app.crt) --policy my-app
  keyraft identity create $(keyraft identity of ops.crt) --admin

To give another policy to an identity that the server already has, use `keyraft policy assign`.";

/// Runs the command.
pub async fn run(args: &Args, output: Output) -> Result<(), Error> {
    match &args.action {
        Action::New { connect, cert, key, role, bare } => {
            let connect = Connect::from(connect.clone());
            let form = if *bare { new::NewKeyOutput::Bare } else { new::NewKeyOutput::Whole };
            let files = cert.as_deref().zip(key.as_deref());
            explained(&connect, new::run(&connect, files, role.role(), form, output)).await
        }
        Action::Of { what } => compute::run(what.as_deref(), output),
        Action::Create { connect, identity, role } => {
            let Some(role) = role.role() else {
                let reason = "give the new identity a policy, or make it an admin with --admin".to_owned();
                return Err(Error::Setting { name: "--policy".to_owned(), reason });
            };
            explained(connect, manage::create(connect, *identity, &role, output)).await
        }
        Action::Info { connect, identity: Some(identity) } => {
            explained(connect, manage::describe(connect, identity, output)).await
        }
        Action::Info { connect, identity: None } => explained(connect, manage::describe_self(connect, output)).await,
        Action::Ls { connect, prefix } => explained(connect, manage::list(connect, prefix, output)).await,
        Action::Rm { connect, identities } => explained(connect, manage::remove(connect, identities, output)).await,
    }
}
