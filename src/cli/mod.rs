//! The command line: one file per command group.

mod audit;
mod batch;
mod bench;
mod check;
mod cluster;
mod completion;
mod connect;
mod denial;
mod dev;
mod diagnostics;
mod encoding;
mod error;
mod error_report;
mod escape;
mod help;
mod identity;
mod key;
mod log;
mod man;
mod metric;
mod migrate;
mod output;
mod policy;
mod prompt;
mod server;
mod usage;

use std::future::Future;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use self::error::Error;
use self::output::Output;
pub use self::usage::misused;

/// Colours of `--help`.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default())
    .error(AnsiColor::Red.on_default().bold());

const AFTER_HELP: &str = "\
Start here:
  keyraft dev                          run three nodes on this machine, to try things out
  source keyraft-dev/env               give this shell their addresses and your API key
  keyraft key create my-key            create a key
  keyraft cluster status               see which node leads

Environment:
  MINIO_KES_SERVER     servers, separated by commas (127.0.0.1:7373); also KES_SERVER, MINIO_KMS_KES_ENDPOINT
  MINIO_KES_API_KEY    your API key; also KES_API_KEY, MINIO_KMS_KES_API_KEY
  MINIO_KES_CERT_FILE  your client certificate, in place of an API key; also KES_CLIENT_CERT
  MINIO_KES_KEY_FILE   its private key; also KES_CLIENT_KEY
  KEYRAFT_CA           PEM file of the CA to trust, in place of SSL_CERT_FILE and the system's

An option wins over a variable. MINIO_KES_* wins over KES_*, and that over MinIO's own MINIO_KMS_KES_*.

Exit codes:
  0    done
  1    failed or refused
  2    wrong usage or settings
  3    no server answered in time, or the cluster has no leader
  4    not permitted
  5    does not exist
  6    a dry run found something to do
  130  ended with Ctrl-C";

/// A replicated key management server that speaks the KES API.
#[derive(Parser)]
#[command(name = "keyraft", version, styles = STYLES, after_help = AFTER_HELP)]
pub struct Cli {
    /// Print JSON, also for errors; without it, only results are JSON, and only if the output is not a terminal
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Dev(dev::Args),
    Server(server::Args),
    Check(check::Args),
    Key(key::Args),
    Policy(policy::Args),
    Identity(identity::Args),
    Cluster(cluster::Args),
    Metric(metric::Args),
    Log(log::Args),
    Audit(audit::Args),
    Migrate(migrate::Args),
    Bench(bench::Args),
    Completion(completion::Args),
    Man(man::Args),
}

impl Cli {
    /// Reads the arguments of this process.
    ///
    /// # Errors
    /// The arguments are not a valid command, or they ask for help; [`misused`] prints either.
    pub fn of_process() -> Result<Self, clap::Error> {
        Self::from_arg_matches(&help::fitted(Self::command()).try_get_matches()?)
    }

    /// Whether the arguments have `--json`, so that errors are JSON, too.
    pub fn wants_json(&self) -> bool {
        self.json
    }
}

/// Runs the command.
///
/// # Errors
/// The command failed; [`Error::report`] prints why.
pub fn run(cli: Cli) -> Result<(), Error> {
    let output = Output::new(cli.json);
    match cli.command {
        Command::Dev(args) => block_on(dev::run(&args, output)),
        Command::Check(args) => block_on(check::run(&args, output)),
        Command::Server(args) => server::run(&args),
        Command::Key(args) => block_on(key::run(&args, output)),
        Command::Policy(args) => block_on(policy::run(&args, output)),
        Command::Identity(args) => block_on(identity::run(&args, output)),
        Command::Cluster(args) => block_on(cluster::run(&args, output)),
        Command::Audit(args) => audit::run(&args, output),
        Command::Metric(args) => block_on(metric::run(&args, output)),
        Command::Migrate(args) => block_on(migrate::run(&args, output)),
        Command::Log(args) => block_on(log::run(&args, output)),
        Command::Bench(args) => block_on(bench::run(&args, output)),
        Command::Completion(args) => completion::run(&args, Cli::command(), output),
        Command::Man(args) => man::run(&args, Cli::command(), output),
    }
}

fn block_on(command: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(Error::Runtime)?.block_on(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_command_is_documented() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        assert_documented(&command);
    }

    #[test]
    fn the_documentation_names_every_command_and_exit_code() {
        let text = include_str!("../../docs/command-line.md");
        let command = Cli::command();
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let lines: Vec<_> = text.lines().filter(|line| line.starts_with("| `keyraft")).collect();
            let (name, listed) = (sub.get_name(), |word: &str| lines.iter().any(|line| line.contains(word)));
            assert!(listed(&format!("`keyraft {name}")) || listed(&format!("`{name}`")), "{name}");
            for action in sub.get_subcommands() {
                let action = action.get_name();
                assert!(listed(&format!("{name} {action}`")) || listed(&format!("`{action}`")), "{name} {action}");
            }
        }
        for code in 0..=6 {
            assert!(text.contains(&format!("\n| {code} | ")), "{code}");
        }
    }

    fn assert_documented(command: &clap::Command) {
        assert!(command.get_about().is_some(), "{} has no description", command.get_name());
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            assert!(argument.get_help().is_some(), "{} of {} has no help", argument.get_id(), command.get_name());
        }
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let examples = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            let has_one = examples.starts_with("Example") && examples.contains("keyraft ");
            assert!(sub.has_subcommands() || has_one, "{} has no example", sub.get_name());
            assert_documented(sub);
        }
    }
}
