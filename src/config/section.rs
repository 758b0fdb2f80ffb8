//! Reading a section of the tree: settings by name, and everything wrong with them noted rather than returned.
//!
//! A setting that is wrong reads as absent, so that reading goes on and finds the next problem; what is built from
//! such readings is dropped, because a file with a problem is no configuration.

use std::cell::RefCell;
use std::path::Path;

use super::environment::{self, Environment};
use super::finding::{Finding, Problems, Warning};
use super::hint;
use super::tree::{Entry, Node, Value};
use super::{Override, value};

/// The reading of one file: its environment, and what was found so far.
pub(super) struct Reading<'a> {
    file: &'a Path,
    environment: Environment<'a>,
    overrides: &'a [Override],
    problems: RefCell<Vec<Finding>>,
    warnings: RefCell<Vec<Warning>>,
}

/// A map of settings; empty when the file does not give it.
pub(super) struct Section<'a> {
    reading: &'a Reading<'a>,
    /// How messages name it, such as `cluster.timing`; empty at the top.
    path: String,
    /// Where it stands, or its parent when it is not given.
    pub line: u64,
    entries: &'a [Entry],
    known: Option<&'static [&'static str]>,
    /// Whether something else than a map stands here or above, which is noted already.
    no_map: bool,
}

/// A text of the file, with its variables replaced.
pub(super) struct Text {
    /// Where it stands.
    pub line: u64,
    /// How messages name its setting.
    pub path: String,
    /// What it says.
    pub value: String,
    written: String,
}

/// The line of what does not stand in the file.
const COMMAND_LINE: u64 = 0;

impl<'a> Reading<'a> {
    /// Nothing found yet.
    pub fn new(file: &'a Path, environment: Environment<'a>, overrides: &'a [Override]) -> Self {
        Self { file, environment, overrides, problems: RefCell::default(), warnings: RefCell::default() }
    }

    /// Notes what keeps the node from starting.
    pub fn problem(&self, line: u64, message: impl Into<String>) {
        self.problems.borrow_mut().push(self.finding(line, message.into()));
    }

    /// Notes a problem of a text, where that stands: in the file, or on the command line.
    fn problem_of(&self, text: &Text, message: String) {
        let file = if text.line == COMMAND_LINE { Path::new("command line") } else { self.file };
        self.problems.borrow_mut().push(Finding { file: file.to_owned(), line: text.line, message });
    }

    /// What the command line says in place of the setting at `path`.
    fn override_of(&self, path: &str) -> Option<Text> {
        let Override { flag, value, .. } = self.overrides.iter().find(|given| given.setting == path)?;
        Some(Text { line: COMMAND_LINE, path: (*flag).to_owned(), value: value.clone(), written: value.clone() })
    }

    /// Notes what is merely odd.
    pub fn warn(&self, line: u64, message: impl Into<String>) {
        self.warnings.borrow_mut().push(self.finding(line, message.into()));
    }

    /// How many problems were noted.
    pub fn problems(&self) -> usize {
        self.problems.borrow().len()
    }

    /// What was read, when nothing was wrong; everything found, sorted by line.
    pub fn finish<T>(self, read: Option<T>) -> Result<(T, Vec<Warning>), Problems> {
        let (mut problems, mut warnings) = (self.problems.into_inner(), self.warnings.into_inner());
        problems.sort_by_key(|problem| problem.line);
        warnings.sort_by_key(|warning| warning.line);
        read.filter(|_| problems.is_empty()).map(|read| (read, warnings)).ok_or(Problems(problems))
    }

    fn finding(&self, line: u64, message: String) -> Finding {
        Finding { file: self.file.to_owned(), line, message }
    }
}

impl<'a> Section<'a> {
    /// The top of the tree; what it lacks is noted on the first line.
    pub fn top(reading: &'a Reading<'a>, node: &'a Node, known: &'static [&'static str]) -> Self {
        Self { line: 1, ..Self::new(reading, String::new(), node, Some(known)) }
    }

    /// The section `key` with these settings; notes every other one.
    pub fn section(&self, key: &str, known: &'static [&'static str]) -> Self {
        self.open(key, Some(known))
    }

    /// The section `key`, whose settings bear names of the user's choice.
    pub fn named_sections(&self, key: &str, known: &'static [&'static str]) -> Vec<(&'a str, Self)> {
        let all = self.open(key, None);
        let section = |entry: &'a Entry| {
            let section = Self::new(self.reading, all.path_of(&entry.key), &entry.value, Some(known));
            Self { line: entry.line, ..section }
        };
        all.entries.iter().map(|entry| (entry.key.as_str(), section(entry))).collect()
    }

    /// The sections in the list `key`.
    pub fn listed_sections(&self, key: &str, known: &'static [&'static str]) -> Vec<Self> {
        let path = self.path_of(key);
        let section = |item: &'a Node| match (&item.value, known.first()) {
            (Value::Text(written), Some(first)) => {
                let message = format!("{path} must be a list of sections: write `- {first}: {}`", shown(written));
                self.problem(item.line, message);
                None
            }
            _ => Some(Self::new(self.reading, path.clone(), item, Some(known))),
        };
        self.items(key).filter_map(section).collect()
    }

    /// Whether what stands under `key` has settings of its own.
    pub fn is_section(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|entry| matches!(entry.value.value, Value::Map(_)))
    }

    /// Whether the file says anything under `key`.
    pub fn gives(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|entry| !matches!(entry.value.value, Value::Null))
    }

    /// Whether the command line gives a setting of the section `key`.
    pub fn overrides(&self, key: &str) -> bool {
        let path = self.path_of(key) + ".";
        self.reading.overrides.iter().any(|given| given.setting.starts_with(&path))
    }

    /// The line of the setting `key`, or of the section when it is not given.
    pub fn line_of(&self, key: &str) -> u64 {
        self.entry(key).map_or(self.line, |entry| entry.line)
    }

    /// The text of the setting `key`; none when it is absent, empty, or wrong.
    pub fn text(&self, key: &str) -> Option<Text> {
        if let Some(given) = self.reading.override_of(&self.path_of(key)) {
            return Some(given);
        }
        self.entry(key).and_then(|entry| self.text_of(key, &entry.value)).filter(|text| !text.value.is_empty())
    }

    /// The password `key`, which may hold `${` as it stands; only a value that is one `${…}` is taken for a reference.
    pub fn password(&self, key: &str) -> Option<Text> {
        let node = &self.entry(key)?.value;
        let literal = matches!(&node.value, Value::Text(written) if !environment::is_one_reference(written));
        let text = if literal { self.expanded(key, node) } else { self.text_of(key, node) };
        text.filter(|text| !text.value.is_empty())
    }

    /// The texts in the list `key`.
    pub fn texts(&self, key: &str) -> Vec<Text> {
        self.items(key).filter_map(|item| self.text_of(key, item)).collect()
    }

    /// What `parse` reads in the setting `key`; none when it is absent, empty, or wrong.
    pub fn value<T>(&self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        self.text(key).and_then(|text| self.parse(&text, parse))
    }

    /// The same of a setting that must be there; `example` says how.
    pub fn required<T>(&self, key: &str, example: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let before = self.reading.problems();
        let value = self.value(key, parse);
        if value.is_none() && self.reading.problems() == before && !self.no_map {
            self.problem(self.line_of(key), format!("{} is missing: add `{key}: {example}`", self.path_of(key)));
        }
        value
    }

    /// What `parse` reads in a text; its error is a clause about that text.
    pub fn parse<T>(&self, text: &Text, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let told = |why| self.reading.problem_of(text, format!("{}: '{}' {why}", text.path, text.shown()));
        parse(&text.value).map_err(told).ok()
    }

    /// Notes a problem of this section.
    pub fn problem(&self, line: u64, message: impl Into<String>) {
        self.reading.problem(line, message);
    }

    /// Notes a warning about this section.
    pub fn warn(&self, line: u64, message: impl Into<String>) {
        self.reading.warn(line, message);
    }

    /// How many problems the whole reading noted so far.
    pub fn problems(&self) -> usize {
        self.reading.problems()
    }

    /// How messages name the setting `key`.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn new(reading: &'a Reading<'a>, path: String, node: &'a Node, known: Option<&'static [&'static str]>) -> Self {
        let (entries, no_map) = match &node.value {
            Value::Map(entries) => (entries.as_slice(), false),
            Value::Null => (&[][..], false),
            Value::Text(_) | Value::List(_) => (&[][..], true),
        };
        if no_map {
            reading.problem(node.line, not_a_section(&path));
        }
        let section = Self { reading, path, line: node.line, entries, known, no_map };
        section.note_unknown();
        section.note_doubles();
        section
    }

    fn open(&self, key: &str, known: Option<&'static [&'static str]>) -> Self {
        let path = self.path_of(key);
        match self.entry(key) {
            Some(entry) => Self { line: entry.line, ..Self::new(self.reading, path, &entry.value, known) },
            None => Self { reading: self.reading, path, line: self.line, entries: &[], known, no_map: self.no_map },
        }
    }

    fn entry(&self, key: &str) -> Option<&'a Entry> {
        debug_assert!(self.known.is_none_or(|known| known.contains(&key)), "'{key}' is asked for but not known");
        self.entries.iter().find(|entry| entry.key == key)
    }

    fn items(&self, key: &str) -> impl Iterator<Item = &'a Node> + use<'a> {
        let items: &'a [Node] = match self.entry(key).map(|entry| &entry.value) {
            Some(Node { value: Value::List(items), .. }) => items,
            None | Some(Node { value: Value::Null, .. }) => &[],
            Some(Node { line, .. }) => {
                self.problem(*line, format!("{} must be a list: begin each line with `-`", self.path_of(key)));
                &[]
            }
        };
        items.iter().filter(|item| !matches!(item.value, Value::Null))
    }

    fn text_of(&self, key: &str, node: &Node) -> Option<Text> {
        if let Value::Text(written) = &node.value {
            if let Some(form) = environment::shell_form(written) {
                let message = format!(
                    "{}: Keyraft does not replace `{form}`, but only the form `${{NAME}}`; write that form and set the \
                     variable before the start, or write `$${{` to mean `${{` itself",
                    self.path_of(key)
                );
                self.problem(node.line, message);
                return None;
            }
            if let Some(name) = environment::bare_name(written) {
                let message = format!(
                    "{}: '{written}' counts as plain text; write `${{{name}}}` to use the variable",
                    self.path_of(key)
                );
                self.warn(node.line, message);
            }
        }
        self.expanded(key, node)
    }

    fn expanded(&self, key: &str, node: &Node) -> Option<Text> {
        let (line, path) = (node.line, self.path_of(key));
        match &node.value {
            Value::Null => None,
            Value::Text(written) => match environment::expand(written, self.reading.environment) {
                Ok(value) => Some(Text { line, path, value, written: written.clone() }),
                Err(name) => {
                    let message = format!("{path}: the environment has no variable {name}; set it before the start");
                    self.problem(line, message);
                    None
                }
            },
            Value::List(_) | Value::Map(_) => {
                self.problem(line, format!("{path} must be a single value"));
                None
            }
        }
    }

    fn note_unknown(&self) {
        let Some(known) = self.known else { return };
        for entry in self.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let hint = hint::unknown(&self.path, &entry.key, known);
            self.problem(entry.line, format!("unknown setting `{}`: {hint}", self.path_of(&entry.key)));
        }
    }

    fn note_doubles(&self) {
        for (i, entry) in self.entries.iter().enumerate() {
            if let Some(first) = self.entries[..i].iter().find(|first| first.key == entry.key) {
                let path = self.path_of(&entry.key);
                self.problem(entry.line, format!("`{path}` is already on line {}; keep one of them", first.line));
            }
        }
    }
}

impl Text {
    /// The text for a message: as it was written, since a variable, or a misplaced API key, may be a secret.
    pub fn shown(&self) -> &str {
        shown(&self.written)
    }
}

fn shown(written: &str) -> &str {
    match written {
        api_key if api_key.starts_with(value::API_KEY) => "kes:v1:…",
        secret if value::is_secret(secret) => "…",
        written => written,
    }
}

fn not_a_section(path: &str) -> String {
    if path.is_empty() {
        return "a configuration must be a map of settings, such as `version: v1`".to_owned();
    }
    format!("{path} must be a section: settings on lines of their own, indented below it")
}
