//! `keyraft cluster`: what the nodes are doing.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use clap::builder::styling::Style;

use super::connect::Connect;
use super::denial::explained;
use super::output::{GOOD, STRONG, WARN, fields, table};
use super::text::printable;
use super::{Error, Output};
use crate::client::{ClusterStatus, MemberStatus, local_cluster_status};
use crate::config::Config;

/// See what the nodes are doing
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    connect: Connect,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show the members, the leader, and how far each has come
    #[command(after_help = EXAMPLES)]
    Status {
        /// Ask the node of this configuration file, on this machine, by its local socket
        #[arg(long, value_name = "FILE", conflicts_with = "data")]
        config: Option<PathBuf>,
        /// Ask the node with this data folder, on this machine, by its local socket
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
}

const EXAMPLES: &str = "\
Examples:
  keyraft cluster status
  keyraft cluster status --server 127.0.0.1:7374        as the second node sees it
  keyraft cluster status --config node-1/config.yml     on the node's machine, even while it is sealed";

/// Prints the state of the cluster.
pub async fn run(args: &Args, output: Output) -> Result<(), Error> {
    explained(&args.connect, act(args, output)).await
}

async fn act(args: &Args, output: Output) -> Result<(), Error> {
    let Action::Status { config, data } = &args.action;
    let status = match (config, data) {
        (Some(config), _) => local_cluster_status(&data_folder(config)?).await?,
        (None, Some(data)) => local_cluster_status(data).await?,
        (None, None) => args.connect.client()?.cluster_status().await?,
    };
    output.either(&status, || render(&status))
}

fn data_folder(config: &Path) -> Result<PathBuf, Error> {
    let (config, _) = Config::load(config).map_err(Error::Config)?;
    Ok(config.cluster.data)
}

fn render(status: &ClusterStatus) -> String {
    let summary = summary(status);
    if status.members.is_empty() { summary } else { format!("{summary}\n\n{}", members(status)) }
}

fn summary(status: &ClusterStatus) -> String {
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let style = if status.state() == "serving" { GOOD } else { WARN };
    fields([
        ("cluster", printable(status.cluster_id.as_deref().unwrap_or_default())),
        ("node", paint(STRONG, &status.node.name)),
        ("version", printable(&status.node.version)),
        ("state", paint(style, status.state())),
        ("reason", printable(status.reason.as_deref().unwrap_or_default())),
        ("leader", leader(status)),
        ("term", number(status.term)),
        ("committed", number(status.committed)),
        ("applied", number(status.applied)),
        ("digest", printable(status.digest.as_deref().unwrap_or_default())),
        ("audit key", printable(status.node.audit_key.as_deref().unwrap_or_default())),
    ])
}

fn leader(status: &ClusterStatus) -> String {
    let Some(leader) = status.leader else { return paint(WARN, "none") };
    let name = status.members.iter().find(|member| member.id == leader).map(|member| member.name.as_str());
    name.map_or_else(|| format!("node id {leader}"), printable)
}

fn members(status: &ClusterStatus) -> String {
    table(["ID", "NAME", "ROLE", "ADDRESS", "PEER", "LAG"], status.members.iter().map(row))
}

fn row(member: &MemberStatus) -> [String; 6] {
    [
        member.id.to_string(),
        member.name.clone(),
        member.role.clone(),
        member.address.clone(),
        member.peer_address.clone(),
        member.lag.map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
    ]
}

fn paint(style: Style, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{style}{}{style:#}", printable(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(status: &str) -> String {
        let status: ClusterStatus = serde_json::from_str(status).unwrap();
        anstream::adapter::strip_str(&render(&status)).to_string()
    }

    #[test]
    fn a_cluster_is_a_summary_and_a_table() {
        let shown = plain(
            r#"{"cluster_id":"c1","node":{"id":1,"name":"node-1","state":"serving"},"leader":2,"term":3,
                "members":[{"id":1,"name":"node-1","role":"follower","address":"a:1","peer_address":"a:2","lag":null},
                           {"id":2,"name":"node-2","role":"leader","address":"b:1","peer_address":"b:2","lag":0}]}"#,
        );
        assert!(shown.contains("leader   node-2"), "{shown}");
        assert!(shown.lines().any(|line| line.split_whitespace().eq(["1", "node-1", "follower", "a:1", "a:2", "-"])));
    }

    #[test]
    fn a_sealed_node_says_so_and_why_with_next_to_nothing_else() {
        let shown = plain(r#"{"state":"sealed","reason":"the root key does not open the ring"}"#);
        assert_eq!(shown.lines().count(), 3, "{shown}");
        assert!(shown.contains("sealed") && shown.contains("does not open"));
    }
}
