//! Reports the outcome for each key, as text or JSON.

use serde_json::{Value, json};

use super::source::Unusable;
use crate::cli::Error;
use crate::cli::output::{DIM, GOOD, WARN, table};

/// Up to this many keys, the text names each one. With more, it names those that need a look.
const MAX_LISTED: usize = 20;
const ROTATED: &str = "rotated on the new server: the old server cannot decrypt what the new server encrypts now";

/// The outcome for one key or file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOutcome {
    /// The command imported it.
    Imported,
    /// The server had it already.
    Present,
    /// A dry run would import it.
    WouldImport,
    /// The server has something else under this name.
    Different(String),
    /// The command could not import it.
    Failed(String),
    /// It is not a key.
    Skipped(String),
    /// The command ended before it tried.
    NotReached,
}

/// What shows that a key is the same as before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyProof {
    /// The server has the same key as the file. Every key needs this proof.
    Own,
    /// In addition, the old server agrees.
    Verified,
    /// In addition, the new server opens what the old one sealed. After a rotation it cannot be the other way round.
    Rotated,
    /// The proof is missing, for this reason.
    Missing(String),
}

/// The name of a key or file, and the outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationEntry {
    /// Its name.
    pub name: String,
    /// The outcome.
    pub outcome: KeyOutcome,
    /// The proof, if the server has the key.
    pub proof: KeyProof,
    /// Something else to report about it.
    pub remark: Option<&'static str>,
}

/// The outcomes for all keys and files.
pub struct MigrationReport {
    dry_run: bool,
    entries: Vec<MigrationEntry>,
}

impl MigrationReport {
    /// A report with the files that are not usable.
    pub fn new(dry_run: bool, unusable: Vec<Unusable>) -> Self {
        let entry = |one: Unusable| {
            let outcome = if one.is_suspect { KeyOutcome::Failed(one.reason) } else { KeyOutcome::Skipped(one.reason) };
            MigrationEntry { name: one.name, outcome, proof: KeyProof::Own, remark: None }
        };
        Self { dry_run, entries: unusable.into_iter().map(entry).collect() }
    }

    /// Adds an entry.
    pub fn add(&mut self, entry: MigrationEntry) {
        self.entries.push(entry);
    }

    /// Sorts by name.
    pub fn sort(&mut self) {
        self.entries.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// How many keys the server has as it should. A key that this run imported counts, even if its proof failed.
    pub fn settled(&self) -> usize {
        self.count(|entry| entry.is_good() || entry.outcome == KeyOutcome::Imported)
    }

    /// Whether every key is imported and proven.
    ///
    /// # Errors
    /// Keys need a look, or a dry run found keys to import.
    pub fn verdict(&self) -> Result<(), Error> {
        let bad = self.count(MigrationEntry::needs_a_look);
        let open = self.count(|entry| entry.outcome == KeyOutcome::WouldImport);
        match (bad, open) {
            (0, 0) => Ok(()),
            (0, _) => Err(Error::Differs),
            (bad, _) => Err(Error::NotMigrated(bad)),
        }
    }

    /// The JSON.
    pub fn json(&self) -> Value {
        json!({ "dry_run": self.dry_run, "keys": self.entries.iter().map(MigrationEntry::json).collect::<Vec<_>>() })
    }

    /// The text: the keys that need a look, or all if they are few, and how many there are of each outcome.
    pub fn render(&self) -> String {
        let all = self.entries.len() <= MAX_LISTED;
        let is_listed = |entry: &&MigrationEntry| all || !entry.is_good() || entry.why().is_some();
        let row = |entry: &MigrationEntry| {
            [entry.name.clone(), entry.outcome.label().to_owned(), entry.why().unwrap_or_default()]
        };
        let rows: Vec<_> = self.entries.iter().filter(is_listed).map(row).collect();
        let rows = if rows.is_empty() { String::new() } else { table(["KEY", "OUTCOME", "WHY"], rows) + "\n\n" };
        format!("{rows}{}{}", self.summary(), self.proofs())
    }

    fn summary(&self) -> String {
        const LABELS: [&str; 7] =
            ["imported", "to import", "there already", "different", "failed", "skipped", "not reached"];
        let counted = LABELS.iter().filter_map(|label| {
            let count = self.count(|entry| entry.outcome.label() == *label);
            let style = if ["different", "failed", "not reached"].contains(label) { WARN } else { GOOD };
            (count > 0).then(|| format!("{style}{count}{style:#} {label}"))
        });
        let counted: Vec<_> = counted.collect();
        if counted.is_empty() { "No keys found.".to_owned() } else { counted.join(", ") }
    }

    fn proofs(&self) -> String {
        let verified = self.count(|entry| matches!(entry.proof, KeyProof::Verified | KeyProof::Rotated));
        let missing = self.count(|entry| matches!(entry.proof, KeyProof::Missing(_)));
        let mut text = String::new();
        if verified > 0 {
            text += &format!("{DIM}; {verified} verified against the old server{DIM:#}");
        }
        if missing > 0 {
            text += &format!("; {WARN}{missing}{WARN:#} not proven");
        }
        text
    }

    fn count(&self, is_one: impl Fn(&MigrationEntry) -> bool) -> usize {
        self.entries.iter().filter(|entry| is_one(entry)).count()
    }
}

impl MigrationEntry {
    fn json(&self) -> Value {
        let mut value = json!({ "name": self.name, "outcome": self.outcome.label() });
        if let Some(reason) = self.why() {
            value["reason"] = reason.into();
        }
        match self.proof {
            KeyProof::Own => {}
            KeyProof::Verified | KeyProof::Rotated => value["verified"] = true.into(),
            KeyProof::Missing(_) => value["verified"] = false.into(),
        }
        value
    }

    /// The reasons and remarks.
    fn why(&self) -> Option<String> {
        let outcome = match &self.outcome {
            KeyOutcome::Different(reason) | KeyOutcome::Failed(reason) | KeyOutcome::Skipped(reason) => {
                Some(reason.clone())
            }
            _ => None,
        };
        let proof = match &self.proof {
            KeyProof::Own | KeyProof::Verified => None,
            KeyProof::Rotated => Some(ROTATED.to_owned()),
            KeyProof::Missing(reason) => Some(reason.clone()),
        };
        let all: Vec<_> = outcome.into_iter().chain(proof).chain(self.remark.map(str::to_owned)).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    fn is_good(&self) -> bool {
        matches!(self.outcome, KeyOutcome::Imported | KeyOutcome::Present)
            && !matches!(self.proof, KeyProof::Missing(_))
    }

    fn needs_a_look(&self) -> bool {
        matches!(self.outcome, KeyOutcome::Different(_) | KeyOutcome::Failed(_) | KeyOutcome::NotReached)
            || matches!(self.proof, KeyProof::Missing(_))
    }
}

impl KeyOutcome {
    fn label(&self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::Present => "there already",
            Self::WouldImport => "to import",
            Self::Different(_) => "different",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
            Self::NotReached => "not reached",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(outcome: KeyOutcome, proof: KeyProof) -> MigrationEntry {
        MigrationEntry { name: "k".to_owned(), outcome, proof, remark: None }
    }

    fn report(dry_run: bool, outcomes: &[KeyOutcome]) -> MigrationReport {
        let mut report = MigrationReport::new(dry_run, Vec::new());
        outcomes.iter().for_each(|outcome| report.add(entry(outcome.clone(), KeyProof::Own)));
        report
    }

    #[test]
    fn the_verdict_is_the_worst_that_happened() {
        let (skipped, failed) = (KeyOutcome::Skipped("hidden".into()), KeyOutcome::Failed("no".into()));
        assert!(report(false, &[KeyOutcome::Imported, KeyOutcome::Present, skipped]).verdict().is_ok());
        assert!(matches!(report(true, &[KeyOutcome::WouldImport, KeyOutcome::Present]).verdict(), Err(Error::Differs)));
        assert!(matches!(report(true, &[KeyOutcome::WouldImport, failed]).verdict(), Err(Error::NotMigrated(1))));
        let mut unproven = report(false, &[KeyOutcome::NotReached]);
        unproven.add(entry(KeyOutcome::Imported, KeyProof::Missing("no answer".into())));
        assert!(matches!(unproven.verdict(), Err(Error::NotMigrated(2))));
        assert_eq!(unproven.settled(), 1);
    }

    #[test]
    fn with_many_keys_only_those_that_need_a_look_are_listed() {
        let mut report = report(false, &[KeyOutcome::Different("another".into())]);
        for _ in 0..30 {
            report.add(entry(KeyOutcome::Imported, KeyProof::Verified));
        }
        let shown = anstream::adapter::strip_str(&report.render()).to_string();
        assert_eq!(shown.lines().count(), 4, "{shown}");
        assert!(shown.ends_with("30 imported, 1 different; 30 verified against the old server"), "{shown}");
    }

    #[test]
    fn control_characters_in_file_names_are_escaped() {
        let mut report = MigrationReport::new(false, Vec::new());
        let outcome = KeyOutcome::Failed("no\u{1b}[2J".to_owned());
        report.add(MigrationEntry { name: "k\n\u{1b}[2J".to_owned(), ..entry(outcome, KeyProof::Own) });
        let shown = report.render();
        assert!(shown.contains("k\\u{a}\\u{1b}[2J") && !shown.contains("\u{1b}[2J"), "{shown:?}");
    }
}
