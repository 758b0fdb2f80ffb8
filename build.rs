//! Compiles `proto/` with a compiler written in Rust, so that no protoc is needed, and notes the commit that is built.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The longest commit noted, so that `/version` stays small.
const MAX_COMMIT: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=proto");
    let files =
        ["state.proto", "store.proto", "peer.proto", "reserved.proto"].map(|file| Path::new("proto").join(file));
    let descriptors = protox::compile(&files, ["proto"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    note_commit();
    Ok(())
}

/// The commit is the one that `KEYRAFT_COMMIT` names, else the one of the checkout; without both, none is noted.
fn note_commit() {
    println!("cargo:rerun-if-env-changed=KEYRAFT_COMMIT");
    let told = std::env::var("KEYRAFT_COMMIT").ok().filter(|commit| !commit.is_empty());
    if let Some(commit) = told.or_else(commit_of_checkout).filter(|commit| is_commit(commit)) {
        println!("cargo:rustc-env=KEYRAFT_BUILD_COMMIT={commit}");
    }
}

/// The commit that is checked out. A source archive inside another checkout has none, nor has a machine without git.
fn commit_of_checkout() -> Option<String> {
    let top = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?).canonicalize().ok()?;
    if top != std::env::current_dir().ok()?.canonicalize().ok()? {
        return None;
    }
    // Each commit and each checkout writes a line to the log of HEAD; the others are for checkouts that keep none.
    let reference = git(&["symbolic-ref", "-q", "HEAD"]);
    for file in ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(reference.as_deref()) {
        // What does not exist would have the build begin anew each time.
        if let Some(path) = git(&["rev-parse", "--git-path", file]).filter(|path| Path::new(path).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn is_commit(text: &str) -> bool {
    text.len() <= MAX_COMMIT && text.bytes().all(|b| b.is_ascii_graphic())
}
