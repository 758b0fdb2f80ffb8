//! The command line against real nodes: the built binary, as a shell runs it.

mod access;
mod apply;
mod audit;
mod bench;
mod check;
mod cluster;
mod codes;
mod failures;
mod keys;
mod logs;
mod migrate;
mod reloads;
mod scripts;
mod shapes;
mod shell;
mod starts;
#[expect(dead_code, reason = "this binary uses a part of what the tests share")]
#[path = "../support/mod.rs"]
mod support;
