//! Prints results: text and tables for people, JSON for programs.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};

use clap::builder::styling::{AnsiColor, Style};
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::Value;

use super::Error;
use super::escape::{printable, printable_json};

/// The style of a name that a line is about.
pub const STRONG: Style = Style::new().bold();
/// The style of a success.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// The style of something that needs attention.
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// The style of labels.
pub const DIM: Style = Style::new().dimmed();

/// Standard output, as text or JSON.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json_option: bool,
    json: bool,
    terminal: bool,
}

impl Output {
    /// JSON if `--json` asks for it, or if the output is not a terminal.
    pub fn new(json: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { json_option: json, json: json || !terminal, terminal }
    }

    /// Whether to print JSON.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Whether `--json` was given.
    pub fn is_json_asked(self) -> bool {
        self.json_option
    }

    /// Prints a word that other commands take as an argument. It is alone, also in a pipe, so that `$(…)` gets it; only
    /// `--json` makes it JSON.
    pub fn word(self, label: &'static str, word: &str) -> Result<(), Error> {
        if self.json_option { self.json(&serde_json::json!({ label: word })) } else { self.line(word) }
    }

    /// Prints that something was done to the thing with this name, such as `Created my-key`.
    pub fn done(self, done: &'static str, name: &str) -> Result<(), Error> {
        self.either(&serde_json::json!({ done: name }), || {
            let (first, rest) = done.split_at(1);
            format!("{GOOD}{}{rest}{GOOD:#} {}", first.to_ascii_uppercase(), printable(name))
        })
    }

    /// Prints names, one on a line or as the JSON list `label`. For an empty list the text is `empty`.
    pub fn names(self, label: &'static str, empty: &str, names: &[String]) -> Result<(), Error> {
        self.either(&serde_json::json!({ label: names }), || {
            let names: Vec<_> = names.iter().map(|name| printable(name)).collect();
            if names.is_empty() { empty.to_owned() } else { names.join("\n") }
        })
    }

    /// Asks on the terminal whether to go on. Without a terminal, `--yes` must be given.
    pub fn confirm(self, yes: bool, question: &str) -> Result<(), Error> {
        if yes {
            return Ok(());
        }
        if self.json || !std::io::stdin().is_terminal() {
            let reason = "add it to go on, because the command can ask only on a terminal".to_owned();
            return Err(Error::Setting { name: "--yes".to_owned(), reason });
        }
        write!(anstream::stderr(), "\n{question} [y/N] ").map_err(Error::Output)?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map_err(Error::Output)?;
        let agreed = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
        if agreed { Ok(()) } else { Err(Error::Declined) }
    }

    /// Prints `value` as JSON, or `text` for people.
    pub fn either(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Error> {
        if self.json { self.json(value) } else { self.line(&text()) }
    }

    /// Prints JSON: on one line for a program, and indented on a terminal.
    pub fn json(self, value: &impl Serialize) -> Result<(), Error> {
        let text = if self.terminal { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
        self.line(&printable_json(&text.map_err(|error| Error::Output(error.into()))?))
    }

    /// Prints a line of a stream unchanged; on a terminal it escapes what could control that.
    pub fn event(self, line: &[u8]) -> Result<(), Error> {
        if self.terminal {
            self.bytes(printable_json(&String::from_utf8_lossy(line)).as_bytes())
        } else {
            self.bytes(line)
        }
    }

    /// Prints bytes unchanged.
    pub fn bytes(self, bytes: &[u8]) -> Result<(), Error> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(Error::Output)
    }

    /// Prints a line of text, with colours only on a terminal.
    pub fn line(self, text: &str) -> Result<(), Error> {
        writeln!(anstream::stdout(), "{text}").map_err(Error::Output)
    }
}

/// A progress bar on standard error that is full after `steps`; hidden if standard error is not a terminal.
pub fn progress_bar(what: &'static str, steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>12.green.bold} [{bar:30}] {pos}/{len} {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
    let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
    bar.with_style(style).with_prefix(what)
}

/// A thing's name in bold, and its other labels and values, one on a line, without empty values.
pub fn titled<const N: usize>((label, title): (&str, &str), more: [(&str, &str); N]) -> String {
    let title = (label, format!("{STRONG}{}{STRONG:#}", printable(title)));
    let more = more.into_iter().map(|(label, value)| (label, printable(value)));
    fields(std::iter::once(title).chain(more))
}

/// A table without borders.
pub fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    table.add_rows(rows.into_iter().map(|row| row.map(|cell| printable(&cell))));
    table.trim_fmt()
}

/// Labels and values, one on a line, without empty values.
pub fn fields<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let fields: Vec<_> = fields.into_iter().collect();
    let shown = fields.iter().filter(|(_, value)| !value.is_empty());
    let width = shown.clone().map(|(label, _)| label.len()).max().unwrap_or_default();
    let lines = shown.map(|(label, value)| format!("{DIM}{label:width$}{DIM:#}  {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The patterns of a policy, one on a line. Those that deny come first, as in the check of a request.
pub fn patterns(allow: &BTreeMap<String, Value>, deny: &BTreeMap<String, Value>) -> String {
    let denied = deny.keys().map(|pattern| format!("{WARN}deny{WARN:#}   {}", printable(pattern)));
    let allowed = allow.keys().map(|pattern| format!("{GOOD}allow{GOOD:#}  {}", printable(pattern)));
    denied.chain(allowed).collect::<Vec<_>>().join("\n")
}
