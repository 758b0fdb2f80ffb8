//! Runs: one seed in a process of its own, and the comparison of two runs of the same seed.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rand10::SeedableRng;
use rand10::rngs::StdRng;

use crate::scenario;
use crate::trace::{self, Trace};

/// The variable that says which seed this process simulates.
const SEED: &str = "KEYRAFT_SIMULATION_SEED";
/// The variable that says in which folder.
const FOLDER: &str = "KEYRAFT_SIMULATION_FOLDER";
/// The seeds that every test run compares.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;

/// A run that this process was started for.
pub struct AskedFor {
    seed: u64,
    folder: PathBuf,
}

/// The run that the environment asks this process for, if it does.
pub fn asked_for() -> Option<AskedFor> {
    let seed = std::env::var(SEED).ok()?.parse().expect("the seed is a number");
    let folder = PathBuf::from(std::env::var(FOLDER).expect("whoever names a seed names a folder"));
    Some(AskedFor { seed, folder })
}

impl AskedFor {
    /// Simulates it, and writes its trace.
    pub fn simulate(self) -> ExitCode {
        mad_turmoil::rand::set_rng(StdRng::seed_from_u64(self.seed));
        let _clocks = mad_turmoil::time::SimClocksGuard::init();
        let trace = Trace::start(&self.folder);
        scenario::run(self.seed, &self.folder, &trace);
        ExitCode::SUCCESS
    }
}

/// Runs each seed twice, and compares the traces.
pub fn compare_all() -> ExitCode {
    let failed: Vec<u64> = SEEDS.filter(|seed| !same_twice(*seed)).collect();
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn same_twice(seed: u64) -> bool {
    let runs = [(); 2].map(|()| tempfile::tempdir().expect("a folder can be made"));
    let ended = runs.each_ref().map(|folder| start(seed, folder.path()));
    if ended != [true; 2] {
        println!("seed {seed}: FAILED: {}", replay(seed));
        return false;
    }
    let [first, second] = runs.each_ref().map(|folder| trace::read(folder.path()));
    match trace::difference(&first, &second) {
        None => {
            println!("seed {seed}: ok, {} events twice", first.lines().count());
            true
        }
        Some(difference) => {
            println!("seed {seed}: FAILED: two runs differ: {difference}\n{}", replay(seed));
            false
        }
    }
}

fn start(seed: u64, folder: &Path) -> bool {
    let own = std::env::current_exe().expect("this program has a path");
    let status = Command::new(own).env(SEED, seed.to_string()).env(FOLDER, folder).status();
    status.expect("this program can start itself").success()
}

fn replay(seed: u64) -> String {
    format!(
        "to replay it: mkdir /tmp/run && {SEED}={seed} {FOLDER}=/tmp/run cargo test --features simulation --test simulation"
    )
}
