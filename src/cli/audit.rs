//! `keyraft audit`: checking audit files offline.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::output::{DIM, GOOD, WARN, fields};
use super::{Error, Output};
use crate::crypto::VerifyingKey;
use crate::telemetry::{AuditFiles, AuditFinding, AuditReport, AuditVerifier, ExpectedTrail, in_order};

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
        /// The node's audit key, as `keyraft cluster status --json` shows it (node.audit_key); without it, any key is accepted
        #[arg(long, value_name = "HEX")]
        key: Vec<VerifyingKey>,
        /// Expect the files to begin with the node's first record
        #[arg(long)]
        whole: bool,
        /// The node's note of its last record: `audit.head` in its data folder
        #[arg(long, value_name = "FILE")]
        head: Option<PathBuf>,
        /// Accept up to 30 s of unsigned records at the end, however old: for use after a crash, or with a copy of a running node's file
        #[arg(long)]
        unfinished: bool,
    },
}

const EXAMPLES: &str = "\
Examples:
  keyraft audit verify /var/log/keyraft/audit.log*
  keyraft audit verify --key 3d40…660c audit.log.000000000001 audit.log
  keyraft audit verify --key 3d40…660c --head /var/lib/keyraft/audit.head audit.log*
  keyraft cluster status --json | jq -r .node.audit_key          the key, from a running node

Every record has a number and the hash of the record before it. The node signs a checkpoint within
five seconds after a record, at the end of a rotated file, and when it stops. A checkpoint that the
node's key signed proves every record before it. It is a fault if the files have no checkpoint, if
more than 30 s of records follow the last one, or if unsigned records are older than 30 s. After a
crash, records stay unsigned until the node runs again; --unfinished accepts up to 30 s of them.

What the command cannot prove, and reports as not proven:
  - the records after the last checkpoint: somebody may have changed these latest records.
  - where the trail ended, without --head: somebody who can write the file can cut it after a
    checkpoint. `audit.head` proves the end, unless they can write its folder, too. A node that
    goes on with a cut file records that.
  - who signed, without --key: somebody who can write the file can sign a new one with a key of
    their own.
  - that nothing came before the first record, without --whole: rotation removes old files.

If the node rotates a file while this runs, the command may miss it and report it as removed: run
it again.

Exit codes: 0 without a fault, 1 with one or if the command cannot read a file.";

/// How many findings the text shows; it counts the others.
const SHOWN: usize = 50;
const BAR: &str = "{prefix:.green.bold} [{bar:30}] {bytes} of {total_bytes}";

/// Checks audit files, and prints what it found.
pub fn run(args: &Args, output: Output) -> Result<(), Error> {
    let Action::Verify { files, key, whole, head, unfinished } = &args.action;
    let expected = ExpectedTrail { keys: key.clone(), whole: *whole, unfinished: *unfinished };
    let report = check(files, expected.clone(), head.as_deref())?;
    let unproven = unproven(&report, &expected, head.is_some());
    output.either(&as_json(&report, &unproven), || shown(&report, &unproven))?;
    match report.fault_count() {
        0 => Ok(()),
        count => Err(Error::Tampered { count: usize::try_from(count).unwrap_or(usize::MAX) }),
    }
}

fn check(files: &[PathBuf], expected: ExpectedTrail, head: Option<&Path>) -> Result<AuditReport, Error> {
    let unread = |path: &Path| {
        let path = path.to_owned();
        |source| Error::File { path, source }
    };
    let mut verifier = AuditVerifier::new(expected);
    // The note is read before the files, because a running node goes on writing both.
    head.map_or(Ok(()), |head| verifier.expect_head(head).map_err(unread(head)))?;
    let AuditFiles { ordered, repeated } = in_order(files).map_err(|(path, source)| Error::File { path, source })?;
    let length = |path: &PathBuf| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let bar = bar(ordered.iter().map(length).sum());
    repeated.iter().for_each(|path| verifier.repeated(path));
    for path in ordered {
        verifier.file(&path, &mut |bytes| bar.inc(bytes)).map_err(unread(&path))?;
    }
    bar.finish_and_clear();
    Ok(verifier.finish())
}

/// What the check cannot prove.
fn unproven(report: &AuditReport, expected: &ExpectedTrail, head: bool) -> Vec<String> {
    let Some((first, last)) = report.first.zip(report.last) else { return vec![] };
    let open = [
        (report.unsigned() > 0).then(|| format!("the last {} records, which no checkpoint signs", report.unsigned())),
        (!head).then(|| format!("that no record came after {last} (give --head)")),
        expected.keys.is_empty().then(|| "that the node signed them (give --key)".to_owned()),
        (!expected.whole && first != 1)
            .then(|| format!("that only rotation removed the records before {first} (give --whole)")),
    ];
    open.into_iter().flatten().collect()
}

/// A progress bar, if standard error is a terminal.
fn bar(bytes: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style.progress_chars("=> ")).with_prefix("Checking")
}

fn shown(report: &AuditReport, unproven: &[String]) -> String {
    let range = |(first, last)| format!("{first} to {last}");
    let records = report.first.zip(report.last).map_or_else(|| "none".to_owned(), range);
    let keys: Vec<_> = report.keys.iter().map(ToString::to_string).collect();
    let verdict = match (report.fault_count(), report.signed) {
        (0, Some(signed)) => format!("{GOOD}no fault up to record {signed}{GOOD:#}"),
        (1, _) => format!("{WARN}1 fault{WARN:#}"),
        (count, _) => format!("{WARN}{count} faults{WARN:#}"),
    };
    let summary = fields([
        ("records", records),
        ("checkpoints", report.checkpoints.to_string()),
        ("signed up to", report.signed.map(|signed| signed.to_string()).unwrap_or_default()),
        ("key", keys.join(" ")),
        ("not proven", unproven.join("; ")),
        ("verdict", verdict),
    ]);
    let list = |findings: &[AuditFinding], beyond: u64, label: &str| {
        let lines = findings.iter().take(SHOWN).map(|finding| format!("{DIM}{label}{DIM:#}  {finding}"));
        let more = findings.len().saturating_sub(SHOWN) as u64 + beyond;
        lines.chain((more > 0).then(|| format!("{DIM}{label}{DIM:#}  and {more} more"))).collect::<Vec<_>>()
    };
    [list(&report.faults, report.more_faults, "fault"), list(&report.notes, 0, "note"), vec![summary]]
        .concat()
        .join("\n")
}

fn as_json(report: &AuditReport, unproven: &[String]) -> Value {
    json!({
        "ok": report.fault_count() == 0,
        "first": report.first,
        "last": report.last,
        "checkpoints": report.checkpoints,
        "signed": report.signed,
        "unsigned": report.unsigned(),
        "not_proven": unproven,
        "keys": report.keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "faults": report.faults.iter().map(found).collect::<Vec<_>>(),
        "more_faults": report.more_faults,
        "notes": report.notes.iter().map(found).collect::<Vec<_>>(),
    })
}

fn found(AuditFinding { file, line, what }: &AuditFinding) -> Value {
    // The path of a file need not be UTF-8, and JSON is.
    json!({ "file": file.display().to_string(), "line": line, "what": what.to_string() })
}
