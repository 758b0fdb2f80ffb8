//! `keyraft dev`: makes a cluster on this machine once, keeps it, and runs each node as a process of its own.

mod env_file;
mod error;
mod layout;
mod next_steps;
mod node_config;
mod nodes;
mod prepare;

use std::path::PathBuf;

use serde_json::json;

pub use self::error::DevError;
use self::layout::Layout;
use self::prepare::DevOptions;
use super::Output;

/// Run a cluster on this machine, to try things out
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folder of the cluster: certificates, keys, and a folder for each node
    #[arg(long, default_value = "keyraft-dev")]
    dir: PathBuf,
    /// Port of the first node's API; the others follow, and peer ports are 100 above [default: 7373]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=65_000))]
    port: Option<u16>,
    /// How many nodes, 1 to 9 [default: 3]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: Option<u16>,
    /// KES configuration file to take admin, policies, keys, api, log and tls.auth from
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write all files and end, without starting the nodes
    #[arg(long)]
    prepare: bool,
}

const EXAMPLES: &str = "\
Examples:
  keyraft dev                                  three nodes on 127.0.0.1:7373, :7374 and :7375
  keyraft dev --config kes.yml --dir try-kes   your own KES configuration on a throw-away cluster
  keyraft dev --prepare                        write the files only; then, in three shells:
  keyraft server --config keyraft-dev/node-1/config.yml

Ctrl-C drains and stops the nodes. Run the command again, and everything is still there.
To begin with an empty cluster, choose another --dir.";

/// Makes the cluster if it does not exist, and runs its nodes until the user stops them.
pub async fn run(args: &Args, output: Output) -> Result<(), super::Error> {
    let options =
        DevOptions { dir: args.dir.clone(), port: args.port, nodes: args.nodes, config: args.config.clone(), output };
    let layout = prepare::open_or_make(&options)?;
    if args.prepare {
        return output.either(&summary(&layout, &[]), || next_steps::prepared(&layout));
    }
    let mut nodes = nodes::start(&layout, output).await?;
    let pids = nodes.pids();
    output.either(&summary(&layout, &pids), || next_steps::running(&layout, &pids))?;
    nodes.watch_until_stopped().await?;
    Ok(())
}

fn summary(layout: &Layout, pids: &[u32]) -> serde_json::Value {
    let node = |number: u16| {
        json!({
            "name": layout.node_name(number),
            "api": format!("https://{}", layout.api_address(number)),
            "config": layout.node_config(number),
            "log": layout.node_log(number),
            "pid": pids.get(usize::from(number) - 1),
        })
    };
    json!({
        "dir": layout.dir(),
        "env": layout.environment(),
        "nodes": layout.numbers().map(node).collect::<Vec<_>>(),
        "first_steps": next_steps::first_steps(layout),
        "first_policy": next_steps::first_policy(),
    })
}
