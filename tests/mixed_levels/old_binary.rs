//! The binary of the usual build, which the test builds itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where cargo puts the binary. While this test is built, that is the one of the test build.
const BUILT: &str = env!("CARGO_BIN_EXE_keyraft");

/// The binary of the usual build. The first call builds it.
pub fn old_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(build)
}

fn build() -> PathBuf {
    let profile = Path::new(BUILT).parent().expect("it is in a folder");
    let target = profile.parent().expect("it is in the target folder");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--locked", "--bin", "keyraft", "--manifest-path"]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).arg("--target-dir").arg(target);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("keyraft-level-1");
    // A process that still runs it keeps the old file.
    let _ = fs::remove_file(&copy);
    fs::copy(BUILT, &copy).expect("the target folder is writable");
    copy
}
