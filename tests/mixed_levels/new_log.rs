//! The log of the nodes of the new version, which all run in this process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use tracing::Level;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

/// What the nodes of the new version have logged, in all tests of this process. Logging begins with the first call.
pub fn new_log() -> String {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    fs::read_to_string(FILE.get_or_init(start)).expect("the file is ours")
}

fn start() -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mixed-levels.log");
    let file = File::create(&path).expect("the target folder is writable");
    let ours = filter_fn(|event| event.target().starts_with("keyraft") && *event.level() <= Level::INFO);
    let lines = fmt::layer().with_ansi(false).with_writer(Mutex::new(file)).with_filter(ours);
    tracing_subscriber::registry().with(lines).init();
    path
}
