//! `keyraft log`: shows what happens on a node, or on all of them.

mod events;
mod follow;

use clap::Subcommand;

use super::connect::Connect;
use super::denial::explained;
use super::{Error, Output};
use crate::client::{LogKind, LogQuery};

/// See what happens on a node, or on all of them
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    connect: Connect,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show requests: who asked for what, when, and with which result
    #[command(after_help = AUDIT_EXAMPLES)]
    Audit(Options),
    /// Show the errors of a node
    #[command(after_help = ERROR_EXAMPLES)]
    Error(Options),
}

#[derive(clap::Args)]
struct Options {
    /// Also show new events as they happen, until you stop the command
    #[arg(short, long)]
    follow: bool,
    /// Begin with this many of the last events; with --cluster, of each node. A node keeps 256 [default: all; 10 with --follow]
    #[arg(short = 'n', long, value_name = "N")]
    tail: Option<usize>,
    /// Show the events of every node, each with the node's name
    #[arg(long)]
    cluster: bool,
}

const AUDIT_EXAMPLES: &str = "\
Examples:
  keyraft log audit                                     the last requests of the node that answers
  keyraft log audit --follow --cluster                  every request to every node, as it happens
  keyraft log audit --follow | jq 'select(.response.code >= 400)'

If you read too slowly, a line says how many events were lost. When the command loses its server, it follows
the next server of the list and says so. A node's audit file holds all events.";

const ERROR_EXAMPLES: &str = "\
Examples:
  keyraft log error --tail 20
  keyraft log error --follow --cluster";

/// How many earlier events `--follow` shows first.
const BEFORE_FOLLOWING: usize = 10;

/// Prints the events of a log.
pub async fn run(args: &Args, output: Output) -> Result<(), Error> {
    explained(&args.connect, act(args, output)).await
}

async fn act(args: &Args, output: Output) -> Result<(), Error> {
    let (log, Options { follow, tail, cluster }) = match &args.action {
        Action::Audit(options) => (LogKind::Audit, options),
        Action::Error(options) => (LogKind::Error, options),
    };
    let tail = tail.unwrap_or(if *follow { BEFORE_FOLLOWING } else { usize::MAX });
    let query = LogQuery { tail, follow: *follow, cluster: *cluster };
    let client = args.connect.client()?;
    let mut events = client.log(log, query).await?;
    let end = events::show(&mut events, output).await?;
    if *follow {
        follow::follow(&client, log, query, (events, end), output).await
    } else {
        end.map_or(Ok(()), |error| Err(error.into()))
    }
}
