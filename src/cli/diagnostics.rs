//! Warnings and notes on standard error: text for people, or with `--json` one JSON object each.

use serde::Serialize;
use serde_json::json;

use super::Output;
use super::error_report::ReportedFinding;
use super::escape::{printable_json, printable_lines};
use super::output::{DIM, WARN};
use crate::config::Finding;

impl Output {
    /// Warns of something that may not work as the user meant it.
    pub fn warn(self, message: &str) {
        if self.is_json_asked() {
            print(&json!({ "warning": { "message": message } }));
        } else {
            labelled("Warning", message);
        }
    }

    /// Warns that the command skipped something, and why.
    pub fn skipped(self, message: &str) {
        if self.is_json_asked() {
            self.warn(&format!("skipped: {message}"));
        } else {
            labelled("Skipped", message);
        }
    }

    /// Prints a warning about a configuration file.
    pub fn warn_of(self, found: &Finding) {
        if self.is_json_asked() {
            print(&json!({ "warning": ReportedFinding::of(found) }));
        } else {
            self.warn(&found.to_string());
        }
    }

    /// Prints a note: something good to know.
    pub fn note(self, message: &str) {
        if self.is_json_asked() {
            print(&json!({ "note": { "message": message } }));
        } else {
            anstream::eprintln!("{DIM}{}{DIM:#}", printable_lines(message));
        }
    }
}

fn labelled(label: &str, message: &str) {
    anstream::eprintln!("{WARN}{label}:{WARN:#} {}", printable_lines(message));
}

fn print(object: &impl Serialize) {
    anstream::eprintln!("{}", printable_json(&serde_json::to_string(object).expect("a warning is plain data")));
}
