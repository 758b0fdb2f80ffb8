//! Tests that documents name, in the form `tests/folder/file.rs::name`: each must exist.

use std::fs;
use std::path::Path;

use super::source::files_below;

/// A name in each document that leads to no test.
pub fn faults(root: &Path) -> Vec<String> {
    let documents = files_below(vec![root.join("docs")], &["md"]);
    let faults_of = |path: &Path| {
        let text = read(path);
        let shown = path.strip_prefix(root).unwrap_or(path).display().to_string();
        let missing = named(&text).into_iter().filter(|(file, name)| !exists(&root.join(file), name));
        missing.map(|(file, name)| format!("{shown}: no test {file}::{name}")).collect::<Vec<_>>()
    };
    documents.iter().flat_map(|path| faults_of(path)).collect()
}

/// Files and tests that a text names in backticks.
fn named(text: &str) -> Vec<(&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|words| words.split_once("::").filter(|(file, _)| file.ends_with(".rs"))).collect()
}

/// Whether the file has a function of this name right after a line that makes it a test.
fn exists(file: &Path, name: &str) -> bool {
    let Ok(text) = fs::read_to_string(file) else { return false };
    let mut is_test = false;
    text.lines().map(str::trim).any(|line| {
        let found = is_test && line.split_once("fn ").is_some_and(|(_, rest)| rest.starts_with(&format!("{name}(")));
        is_test = line.starts_with("#[") && (is_test || line.contains("test"));
        found
    })
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_name_leads_to_a_test_alone() {
    let text = "| `tests/a/b.rs::it_works`, `src/c.rs::too` | `store::Keystore` and `x.rs` |";
    assert_eq!(named(text), [("tests/a/b.rs", "it_works"), ("src/c.rs", "too")]);
    let this = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tidy/named_tests.rs");
    assert!(exists(&this, "a_name_leads_to_a_test_alone"));
    assert!(!exists(&this, "a_name_leads_to") && !exists(&this, "read") && !exists(&this.join("no"), "read"));
}
