//! What came of each key, for people and for programs.

use serde_json::{Value, json};

use super::source::Unusable;
use crate::cli::Error;
use crate::cli::output::{DIM, GOOD, WARN, table};

/// So many keys are named even when all went well.
const NAMED: usize = 20;

/// What came of one key or file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was imported, and is proven to be the same.
    Imported,
    /// It was there, and is proven to be the same.
    There,
    /// Imported, and the old server agrees.
    ImportedAndVerified,
    /// There, and the old server agrees.
    ThereAndVerified,
    /// A dry run would import it.
    WouldImport,
    /// The server has something else under this name.
    Different(String),
    /// It could not be brought over.
    Failed(String),
    /// It is no key.
    Skipped(String),
}

/// What came of one key or file, with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of everything.
pub struct Report {
    dry_run: bool,
    entries: Vec<Entry>,
}

impl Report {
    /// One that begins with what is no key.
    pub fn new(dry_run: bool, unusable: Vec<Unusable>) -> Self {
        let entry = |one: Unusable| {
            let outcome = if one.is_suspect { Outcome::Failed(one.reason) } else { Outcome::Skipped(one.reason) };
            Entry { name: one.name, outcome }
        };
        Self { dry_run, entries: unusable.into_iter().map(entry).collect() }
    }

    /// Adds one.
    pub fn add(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Sorts by name.
    pub fn sort(&mut self) {
        self.entries.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// How many keys are where they belong.
    pub fn settled(&self) -> usize {
        self.entries.iter().filter(|entry| entry.outcome.is_good()).count()
    }

    /// Whether all went well; or, of a dry run, whether nothing is left to do.
    ///
    /// # Errors
    /// It did not.
    pub fn verdict(&self) -> Result<(), Error> {
        let bad = self.count(|outcome| matches!(outcome, Outcome::Different(_) | Outcome::Failed(_)));
        let open = self.count(|outcome| *outcome == Outcome::WouldImport);
        match (bad, open) {
            (0, 0) => Ok(()),
            (0, _) => Err(Error::Differs),
            (bad, _) => Err(Error::NotMigrated(bad)),
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let entry = |entry: &Entry| {
            let mut value = json!({ "name": entry.name, "outcome": entry.outcome.label() });
            if let Some(reason) = entry.outcome.reason() {
                value["reason"] = reason.into();
            }
            if entry.outcome.is_verified() {
                value["verified"] = true.into();
            }
            value
        };
        json!({ "dry_run": self.dry_run, "keys": self.entries.iter().map(entry).collect::<Vec<_>>() })
    }

    /// For people: everything that needs a look, everything at all when it is little, and how many of each.
    pub fn render(&self) -> String {
        let all = self.entries.len() <= NAMED;
        let shown = self.entries.iter().filter(|entry| all || !entry.outcome.is_good());
        let rows: Vec<_> = shown
            .map(|entry| {
                let reason = entry.outcome.reason().unwrap_or_default().to_owned();
                [entry.name.clone(), entry.outcome.label().to_owned(), reason]
            })
            .collect();
        let rows = if rows.is_empty() { String::new() } else { table(["KEY", "OUTCOME", "WHY"], rows) + "\n\n" };
        let verified = self.count(Outcome::is_verified);
        let verified = if verified > 0 {
            format!("{DIM}; {verified} verified against the old server{DIM:#}")
        } else {
            String::new()
        };
        format!("{rows}{}{verified}", self.summary())
    }

    fn summary(&self) -> String {
        const LABELS: [&str; 6] = ["imported", "to import", "there already", "different", "failed", "skipped"];
        let counted = LABELS.iter().filter_map(|label| {
            let count = self.count(|outcome| outcome.label() == *label);
            let style = if ["different", "failed"].contains(label) { WARN } else { GOOD };
            (count > 0).then(|| format!("{style}{count}{style:#} {label}"))
        });
        let counted: Vec<_> = counted.collect();
        if counted.is_empty() { "There are no keys.".to_owned() } else { counted.join(", ") }
    }

    fn count(&self, is_one: impl Fn(&Outcome) -> bool) -> usize {
        self.entries.iter().filter(|entry| is_one(&entry.outcome)).count()
    }
}

impl Outcome {
    /// The same, now that the old server agrees.
    pub fn verified(self) -> Self {
        match self {
            Self::Imported => Self::ImportedAndVerified,
            Self::There => Self::ThereAndVerified,
            other => other,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Imported | Self::ImportedAndVerified => "imported",
            Self::There | Self::ThereAndVerified => "there already",
            Self::WouldImport => "to import",
            Self::Different(_) => "different",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Different(reason) | Self::Failed(reason) | Self::Skipped(reason) => Some(reason),
            _ => None,
        }
    }

    fn is_verified(&self) -> bool {
        matches!(self, Self::ImportedAndVerified | Self::ThereAndVerified)
    }

    fn is_good(&self) -> bool {
        self.is_verified() || matches!(self, Self::Imported | Self::There)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(dry_run: bool, outcomes: &[Outcome]) -> Report {
        let mut report = Report::new(dry_run, Vec::new());
        for outcome in outcomes {
            report.add(Entry { name: "k".to_owned(), outcome: outcome.clone() });
        }
        report
    }

    #[test]
    fn the_verdict_is_the_worst_that_happened() {
        let (skipped, failed) = (Outcome::Skipped("hidden".into()), Outcome::Failed("no".into()));
        assert!(report(false, &[Outcome::Imported, Outcome::There, skipped]).verdict().is_ok());
        assert!(matches!(report(true, &[Outcome::WouldImport, Outcome::There]).verdict(), Err(Error::Differs)));
        assert!(matches!(report(true, &[Outcome::WouldImport, failed]).verdict(), Err(Error::NotMigrated(1))));
    }

    #[test]
    fn of_many_keys_only_those_that_need_a_look_are_named() {
        let mut outcomes = vec![Outcome::ImportedAndVerified; 30];
        outcomes.push(Outcome::Different("another".into()));
        let shown = anstream::adapter::strip_str(&report(false, &outcomes).render()).to_string();
        assert_eq!(shown.lines().count(), 4, "{shown}");
        assert!(shown.ends_with("30 imported, 1 different; 30 verified against the old server"), "{shown}");
    }
}
