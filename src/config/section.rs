//! Reads the sections of the YAML tree: settings by name. It collects problems instead of returning the first.
//!
//! A wrong setting reads as absent, so that reading goes on and finds the next problem. The result of such a reading is
//! dropped, because a node must not use a file that has a problem.

use std::cell::RefCell;
use std::path::Path;

use super::environment::{self, Environment};
use super::finding::{Finding, Problems, Warning};
use super::hint;
use super::tree::{YamlEntry, YamlNode, YamlValue};
use super::{Override, value};

/// The reading of one file: its environment, and the problems and warnings found so far.
pub(super) struct Reading<'a> {
    file: &'a Path,
    environment: Environment<'a>,
    overrides: &'a [Override],
    problems: RefCell<Vec<Finding>>,
    warnings: RefCell<Vec<Warning>>,
}

/// A map of settings. It is empty if the file does not have it.
pub(super) struct Section<'a> {
    reading: &'a Reading<'a>,
    /// Its name in messages, such as `cluster.timing`; empty at the top.
    path: String,
    /// Its line, or that of its parent if the file does not have it.
    pub line: u64,
    entries: &'a [YamlEntry],
    known: Option<&'static [&'static str]>,
    /// Whether this or a section above it is not a map, which is already a problem.
    is_malformed: bool,
}

/// The value of a setting, with its variables replaced.
pub(super) struct SettingText {
    /// Its line.
    pub line: u64,
    /// The name of its setting in messages.
    pub path: String,
    /// The value with its variables replaced.
    pub value: String,
    /// The value as the file has it.
    written: String,
}

/// The line of a setting that the command line gives.
const COMMAND_LINE: u64 = 0;

impl<'a> Reading<'a> {
    /// Begins to read a file.
    pub fn new(file: &'a Path, environment: Environment<'a>, overrides: &'a [Override]) -> Self {
        Self { file, environment, overrides, problems: RefCell::default(), warnings: RefCell::default() }
    }

    /// Reports a problem, which keeps the node from starting.
    pub fn problem(&self, line: u64, message: impl Into<String>) {
        self.problems.borrow_mut().push(self.finding(line, message.into()));
    }

    /// Reports a problem of a value, at its place in the file or on the command line.
    fn problem_of(&self, text: &SettingText, message: String) {
        let file = if text.line == COMMAND_LINE { Path::new("command line") } else { self.file };
        self.problems.borrow_mut().push(Finding { file: file.to_owned(), line: text.line, message });
    }

    /// The value that the command line gives in place of the setting at `path`.
    fn override_of(&self, path: &str) -> Option<SettingText> {
        let Override { flag, value, .. } = self.overrides.iter().find(|given| given.setting == path)?;
        Some(SettingText { line: COMMAND_LINE, path: (*flag).to_owned(), value: value.clone(), written: value.clone() })
    }

    /// Reports a warning, which does not keep the node from starting.
    pub fn warn(&self, line: u64, message: impl Into<String>) {
        self.warnings.borrow_mut().push(self.finding(line, message.into()));
    }

    /// How many problems were found so far.
    pub fn problem_count(&self) -> usize {
        self.problems.borrow().len()
    }

    /// The result with its warnings if the file has no problem, and otherwise the problems. Both are sorted by line.
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
    /// The top of the tree. Problems about missing sections are on line 1.
    pub fn top(reading: &'a Reading<'a>, node: &'a YamlNode, known: &'static [&'static str]) -> Self {
        Self { line: 1, ..Self::new(reading, String::new(), node, Some(known)) }
    }

    /// The section `key` with these settings. Reports every other one as a problem.
    pub fn section(&self, key: &str, known: &'static [&'static str]) -> Self {
        self.open(key, Some(known))
    }

    /// The sections in the section `key`, whose names the user chooses.
    pub fn named_sections(&self, key: &str, known: &'static [&'static str]) -> Vec<(&'a str, Self)> {
        let all = self.open(key, None);
        let section = |entry: &'a YamlEntry| {
            let section = Self::new(self.reading, all.path_of(&entry.key), &entry.value, Some(known));
            Self { line: entry.line, ..section }
        };
        all.entries.iter().map(|entry| (entry.key.as_str(), section(entry))).collect()
    }

    /// The sections in the list `key`.
    pub fn listed_sections(&self, key: &str, known: &'static [&'static str]) -> Vec<Self> {
        let path = self.path_of(key);
        let section = |item: &'a YamlNode| match (&item.value, known.first()) {
            (YamlValue::Text(written), Some(first)) => {
                let message = format!("{path} must be a list of sections: write `- {first}: {}`", shown(written));
                self.problem(item.line, message);
                None
            }
            _ => Some(Self::new(self.reading, path.clone(), item, Some(known))),
        };
        self.items(key).filter_map(section).collect()
    }

    /// Whether the value of `key` is a map.
    pub fn is_section(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|entry| matches!(entry.value.value, YamlValue::Map(_)))
    }

    /// Whether the file has a value for `key`.
    pub fn gives(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|entry| !matches!(entry.value.value, YamlValue::Null))
    }

    /// Whether the command line gives a setting in the section `key`.
    pub fn overrides(&self, key: &str) -> bool {
        let path = self.path_of(key) + ".";
        self.reading.overrides.iter().any(|given| given.setting.starts_with(&path))
    }

    /// The line of the setting `key`, or that of the section if the file does not have the setting.
    pub fn line_of(&self, key: &str) -> u64 {
        self.entry(key).map_or(self.line, |entry| entry.line)
    }

    /// The text of the setting `key`. `None` if it is absent, empty or wrong.
    pub fn text(&self, key: &str) -> Option<SettingText> {
        if let Some(given) = self.reading.override_of(&self.path_of(key)) {
            return Some(given);
        }
        self.entry(key).and_then(|entry| self.text_of(key, &entry.value)).filter(|text| !text.value.is_empty())
    }

    /// The password `key`. It may contain `${` literally: only a value that is a single `${…}` counts as a reference.
    pub fn password(&self, key: &str) -> Option<SettingText> {
        let node = &self.entry(key)?.value;
        let literal = matches!(&node.value, YamlValue::Text(written) if !environment::is_one_reference(written));
        let text = if literal { self.expanded(key, node) } else { self.text_of(key, node) };
        text.filter(|text| !text.value.is_empty())
    }

    /// The texts in the list `key`.
    pub fn texts(&self, key: &str) -> Vec<SettingText> {
        self.items(key).filter_map(|item| self.text_of(key, item)).collect()
    }

    /// The value that `parse` reads from the setting `key`. `None` if it is absent, empty or wrong.
    pub fn value<T>(&self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        self.text(key).and_then(|text| self.parse(&text, parse))
    }

    /// The value of a setting that must be there. If it is missing, the problem shows `example`.
    pub fn required<T>(&self, key: &str, example: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let before = self.reading.problem_count();
        let value = self.value(key, parse);
        if value.is_none() && self.reading.problem_count() == before && !self.is_malformed {
            self.problem(self.line_of(key), format!("{} is missing: add `{key}: {example}`", self.path_of(key)));
        }
        value
    }

    /// The value that `parse` reads from a text. The error of `parse` is a clause about that text.
    pub fn parse<T>(&self, text: &SettingText, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let report = |why| self.reading.problem_of(text, format!("{}: '{}' {why}", text.path, text.shown()));
        parse(&text.value).map_err(report).ok()
    }

    /// Reports a problem of this section.
    pub fn problem(&self, line: u64, message: impl Into<String>) {
        self.reading.problem(line, message);
    }

    /// Reports a warning about this section.
    pub fn warn(&self, line: u64, message: impl Into<String>) {
        self.reading.warn(line, message);
    }

    /// How many problems were found so far, in the whole file.
    pub fn problem_count(&self) -> usize {
        self.reading.problem_count()
    }

    /// The name of the setting `key` in messages.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn new(reading: &'a Reading<'a>, path: String, node: &'a YamlNode, known: Option<&'static [&'static str]>) -> Self {
        let (entries, is_malformed) = match &node.value {
            YamlValue::Map(entries) => (entries.as_slice(), false),
            YamlValue::Null => (&[][..], false),
            YamlValue::Text(_) | YamlValue::List(_) => (&[][..], true),
        };
        if is_malformed {
            reading.problem(node.line, not_a_section(&path));
        }
        let section = Self { reading, path, line: node.line, entries, known, is_malformed };
        section.report_unknown();
        section.report_duplicates();
        section
    }

    fn open(&self, key: &str, known: Option<&'static [&'static str]>) -> Self {
        let path = self.path_of(key);
        match self.entry(key) {
            Some(entry) => Self { line: entry.line, ..Self::new(self.reading, path, &entry.value, known) },
            None => Self {
                reading: self.reading,
                path,
                line: self.line,
                entries: &[],
                known,
                is_malformed: self.is_malformed,
            },
        }
    }

    fn entry(&self, key: &str) -> Option<&'a YamlEntry> {
        debug_assert!(self.known.is_none_or(|known| known.contains(&key)), "'{key}' is asked for but not known");
        self.entries.iter().find(|entry| entry.key == key)
    }

    fn items(&self, key: &str) -> impl Iterator<Item = &'a YamlNode> + use<'a> {
        let items: &'a [YamlNode] = match self.entry(key).map(|entry| &entry.value) {
            Some(YamlNode { value: YamlValue::List(items), .. }) => items,
            None | Some(YamlNode { value: YamlValue::Null, .. }) => &[],
            Some(YamlNode { line, .. }) => {
                self.problem(*line, format!("{} must be a list: begin each line with `-`", self.path_of(key)));
                &[]
            }
        };
        items.iter().filter(|item| !matches!(item.value, YamlValue::Null))
    }

    fn text_of(&self, key: &str, node: &YamlNode) -> Option<SettingText> {
        if let YamlValue::Text(written) = &node.value {
            if let Some(form) = environment::shell_form(written) {
                let message = format!(
                    "{}: Keyraft does not replace `{form}`, only `${{NAME}}` without a default: write that and set the \
                     variable before the start, or write `$${{` where you mean the text `${{`",
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

    fn expanded(&self, key: &str, node: &YamlNode) -> Option<SettingText> {
        let (line, path) = (node.line, self.path_of(key));
        match &node.value {
            YamlValue::Null => None,
            YamlValue::Text(written) => match environment::expand(written, self.reading.environment) {
                Ok(value) => Some(SettingText { line, path, value, written: written.clone() }),
                Err(name) => {
                    let message = format!("{path}: the environment has no variable {name}; set it before the start");
                    self.problem(line, message);
                    None
                }
            },
            YamlValue::List(_) | YamlValue::Map(_) => {
                self.problem(line, format!("{path} must be a single value"));
                None
            }
        }
    }

    fn report_unknown(&self) {
        let Some(known) = self.known else { return };
        for entry in self.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let hint = hint::unknown(&self.path, &entry.key, known);
            self.problem(entry.line, format!("unknown setting `{}`: {hint}", self.path_of(&entry.key)));
        }
    }

    fn report_duplicates(&self) {
        for (i, entry) in self.entries.iter().enumerate() {
            if let Some(first) = self.entries[..i].iter().find(|first| first.key == entry.key) {
                let path = self.path_of(&entry.key);
                self.problem(entry.line, format!("`{path}` is already on line {}; keep one of them", first.line));
            }
        }
    }
}

impl SettingText {
    /// The text for a message: as the file has it, because the value of a variable may be a secret. Hides a misplaced API key.
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
