//! The findings of a check, by the settings that they are about.

use std::path::Path;

use crate::config::{Finding, Lines};

/// The findings of a check.
#[derive(Debug, Default)]
pub struct Checked {
    /// Problems that keep the node from starting or from serving.
    pub problems: Vec<Finding>,
    /// Things that need attention.
    pub warnings: Vec<Finding>,
    /// What the check could not look at, and why.
    pub notes: Vec<Finding>,
}

/// Collects the findings about the settings of one file.
pub struct CheckReport<'a> {
    /// The configuration file.
    pub file: &'a Path,
    /// The lines of its settings.
    pub lines: Lines,
    /// Whether a node runs on the data folder.
    pub runs: bool,
    /// The findings so far.
    pub found: Checked,
}

impl CheckReport<'_> {
    /// Adds a problem that keeps the node from starting or serving.
    pub fn problem(&mut self, setting: &str, message: impl AsRef<str>) {
        let finding = self.finding(setting, message.as_ref());
        self.found.problems.push(finding);
    }

    /// Adds a warning about something that needs attention.
    pub fn warn(&mut self, setting: &str, message: impl AsRef<str>) {
        let finding = self.finding(setting, message.as_ref());
        self.found.warnings.push(finding);
    }

    /// Adds a note about something that the check could not look at.
    pub fn note(&mut self, setting: &str, message: impl AsRef<str>) {
        let finding = self.finding(setting, message.as_ref());
        self.found.notes.push(finding);
    }

    fn finding(&self, setting: &str, message: &str) -> Finding {
        // The index in a list only serves to find the line. People know the items by their names.
        let name = setting.split('[').next().unwrap_or(setting);
        let (file, line) = (self.file.to_owned(), self.lines.line(setting));
        Finding { file, line, message: format!("{name}: {message}") }
    }

    /// Returns the findings, sorted by their lines.
    pub fn finish(mut self) -> Checked {
        let Checked { problems, warnings, notes } = &mut self.found;
        for findings in [problems, warnings, notes] {
            findings.sort_by_key(|finding| finding.line);
        }
        self.found
    }
}
