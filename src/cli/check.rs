//! `keyraft check`: finds what would keep a node from starting, without starting it.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::error_report::ReportedFinding;
use super::escape::printable;
use super::output::{DIM, GOOD, WARN};
use super::{Error, Output};
use crate::config::Finding;
use crate::node::{self, Checked};

/// Check a node's configuration and everything that it names, without starting or changing anything
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Configuration file of the node (YAML)
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  keyraft check config.yml
  sudo -u keyraft keyraft check /etc/keyraft/config.yml  as the user that runs the node, with its permissions
  keyraft check --json config.yml | jq -r '.problems[] | \"\\(.line): \\(.message)\"'

It reads the configuration, certificates, keys and CAs; looks up names; and compares the root key with the data folder,
also while a node runs on it. A problem keeps the node from starting or serving; a warning does not. A note names what
the command could not check.

Exit codes: 0 without a problem, 2 with one.";

/// Checks a configuration file, and prints every finding.
pub async fn run(args: &Args, output: Output) -> Result<(), Error> {
    let checked = node::check(&args.file).await;
    output.either(&as_json(args, &checked), || shown(args, &checked))?;
    if checked.problems.is_empty() { Ok(()) } else { Err(Error::Faulty(checked.problems)) }
}

fn as_json(args: &Args, Checked { problems, warnings, notes }: &Checked) -> Value {
    let list =
        |findings: &[Finding]| findings.iter().map(|finding| json!(ReportedFinding::of(finding))).collect::<Vec<_>>();
    json!({
        "file": args.file.display().to_string(),
        "ok": problems.is_empty(),
        "problems": list(problems),
        "warnings": list(warnings),
        "notes": list(notes),
    })
}

fn shown(args: &Args, Checked { problems, warnings, notes }: &Checked) -> String {
    let lines = |findings: &[Finding], label: &str| {
        let line = |finding: &Finding| {
            let message = printable(&finding.message);
            let place = Finding { message: String::new(), ..finding.clone() }.to_string();
            format!("{}{label}{message}", printable(&place))
        };
        findings.iter().map(line).collect::<Vec<_>>()
    };
    let count = |count: usize, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
    let counts = [(problems, "problem"), (warnings, "warning"), (notes, "note")];
    let counts: Vec<_> = counts.iter().map(|(findings, one)| count(findings.len(), one)).collect();
    let style = if problems.is_empty() { GOOD } else { WARN };
    let verdict = format!("{style}{}:{style:#} {}", printable(&args.file.display().to_string()), counts.join(", "));
    [
        lines(problems, ""),
        lines(warnings, &format!("{WARN}warning:{WARN:#} ")),
        lines(notes, &format!("{DIM}note:{DIM:#} ")),
        vec![verdict],
    ]
    .concat()
    .join("\n")
}
