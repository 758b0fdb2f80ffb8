//! `keyraft audit`: checking audit files offline.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::output::{DIM, GOOD, WARN, fields};
use super::{Error, Output};
use crate::crypto::VerifyingKey;
use crate::telemetry::{Finding, Report, Verifier, in_order};

/// Check audit files
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Find records of a node's audit file that were removed, altered, inserted or reordered
    #[command(after_help = EXAMPLES)]
    Verify {
        /// The audit files of one node, rotated ones too, in any order
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The node's audit key, as `keyraft cluster status --json` shows it (node.audit_key); without it any key will do
        #[arg(long, value_name = "HEX")]
        key: Vec<VerifyingKey>,
        /// Expect the files to begin with the node's first record
        #[arg(long)]
        whole: bool,
    },
}

const EXAMPLES: &str = "\
Examples:
  keyraft audit verify /var/log/keyraft/audit.log*
  keyraft audit verify --key 3d40…660c audit.log.000000000001 audit.log
  keyraft cluster status --json | jq -r .node.audit_key          the key, from a running node

Every record carries its number and the hash of the one before, and checkpoints are signed by the node. What cannot be
proven:
  - that the records after the last checkpoint are all there are, if they were removed together with it. A node that
    goes on with such a file finds that and records it.
  - who signed, without --key: whoever can write the file can make one anew and sign it with a key of their own.
  - that nothing stood before the first record of these files, without --whole: old files are removed by rotation.

Exit codes: 0 nothing is wrong, 1 something is, or a file cannot be read.";

/// Findings shown; the rest is counted.
const SHOWN: usize = 50;
const BAR: &str = "{prefix:.green.bold} [{bar:30}] {bytes} of {total_bytes}";

/// Checks files.
pub fn run(args: &Args, output: Output) -> Result<(), Error> {
    let Action::Verify { files, key, whole } = &args.action;
    let report = check(files, key, *whole)?;
    output.either(&as_json(&report), || shown(&report))?;
    match report.faults.len() {
        0 => Ok(()),
        count => Err(Error::Tampered { count }),
    }
}

fn check(files: &[PathBuf], keys: &[VerifyingKey], whole: bool) -> Result<Report, Error> {
    let files = in_order(files).map_err(|(path, source)| Error::File { path, source })?;
    let length = |path: &PathBuf| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let bar = bar(files.iter().map(length).sum());
    let mut verifier = Verifier::new(keys.to_vec(), whole);
    for path in files {
        let checked = verifier.file(&path, &mut |bytes| bar.inc(bytes));
        checked.map_err(|source| Error::File { path, source })?;
    }
    bar.finish_and_clear();
    Ok(verifier.finish())
}

/// Progress, where somebody looks.
fn bar(bytes: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style.progress_chars("=> ")).with_prefix("Checking")
}

fn shown(report: &Report) -> String {
    let range = |(first, last)| format!("{first} to {last}");
    let records = report.first.zip(report.last).map_or_else(|| "none".to_owned(), range);
    let keys: Vec<_> = report.keys.iter().map(ToString::to_string).collect();
    let verdict = if report.faults.is_empty() {
        format!("{GOOD}nothing is wrong{GOOD:#}")
    } else {
        format!("{WARN}{} faults{WARN:#}", report.faults.len())
    };
    let summary = fields([
        ("records", records),
        ("checkpoints", report.checkpoints.to_string()),
        ("signed up to", report.signed.map(|signed| signed.to_string()).unwrap_or_default()),
        ("not signed", if report.unsigned() == 0 { String::new() } else { format!("the last {}", report.unsigned()) }),
        ("key", keys.join(" ")),
        ("verdict", verdict),
    ]);
    let list = |findings: &[Finding], label: &str| {
        let lines = findings.iter().take(SHOWN).map(|finding| format!("{DIM}{label}{DIM:#}  {finding}"));
        let more = findings.len().saturating_sub(SHOWN);
        lines.chain((more > 0).then(|| format!("{DIM}{label}{DIM:#}  and {more} more"))).collect::<Vec<_>>()
    };
    [list(&report.faults, "fault"), list(&report.notes, "note"), vec![summary]].concat().join("\n")
}

fn as_json(report: &Report) -> Value {
    let finding =
        |finding: &Finding| json!({"file": finding.file, "line": finding.line, "what": finding.what.to_string()});
    json!({
        "ok": report.faults.is_empty(),
        "first": report.first,
        "last": report.last,
        "checkpoints": report.checkpoints,
        "signed": report.signed,
        "unsigned": report.unsigned(),
        "keys": report.keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "faults": report.faults.iter().map(finding).collect::<Vec<_>>(),
        "notes": report.notes.iter().map(finding).collect::<Vec<_>>(),
    })
}
