//! `keyraft server`: one node.

use std::path::PathBuf;

use super::Error;
use crate::node;

/// Run one node
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Configuration file of the node (YAML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  keyraft server --config config.yml
  keyraft dev --prepare && keyraft server --config keyraft-dev/node-1/config.yml

Signals:
  SIGHUP            reads the configuration again
  SIGTERM, SIGINT   finishes what is in flight, hands over leadership and ends";

/// Runs a node until it is told to stop.
pub fn run(args: &Args) -> Result<(), Error> {
    node::run(&args.config).map_err(Error::Node)
}
