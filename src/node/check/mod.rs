//! Checks a node before it starts, without changing anything.

mod addresses;
mod certificates;
mod clocks;
mod folders;
mod report;
mod seal;

use std::os::unix::net::UnixStream;
use std::path::Path;

use self::report::CheckReport;
pub use self::report::Checked;
use crate::client::local_cluster_status;
use crate::config::{self, Config, Finding, Lines};
use crate::http::LOCAL_SOCKET;
use crate::node::exposed_files;

/// Checks a configuration file and everything that it names. It starts, makes and changes nothing.
pub async fn check(file: &Path) -> Checked {
    // Read the file once only, because it may be a pipe.
    let read = config::read_text(file)
        .and_then(|text| Config::parse(file, &text, &config::process_variable).map(|read| (read, Lines::of(&text))));
    let ((config, warnings), lines) = match read {
        Ok(read) => read,
        Err(problems) => {
            let note = "the check skipped files, addresses and data, because it needs a configuration without problems";
            let notes = vec![Finding { file: file.to_owned(), line: 0, message: note.to_owned() }];
            return Checked { problems: problems.0, notes, ..Checked::default() };
        }
    };
    let mut report = CheckReport {
        file,
        lines,
        runs: UnixStream::connect(config.cluster.data.join(LOCAL_SOCKET)).is_ok(),
        found: Checked { warnings, ..Checked::default() },
    };
    exposed(&config, &mut report);
    another_node(&config, &mut report).await;
    certificates::check(&config, &mut report);
    seal::check(&config, &mut report);
    folders::check(&config, &mut report);
    addresses::check(&config, &mut report).await;
    clocks::check(&config, &mut report);
    report.finish()
}

/// Reports a node of another name that runs on the data folder.
async fn another_node(config: &Config, report: &mut CheckReport<'_>) {
    let (data, own) = (&config.cluster.data, &config.cluster.name);
    if report.runs
        && let Ok(status) = local_cluster_status(data).await
        && status.node.name != *own
    {
        let message = format!(
            "{} belongs to the node '{}', which runs on it, and not to '{own}': name the folder of '{own}'",
            data.display(),
            status.node.name
        );
        report.problem("cluster.data", message);
    }
}

/// Reports files with secrets that too many users can read or change.
fn exposed(config: &Config, report: &mut CheckReport<'_>) {
    for exposed in exposed_files(report.file, config) {
        let (file, line) = (report.file.to_owned(), report.lines.line(exposed.what));
        report.found.warnings.push(Finding { file, line, message: exposed.to_string() });
    }
}
