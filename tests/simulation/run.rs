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
/// The file in that folder that says what the run did.
const REPORT: &str = "report";
/// How long a run may take in real time, in seconds. One that takes longer waits for something that never happens.
const LONGEST_S: &str = "120";
/// The variable that says which seeds to run instead, as `FIRST..LAST`.
const SEEDS_VARIABLE: &str = "KEYRAFT_SIMULATION_SEEDS";
/// The seeds that every test run compares: clusters of one, three and five nodes.
const SEEDS: [u64; 4] = [4, 8, 10, 16];

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
        let report = scenario::run(self.seed, &self.folder, &trace);
        std::fs::write(self.folder.join(REPORT), report).expect("the folder of the run is there");
        ExitCode::SUCCESS
    }
}

/// Runs each seed twice, and compares the traces.
pub fn compare_all() -> ExitCode {
    let failed = seeds().into_iter().filter(|seed| !same_twice(*seed)).count();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
            let report = std::fs::read_to_string(runs[0].path().join(REPORT)).unwrap_or_default();
            println!("seed {seed}: ok, {} events twice; {report}", first.lines().count());
            true
        }
        Some(difference) => {
            println!("seed {seed}: FAILED: two runs differ: {difference}\n{}", replay(seed));
            false
        }
    }
}

fn seeds() -> Vec<u64> {
    let Ok(asked) = std::env::var(SEEDS_VARIABLE) else { return SEEDS.to_vec() };
    let (first, last) = asked.split_once("..").expect("the seeds are FIRST..LAST");
    let number = |text: &str| text.parse::<u64>().expect("a seed is a number");
    (number(first)..=number(last)).collect()
}

fn start(seed: u64, folder: &Path) -> bool {
    let own = std::env::current_exe().expect("this program has a path");
    // This program's own clock stands still outside of a run.
    let status =
        Command::new("timeout").arg(LONGEST_S).arg(own).env(SEED, seed.to_string()).env(FOLDER, folder).status();
    status.expect("this program can start itself").success()
}

fn replay(seed: u64) -> String {
    format!(
        "to replay it: mkdir /tmp/run && {SEED}={seed} {FOLDER}=/tmp/run cargo test --features simulation --test simulation"
    )
}
