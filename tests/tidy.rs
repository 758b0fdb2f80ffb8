//! Checks the code against the map in `docs/architecture.md`: which modules a module may use, which crates it may name,
//! that no files use each other around a circle, and how long files and functions are. It also checks that no dependency
//! is older than `deny.toml` allows.
//!
//! These are plain scans of the text. They leave out comments, strings and test modules. Paths across modules must
//! begin with `crate::`.

#[path = "tidy/bans.rs"]
mod bans;
#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/citations.rs"]
mod citations;
#[path = "tidy/named_tests.rs"]
mod named_tests;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/unsafe_code.rs"]
mod unsafe_code;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use bans::{bans, packages};
use source::sources;

/// A module of the map.
struct Module {
    name: &'static str,
    /// The modules of this crate that it may use, besides itself.
    may_use: &'static [&'static str],
    /// Paths that only it may name, and other modules that list them, too.
    only: &'static [&'static str],
}

const ALL: &[&str] = &["*"];

const MAP: &[Module] = &[
    Module { name: "blocking", may_use: &[], only: &["task::spawn_blocking", "task::block_in_place"] },
    Module { name: "clock", may_use: &[], only: &["SystemTime::now", "turmoil"] },
    Module {
        name: "crypto",
        may_use: &["clock"],
        only: &[
            "aes",
            "aes_gcm",
            "aws_lc_rs",
            "cbc",
            "chacha20",
            "chacha20poly1305",
            "des",
            "getrandom",
            "hmac",
            "md5",
            "rand",
            "rand_core",
            "rdrand",
        ],
    },
    Module { name: "file", may_use: &[], only: &[] },
    Module { name: "disk", may_use: &["config"], only: &[] },
    Module { name: "socket", may_use: &[], only: &["turmoil"] },
    Module { name: "error_code", may_use: &[], only: &[] },
    Module { name: "failpoint", may_use: &[], only: &[] },
    Module { name: "policy", may_use: &["clock"], only: &[] },
    Module { name: "state", may_use: &["crypto", "policy"], only: &[] },
    Module {
        name: "tls",
        may_use: &["blocking", "clock", "config", "crypto", "file", "policy", "socket"],
        only: &["rustls", "tokio_rustls", "rcgen", "aws_lc_rs"],
    },
    Module {
        name: "store",
        may_use: &["clock", "config", "crypto", "disk", "failpoint", "policy", "state"],
        only: &["sled", "raft_log"],
    },
    Module {
        name: "raft",
        may_use: &[
            "blocking",
            "clock",
            "config",
            "crypto",
            "disk",
            "failpoint",
            "policy",
            "socket",
            "state",
            "store",
            "tls",
        ],
        // The adapter between a tonic channel and a TLS stream is hyper's.
        only: &["openraft", "tonic", "hyper", "hyper_util"],
    },
    Module {
        name: "kms",
        may_use: &["blocking", "clock", "config", "crypto", "disk", "policy", "state", "store", "raft"],
        only: &[],
    },
    Module {
        name: "telemetry",
        // It signs the checkpoints of the audit trail.
        may_use: &["clock", "config", "crypto", "disk", "policy"],
        only: &["prometheus_client", "tracing_subscriber"],
    },
    Module {
        name: "http",
        may_use: &["clock", "config", "error_code", "kms", "policy", "socket", "state", "telemetry", "tls"],
        only: &["axum", "hyper", "hyper_util"],
    },
    Module {
        name: "client",
        may_use: &["clock", "crypto", "error_code", "policy", "tls"],
        only: &["hyper", "hyper_util"],
    },
    Module { name: "config", may_use: &["clock", "file", "policy"], only: &["serde_saphyr"] },
    Module {
        name: "cli",
        may_use: &["client", "clock", "config", "crypto", "error_code", "file", "node", "policy", "telemetry", "tls"],
        only: &["clap"],
    },
    Module { name: "node", may_use: ALL, only: &[] },
    Module { name: "lib", may_use: ALL, only: &[] },
    Module { name: "main", may_use: ALL, only: &["clap"] },
];

const MAX_FILE: usize = 400;
const MAX_FUNCTION: usize = 70;

/// Texts that never land, and what to write instead.
const NEVER: &[(&str, &str)] = &[
    ("todo!", "finish it"),
    ("unimplemented!", "finish it"),
    ("dbg!", "`tracing`, when it is worth keeping"),
    ("#[allow(", "`#[expect(…, reason = \"…\")]`"),
    ("#![allow(", "`#![expect(…, reason = \"…\")]`"),
    (".unwrap()", "`?`, or `.expect(\"why this cannot be\")`"),
];

#[test]
fn every_module_is_on_the_map() {
    no_faults(
        sources()
            .iter()
            .filter(|file| module(&file.module).is_none())
            .map(|file| format!("{}: module `{}` is not on the map", file.path.display(), file.module)),
    );
}

#[test]
fn a_module_uses_only_what_the_map_lets_it_use() {
    no_faults(sources().iter().flat_map(|file| {
        let may_use = module(&file.module).map_or(ALL, |module| module.may_use);
        let may = move |used: &str| may_use == ALL || may_use.contains(&used) || file.module == used;
        let beyond = file.modules_used().into_iter().filter(move |used| module(used).is_some() && !may(used));
        beyond.map(|used| format!("{}: `{}` may not use `{used}`", file.path.display(), file.module))
    }));
}

#[test]
fn a_path_out_of_a_module_begins_with_crate() {
    no_faults(
        sources()
            .iter()
            .filter(|file| file.escapes_by_super())
            .map(|file| format!("{}: `super` leads out of the module; write `crate::`", file.path.display())),
    );
}

#[test]
fn no_files_use_each_other_around_a_circle() {
    no_faults(circles::circles(&sources()));
}

#[test]
fn a_crate_is_named_only_where_the_map_says() {
    no_faults(sources().iter().flat_map(|file| {
        let own = module(&file.module).map_or(&[][..], |module| module.only);
        let guarded = MAP.iter().flat_map(|module| module.only).filter(move |path| !own.contains(path));
        let named = guarded.filter(|path| file.names(path));
        named
            .map(|path| format!("{}: `{}` may not name `{path}`", file.path.display(), file.module))
            .collect::<Vec<_>>()
    }));
}

#[test]
fn files_and_functions_are_short() {
    no_faults(sources().iter().flat_map(|file| {
        let lines = file.text.lines().filter(|line| !line.trim().is_empty()).count();
        let long_file = (lines > MAX_FILE).then(|| format!("{}: {lines} lines", file.path.display()));
        let long = file.functions().into_iter().filter(|(_, lines)| *lines > MAX_FUNCTION);
        let long = long.map(|(name, lines)| format!("{}: `{name}` has {lines} lines", file.path.display()));
        long_file.into_iter().chain(long).collect::<Vec<_>>()
    }));
}

#[test]
fn every_file_opens_with_what_it_is() {
    no_faults(
        sources()
            .iter()
            .filter(|file| !file.text.starts_with("//! "))
            .map(|file| format!("{}: the first line says what the file is, after `//!`", file.path.display())),
    );
}

#[test]
fn nothing_unfinished_lands() {
    no_faults(sources().iter().flat_map(|file| {
        let found = NEVER.iter().filter(|(text, _)| file.code.contains(text));
        found
            .map(|(text, instead)| format!("{}: `{text}`; instead: {instead}", file.path.display()))
            .collect::<Vec<_>>()
    }));
}

#[test]
fn unsafe_code_stands_in_one_file() {
    no_faults(unsafe_code::faults(Path::new(env!("CARGO_MANIFEST_DIR"))));
}

#[test]
fn no_dependency_is_one_that_deny_toml_bans() {
    let (deny, lock) = (read("deny.toml"), read("Cargo.lock"));
    let bans = bans(&deny);
    assert!(bans.len() >= 8, "deny.toml is read wrongly: {bans:?}");
    no_faults(packages(&lock).into_iter().flat_map(|(name, version)| {
        let banned = bans.iter().filter(move |ban| ban.matches(name, version));
        banned.map(move |ban| format!("Cargo.lock: {name} {version}: {}", ban.reason)).collect::<Vec<_>>()
    }));
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let manifest = read("Cargo.toml");
    let mut section = "";
    no_faults(manifest.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).filter_map(|line| {
        if line.starts_with('[') {
            section = line;
        }
        let purposeless = section.ends_with("dependencies]") && line != section && !line.contains(" # ");
        purposeless.then(|| format!("Cargo.toml: say what it is for: {line}"))
    }));
}

#[test]
fn every_citation_names_a_heading_that_exists() {
    no_faults(citations::faults(Path::new(env!("CARGO_MANIFEST_DIR"))));
}

#[test]
fn every_test_that_a_document_names_exists() {
    no_faults(named_tests::faults(Path::new(env!("CARGO_MANIFEST_DIR"))));
}

fn no_faults(faults: impl IntoIterator<Item = String>) {
    let faults = faults.into_iter().fold(String::new(), |mut all, fault| {
        writeln!(all, "  {fault}").expect("writing to a string cannot fail");
        all
    });
    assert!(faults.is_empty(), "\n{faults}");
}

fn module(name: &str) -> Option<&'static Module> {
    MAP.iter().find(|module| module.name == name)
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
