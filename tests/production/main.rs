//! `docs/production.md` works: its command blocks, as they stand there, set up three nodes and let MinIO in.
//!
//! Real are the programs, the files, the network and, as root, the users. The machines are folders of this one, systemd
//! and scp have stand-ins, and MinIO is played by what it sends. `scripts/minio-e2e` has a real MinIO.

mod document;
mod minio;
#[expect(dead_code, reason = "this binary uses a part of what the tests share")]
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::{env, fs};

use document::{Block, blocks};
use world::{Means, World, printed};

const TEST: &str = "the_blocks_of_the_page_work_as_they_stand";
/// In namespaces the test runs once more, as a process of its own that finds this variable.
const INSIDE: &str = "KEYRAFT_PRODUCTION_INSIDE";

#[test]
fn the_blocks_of_the_page_work_as_they_stand() {
    match env::var(INSIDE).as_deref() {
        Ok("Root") => work_through(Means::Root),
        Ok("User") => work_through(Means::User),
        // Nothing but a person sets this, to try that way where namespaces work.
        Ok("Neither") => work_through(Means::Neither),
        _ => match [Means::Root, Means::User].into_iter().find(|means| means.work()) {
            Some(means) => go_inside(means),
            None => work_through(Means::Neither),
        },
    }
}

/// Runs this test in namespaces.
fn go_inside(means: Means) {
    let mut command = means.enter().expect("these means are namespaces");
    command.arg(env::current_exe().expect("this program has a file")).args(["--exact", TEST, "--nocapture"]);
    let output = command.env(INSIDE, format!("{means:?}")).output().expect("unshare is there");
    assert!(output.status.success(), "with {means:?}: {}", printed(&output));
}

fn work_through(means: Means) {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/production.md")).expect("it is there");
    let blocks = blocks(&page).unwrap_or_else(|faults| panic!("docs/production.md:\n{faults}"));
    let world = World::make(means);
    world.run_on("admin", "false\ntrue\n").expect_err("a block fails with its first command that fails");
    for block in &blocks {
        world.run(block).unwrap_or_else(|failure| panic!("with {means:?}: {failure}"));
    }
    assert!(blocks.iter().any(|block| block.text.contains("keyraft check")), "the page has the blocks that count");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(minio::check(&world));
    check_nodes(&world, &blocks);
}

/// The nodes run without a warning about how the page set them up.
fn check_nodes(world: &World, blocks: &[Block]) {
    let machines = blocks.iter().flat_map(|block| &block.machines).filter(|name| name.starts_with("kms"));
    for machine in std::collections::BTreeSet::from_iter(machines) {
        let check = "runuser -u keyraft -- keyraft check --json /etc/keyraft/config.yml";
        let found = world.run_on(machine, check).expect("the node's files have no problem");
        assert!(found.contains(r#""warnings":[]"#), "{machine}: {found}");
    }
}
