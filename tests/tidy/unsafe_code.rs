//! Looks for `unsafe` code outside of the one file that may have it, in tests and benchmarks too.
//!
//! The compiler denies it in every target. This keeps other files from expecting it all the same.

use std::fs;
use std::path::Path;

use crate::source::{blank, files_below, is_word};

/// The file that protects the memory of keys (design, "Secrets in memory").
const ALLOWED: &str = "src/crypto/locked.rs";

/// The settings of the lint that the compiler needs, which no file may weaken.
const SETTINGS: &[&str] = &["#![deny(unsafe_code)]", "#![forbid(unsafe_code)]"];

pub fn faults(root: &Path) -> Vec<String> {
    let folders = ["src", "tests", "benches"].map(|folder| root.join(folder));
    let files = files_below(folders.into(), &["rs"]).into_iter().chain([root.join("build.rs")]);
    let names: Vec<_> = files.map(|file| file.strip_prefix(root).expect("it is below").to_owned()).collect();
    let others = names.iter().filter(|name| *name != Path::new(ALLOWED));
    let unsafe_files = others.filter(|name| is_unsafe(&fs::read_to_string(root.join(name)).expect("it is readable")));
    let mut faults: Vec<_> =
        unsafe_files.map(|name| format!("{}: only {ALLOWED} may have `unsafe` code", name.display())).collect();
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("it is readable");
    if !manifest.lines().any(|line| line.starts_with("unsafe_code = \"deny\"")) {
        faults.push("Cargo.toml: the lint `unsafe_code` must be \"deny\"".to_owned());
    }
    faults
}

/// Whether the code has the word `unsafe`, or another setting of the lint.
fn is_unsafe(text: &str) -> bool {
    let code = SETTINGS.iter().fold(blank(text), |code, setting| code.replace(setting, ""));
    let begins = |at: usize| !code[..at].ends_with(is_word);
    code.match_indices("unsafe").any(|(at, word)| {
        let rest = &code[at + word.len()..];
        begins(at) && (!rest.starts_with(is_word) || rest.starts_with("_code)") || rest.starts_with("_code,"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_and_weaker_settings_are_found_in_code_only() {
        for text in [
            "unsafe fn f() {}",
            "fn f() { unsafe { g() } }",
            "#[unsafe(no_mangle)] fn f() {}",
            "#[expect(unsafe_code, reason = \"r\")] fn f() {}",
            "#![expect(dead_code, unsafe_code)]",
        ] {
            assert!(is_unsafe(text), "{text}");
        }
        for text in ["// unsafe", "const A: &str = \"unsafe\";", "mod unsafe_code;", "not_unsafe();", SETTINGS[0]] {
            assert!(!is_unsafe(text), "{text}");
        }
    }
}
