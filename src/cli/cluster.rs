//! `keyraft cluster`: shows what the nodes are doing.

mod leader;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use clap::builder::styling::Style;

use super::connect::Connect;
use super::denial::explained;
use super::escape::printable;
use super::output::{GOOD, STRONG, WARN, fields, table};
use super::{Error, Output};
use crate::client::{ClusterStatus, LevelRange, MemberStatus, local_cluster_status};
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
    /// Show the members, the leader, and how far behind each member is
    #[command(after_help = EXAMPLES)]
    Status {
        /// Ask the node of this configuration file, on this machine, through its local socket
        #[arg(long, value_name = "FILE", conflicts_with = "data")]
        config: Option<PathBuf>,
        /// Ask the node with this data folder, on this machine, through its local socket
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
}

const EXAMPLES: &str = "\
Examples:
  keyraft cluster status
  keyraft cluster status --server 127.0.0.1:7374        as the second node sees it
  keyraft cluster status --config node-1/config.yml     on the node's machine, even while it is sealed

Only the leader knows how far the others are behind and when it last heard from them, so the command asks it, too.";

/// Prints the state of the cluster.
pub async fn run(args: &Args, output: Output) -> Result<(), Error> {
    explained(&args.connect, act(args, output)).await
}

async fn act(args: &Args, output: Output) -> Result<(), Error> {
    let Action::Status { config, data } = &args.action;
    let status = match (config, data) {
        (Some(config), _) => local_cluster_status(&data_folder(config)?).await?,
        (None, Some(data)) => local_cluster_status(data).await?,
        (None, None) => {
            let status = args.connect.client()?.cluster_status().await?;
            leader::with_leader_figures(&args.connect, status, output).await
        }
    };
    output.either(&status, || render(&status))
}

fn data_folder(config: &Path) -> Result<PathBuf, Error> {
    let (config, _) = Config::load(config).map_err(Error::Config)?;
    Ok(config.cluster.data)
}

fn render(status: &ClusterStatus) -> String {
    let members = if status.members.is_empty() { String::new() } else { members(status) };
    let parts = [summary(status), waits(status), members, problems(status)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// What the node waits for, one thing on a line.
fn waits(status: &ClusterStatus) -> String {
    let lines = status.waiting_for.iter().flatten().map(|wait| format!("  {}", printable(wait)));
    titled("This node waits:", lines)
}

/// What is wrong between the node that answers and each member, one member on a line.
fn problems(status: &ClusterStatus) -> String {
    let line = |member: &MemberStatus| {
        let problem = member.problem.as_ref()?;
        let (name, reason) = (printable(&member.name), printable(&problem.reason));
        Some(format!("  {name} {reason} (for {})", duration_text(problem.for_ms / 1000)))
    };
    let full = status.members.iter().filter(|member| member.lacks_room);
    let full = full.map(|member| format!("  {} lacks room on the disk of its data folder", printable(&member.name)));
    let lines = status.members.iter().filter_map(line).chain(full);
    titled(&format!("Problems, as {} sees them:", printable(&status.node.name)), lines)
}

fn titled(title: &str, lines: impl Iterator<Item = String>) -> String {
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() { String::new() } else { format!("{WARN}{title}{WARN:#}\n{}", lines.join("\n")) }
}

fn summary(status: &ClusterStatus) -> String {
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let reason = status.reason.as_ref().or(status.node.reason.as_ref());
    let style = if status.state() == "serving" { GOOD } else { WARN };
    fields([
        ("cluster", printable(status.cluster_id.as_deref().unwrap_or_default())),
        ("node", paint(STRONG, &status.node.name)),
        ("version", printable(&status.node.version)),
        ("state", paint(style, status.state())),
        ("reason", printable(reason.map_or("", String::as_str))),
        ("level", number(status.level.map(u64::from))),
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
    let header = ["ID", "NAME", "ROLE", "ADDRESS", "PEER", "VERSION", "LEVELS", "LAG", "SEEN"];
    table(header, status.members.iter().map(|member| row(member, status.node.id == Some(member.id))))
}

fn row(member: &MemberStatus, answers: bool) -> [String; 9] {
    [
        member.id.to_string(),
        member.name.clone(),
        member.role.clone(),
        member.address.clone(),
        member.peer_address.clone(),
        member.version.clone().unwrap_or_else(|| "-".to_owned()),
        member.levels.map_or_else(|| "-".to_owned(), level_range),
        member.lag.map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
        // The node that answers is up, even if its leader has not heard from it.
        if answers { last_heard(Some(0)) } else { last_heard(member.heard_ms) },
    ]
}

/// The feature levels that a member can read.
fn level_range(LevelRange { lowest, highest }: LevelRange) -> String {
    if lowest == highest { lowest.to_string() } else { format!("{lowest}-{highest}") }
}

/// How long ago the leader heard from a member.
fn last_heard(heard_ms: Option<u64>) -> String {
    match heard_ms.map(|ms| ms / 1000) {
        None => "-".to_owned(),
        Some(0) => "now".to_owned(),
        Some(seconds) => format!("{} ago", duration_text(seconds)),
    }
}

fn duration_text(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
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
            r#"{"cluster_id":"c1","node":{"id":1,"name":"node-1","state":"serving"},"level":1,"leader":2,"term":3,
                "members":[{"id":1,"name":"node-1","role":"follower","address":"a:1","peer_address":"a:2","lag":null},
                           {"id":2,"name":"node-2","role":"leader","address":"b:1","peer_address":"b:2","lag":0,
                            "version":"1.2.3","levels":{"lowest":1,"highest":2}},
                           {"id":3,"name":"node-3","role":"follower","address":"c:1","peer_address":"c:2","lag":7,
                            "heard_ms":3900}]}"#,
        );
        assert!(shown.contains("leader   node-2") && shown.contains("level    1\n"), "{shown}");
        let has = |cells: &[&str]| shown.lines().any(|line| line.split_whitespace().eq(cells.iter().copied()));
        assert!(has(&["1", "node-1", "follower", "a:1", "a:2", "-", "-", "-", "now"]), "{shown}");
        let second = ["2", "node-2", "leader", "b:1", "b:2", "1.2.3", "1-2", "0", "-"];
        assert!(has(&second), "an older server says nothing: {shown}");
        assert!(has(&["3", "node-3", "follower", "c:1", "c:2", "-", "-", "7", "3", "s", "ago"]), "{shown}");
    }

    #[test]
    fn the_time_since_a_member_was_heard_is_rounded_down() {
        for (ms, shown) in [(999, "now"), (1000, "1 s ago"), (150_000, "2 min ago"), (9_000_000, "2 h ago")] {
            assert_eq!(last_heard(Some(ms)), shown);
        }
    }

    #[test]
    fn a_waiting_node_shows_what_it_waits_for_and_which_members_it_cannot_reach() {
        let shown = plain(
            r#"{"node":{"id":1,"name":"node-1","state":"offline","reason":"no leader"},"waiting_for":["a leader"],
                "members":[{"id":2,"name":"node-2","lag":null,
                            "problem":{"reason":"cannot be reached: connection refused","for_ms":4200}}]}"#,
        );
        let expected = ["reason  no leader", "This node waits:\n  a leader", "Problems, as node-1 sees them:"];
        assert!(expected.iter().all(|part| shown.contains(part)), "{shown}");
        assert!(shown.contains("  node-2 cannot be reached: connection refused (for 4 s)"), "{shown}");
    }

    #[test]
    fn a_sealed_node_shows_its_state_and_the_reason() {
        let shown = plain(r#"{"state":"sealed","reason":"the root key does not open the ring"}"#);
        assert_eq!(shown.lines().count(), 3, "{shown}");
        assert!(shown.contains("sealed") && shown.contains("does not open"));
    }
}
