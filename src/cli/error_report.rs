//! Reports why a command failed: as text for people, or with `--json` as one JSON object on standard error.

use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;

use super::Error;
use super::dev::DevError;
use super::escape::{printable_json, printable_lines};
use crate::client;
use crate::config::{Finding, Problems};
use crate::error_code::ErrorCode;
use crate::node::RunError;

const RED: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();

/// A failed command for programs; `docs/command-line.md` describes each field.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct ErrorReport {
    /// What kind of failure this is: a word that stays the same from release to release.
    pub kind: &'static str,
    /// What happened.
    pub message: String,
    /// The exit code of the command.
    pub exit_code: u8,
    /// What to do now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The HTTP status of the server's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The code of the server's answer, which says what went wrong there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// Whether the server may have done it all the same.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub may_be_done: bool,
    /// The one of several names that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// The names after it, which the command did not try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_tried: Option<Vec<String>>,
    /// How many changes were made before the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<usize>,
    /// How many changes there were to make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<usize>,
    /// Every problem of a configuration file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ReportedFinding>,
}

/// A problem of a configuration file.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct ReportedFinding {
    /// The file.
    pub file: String,
    /// The line, counted from 1; absent when the problem concerns the whole file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What is wrong there, and what to do about it.
    pub message: String,
}

impl ErrorReport {
    /// Prints the object as one line on standard error.
    pub fn print(&self) {
        let text = serde_json::to_string(&serde_json::json!({ "error": self }));
        anstream::eprintln!("{}", printable_json(&text.expect("a report is plain data")));
    }
}

impl ReportedFinding {
    /// The finding as JSON shows it.
    pub fn of(finding: &Finding) -> Self {
        Self {
            file: finding.file.display().to_string(),
            line: (finding.line > 0).then_some(finding.line),
            message: finding.message.clone(),
        }
    }
}

impl Error {
    /// Reports the error on standard error, with `json` as JSON, and returns the exit code.
    pub fn report(&self, json: bool) -> ExitCode {
        if self.has_no_reader() || (self.is_in_the_output() && !json) {
            return ExitCode::from(self.code());
        }
        if json {
            self.error_report().print();
        } else {
            anstream::eprintln!("{RED}Error:{RED:#} {}", printable_lines(&self.to_string()));
            if let Some(hint) = self.hint() {
                anstream::eprintln!("{DIM}{}{DIM:#}", printable_lines(&hint));
            }
        }
        ExitCode::from(self.code())
    }

    /// The error for programs.
    pub(super) fn error_report(&self) -> ErrorReport {
        let of_server = self.request_of_any();
        let status = of_server.and_then(|error| match error {
            client::Error::Status { status, .. } => Some(*status),
            _ => None,
        });
        let mut failure = ErrorReport {
            kind: self.kind(),
            message: self.to_string(),
            exit_code: self.code(),
            hint: self.hint(),
            status,
            code: of_server.and_then(client::Error::code).map(ErrorCode::as_str),
            may_be_done: of_server.is_some_and(client::Error::may_be_done),
            ..ErrorReport::default()
        };
        self.add_parts(&mut failure);
        failure
    }

    /// The failed request behind this error: also one to the old server, and one whose refusal is explained.
    fn request_of_any(&self) -> Option<&client::Error> {
        match self {
            Self::OldServer(error) | Self::NotFollowed { error, .. } => Some(error),
            Self::Denied { error, .. } | Self::Anonymous { error } | Self::OutcomeUnknown { error, .. } => {
                error.request_of_any()
            }
            _ => self.request(),
        }
    }

    fn add_parts(&self, failure: &mut ErrorReport) {
        match self {
            Self::Denied { error, .. } => error.add_parts(failure),
            Self::Anonymous { error } => {
                let message = std::mem::take(&mut failure.message);
                error.add_parts(failure);
                failure.message = message;
            }
            Self::Stopped { name, not_tried, error } => {
                error.add_parts(failure);
                (failure.failed, failure.not_tried) = (Some(name.clone()), Some(not_tried.clone()));
                failure.message = format!("{name}: {error}");
            }
            Self::Incomplete { done, total, error } => {
                error.add_parts(failure);
                (failure.done, failure.total) = (Some(*done), Some(*total));
            }
            Self::Faulty(found)
            | Self::Config(Problems(found))
            | Self::Dev(DevError::Borrowed(Problems(found)))
            | Self::Node(RunError::Config(Problems(found))) => {
                failure.problems = found.iter().map(ReportedFinding::of).collect();
                failure.message = match found.len() {
                    1 => "the configuration has a problem".to_owned(),
                    count => format!("the configuration has {count} problems"),
                };
            }
            _ => {}
        }
    }

    /// The kind of failure: a word that scripts compare.
    fn kind(&self) -> &'static str {
        match self {
            Self::Client(error) | Self::OldServer(error) | Self::NotFollowed { error, .. } => kind_of_request(error),
            Self::Load(error) => kind_of_load(error),
            Self::Denied { error, .. }
            | Self::Anonymous { error }
            | Self::UseUnknown { error, .. }
            | Self::Stopped { error, .. }
            | Self::Incomplete { error, .. } => error.kind(),
            Self::Setting { .. } => "setting",
            Self::Input { .. } => "input",
            Self::Tls(_) | Self::ApiKey(_) => "credentials",
            Self::Unread(_) | Self::File { .. } => "file",
            Self::Faulty(_)
            | Self::Config(_)
            | Self::Dev(DevError::Borrowed(_) | DevError::Unread { .. })
            | Self::Node(RunError::Config(_)) => "configuration",
            Self::Node(RunError::Node { error, .. }) if error.is_of_files() => "configuration",
            Self::Dev(_) => "dev_cluster",
            Self::Tampered { .. } => "tampered",
            Self::RecentlyUsed { .. } => "in_use",
            Self::OutcomeUnknown { .. } => "outcome_unknown",
            Self::Differs => "differs",
            Self::Declined => "declined",
            Self::NotAssigned(_) => "left_alone",
            Self::NotMigrated(_) => "not_migrated",
            Self::Output(_) => "output",
            Self::Runtime(_) => "system",
            Self::Node(_) => "node",
        }
    }
}

fn kind_of_request(error: &client::Error) -> &'static str {
    match error {
        client::Error::Status { status: 403, .. } => "not_permitted",
        client::Error::Status { status: 404, .. } => "not_found",
        client::Error::Status { status: 503, .. }
        | client::Error::NoServer(_)
        | client::Error::Transport { .. }
        | client::Error::TimedOut { .. }
        | client::Error::Socket { .. } => "unavailable",
        client::Error::Status { .. } => "refused",
        client::Error::Malformed { .. } => "unexpected_answer",
    }
}

fn kind_of_load(error: &client::load::LoadError) -> &'static str {
    match error {
        client::load::LoadError::Client(error) => kind_of_request(error),
        client::load::LoadError::Tls(_) => "credentials",
        client::load::LoadError::NoAnswer { .. } => "unavailable",
        client::load::LoadError::WrongAnswer { .. } => "unexpected_answer",
        client::load::LoadError::Process { .. } => "input",
    }
}
