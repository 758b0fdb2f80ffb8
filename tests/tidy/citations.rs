//! Citations: a comment that names a source must name a document here, and a heading that stands in it.
//!
//! The form is `wire contract, "Errors"` or `design, "Once"`; several headings of one document are joined with commas
//! and `and`. A citation may run over the end of a line. The case files in `tests/compat/` cite headings as the keys of
//! `contract`.

use std::fs;
use std::path::{Path, PathBuf};

use super::source::files_below;

/// The name of a document in comments, and its path.
const DOCUMENTS: [(&str, &str); 2] = [("wire contract, \"", CONTRACT), ("design, \"", "docs/design.md")];

const CONTRACT: &str = "docs/wire-contract.md";

/// Outdated forms of citing documents that are not in this repository.
const OUTDATED: [&str; 4] = ["contract, section", "contract section", "decisions, section", "decisions section"];

/// The faults of the citations in this repository.
pub fn faults(root: &Path) -> Vec<String> {
    let mut faults = case_faults(root);
    let headings = DOCUMENTS.map(|(_, document)| headings(&read(&root.join(document))));
    for path in files(root) {
        let text = prose(&read(&path));
        let shown = path.strip_prefix(root).unwrap_or(&path).display();
        for ((name, document), headings) in DOCUMENTS.iter().zip(&headings) {
            let unknown = cited(&text, name).into_iter().filter(|heading| !headings.contains(heading));
            faults.extend(unknown.map(|heading| format!("{shown}: {document} has no heading \"{heading}\"")));
        }
        let outdated = OUTDATED.into_iter().filter(|words| text.contains(words));
        faults.extend(outdated.map(|words| format!("{shown}: cite a heading instead of \"{words} …\"")));
    }
    faults
}

/// The faults of the headings that groups of cases cite.
fn case_faults(root: &Path) -> Vec<String> {
    let headings = headings(&read(&root.join(CONTRACT)));
    let files = files_below(vec![root.join("tests/compat")], &["json"]);
    let faults_of = |path: PathBuf| {
        let unknown: Vec<_> =
            cited_by_cases(&read(&path)).into_iter().filter(|name| !headings.contains(name)).collect();
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        unknown.into_iter().map(move |heading| format!("{shown}: {CONTRACT} has no heading \"{heading}\""))
    };
    files.into_iter().flat_map(faults_of).collect()
}

/// The headings that the groups of a case file cite: the keys of each `contract`. Every second string there is a key.
fn cited_by_cases(text: &str) -> Vec<String> {
    let contracts = text.split("\"contract\": {").skip(1);
    contracts.flat_map(|contract| strings(contract).step_by(2)).collect()
}

/// The strings of the flat JSON object that `text` begins in, up to its closing brace.
fn strings(text: &str) -> impl Iterator<Item = String> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (before, after) = rest.split_once('"')?;
        if before.contains('}') {
            return None;
        }
        let mut escaped = false;
        let end = after.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        rest = &after[end + 1..];
        Some(after[..end].to_owned())
    })
}

/// The headings that a text cites of the document with this name.
fn cited(text: &str, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.to_lowercase().match_indices(name) {
        let mut rest = &text[at + name.len()..];
        while let Some((heading, after)) = rest.split_once('"') {
            found.push(heading.to_owned());
            let next = [", \"", " and \""].iter().find_map(|joint| after.strip_prefix(joint));
            let Some(next) = next else { break };
            rest = next;
        }
    }
    found
}

/// A text whose comments are joined over line ends.
fn prose(text: &str) -> String {
    let words = |line: &str| line.trim().trim_start_matches(['/', '!', '#']).trim().to_owned();
    text.lines().map(words).collect::<Vec<_>>().join(" ")
}

fn headings(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim().to_owned())
        .collect()
}

/// Every file that may cite: sources, tests, benches, definitions of messages. This one shows the outdated forms.
fn files(root: &Path) -> Vec<PathBuf> {
    let folders = ["src", "tests", "benches", "proto"].map(|name| root.join(name)).to_vec();
    let mut files = files_below(folders, &["rs", "proto"]);
    files.retain(|path| !path.ends_with("tidy/citations.rs"));
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn citations_are_found_over_line_ends_and_in_lists() {
    let text = prose("//! One (wire contract, \"Bodies and\n//! headers\" and \"Errors\"), two (design, \"Once\").");
    assert_eq!(cited(&text, DOCUMENTS[0].0), ["Bodies and headers", "Errors"]);
    assert_eq!(cited(&text, DOCUMENTS[1].0), ["Once"]);
}

#[test]
fn case_files_cite_the_keys_of_their_contracts() {
    let text = r#"{"groups": [{"name": "a", "contract": {"Errors": "a \"404\" {}", "Policies": "no"}, "cases": []},
        {"name": "b", "addition": "more"}, {"name": "c", "contract": {"Endpoints": ""}}]}"#;
    assert_eq!(cited_by_cases(text), ["Errors", "Policies", "Endpoints"]);
}
