//! Everything that can be found wrong with a node before it starts, without changing anything.

mod addresses;
mod certificates;
mod clocks;
mod folders;
mod seal;

use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::client::local_cluster_status;
use crate::config::{self, Config, Finding, Lines};
use crate::http::LOCAL_SOCKET;
use crate::node::exposed_files;

/// What was found.
#[derive(Debug, Default)]
pub struct Checked {
    /// What keeps the node from starting or from serving.
    pub problems: Vec<Finding>,
    /// What needs attention.
    pub warnings: Vec<Finding>,
    /// What could not be checked, and why.
    pub notes: Vec<Finding>,
}

/// Checks a configuration file and everything that it names. Nothing is started, made or changed.
pub async fn check(file: &Path) -> Checked {
    // The file may be a pipe, which can be read once.
    let read = config::read_text(file)
        .and_then(|text| Config::parse(file, &text, &config::process_variable).map(|read| (read, Lines::of(&text))));
    let ((config, warnings), lines) = match read {
        Ok(read) => read,
        Err(problems) => {
            let note = "files, addresses and data are not checked before the configuration can be read";
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

/// Whether another node than the one that is checked runs on the data folder.
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

/// Files with secrets that more users than need to can read or change.
fn exposed(config: &Config, report: &mut CheckReport<'_>) {
    for exposed in exposed_files(report.file, config) {
        let (file, line) = (report.file.to_owned(), report.lines.line(exposed.what));
        report.found.warnings.push(Finding { file, line, message: exposed.to_string() });
    }
}

/// What was found so far, by the settings of one file.
struct CheckReport<'a> {
    file: &'a Path,
    lines: Lines,
    /// Whether a node runs on the data folder.
    runs: bool,
    found: Checked,
}

impl CheckReport<'_> {
    /// Notes what keeps the node from starting or serving.
    fn problem(&mut self, setting: &str, message: impl AsRef<str>) {
        let finding = self.finding(setting, message.as_ref());
        self.found.problems.push(finding);
    }

    /// Notes what needs attention.
    fn warn(&mut self, setting: &str, message: impl AsRef<str>) {
        let finding = self.finding(setting, message.as_ref());
        self.found.warnings.push(finding);
    }

    /// Notes what could not be checked.
    fn note(&mut self, setting: &str, message: impl AsRef<str>) {
        let finding = self.finding(setting, message.as_ref());
        self.found.notes.push(finding);
    }

    fn finding(&self, setting: &str, message: &str) -> Finding {
        // The place in a list is for finding the line; people know the list's items by their names.
        let name = setting.split('[').next().unwrap_or(setting);
        let (file, line) = (self.file.to_owned(), self.lines.line(setting));
        Finding { file, line, message: format!("{name}: {message}") }
    }

    fn finish(mut self) -> Checked {
        let Checked { problems, warnings, notes } = &mut self.found;
        for findings in [problems, warnings, notes] {
            findings.sort_by_key(|finding| finding.line);
        }
        self.found
    }
}
