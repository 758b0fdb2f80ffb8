//! What happens in a run: a cluster starts from nothing, clients use it while faults come and go, and then it must recover.

use std::path::Path;
use std::time::Duration;

use rand10::rngs::StdRng;
use rand10::{RngExt as _, SeedableRng as _};

use crate::clients::Clients;
use crate::cluster::Cluster;
use crate::faults::{self, Fault, Scheduled};
use crate::invariants::digests::Digests;
use crate::invariants::recovery;
use crate::trace::Trace;

/// How long the first start may take.
const FIRST_START: Duration = Duration::from_secs(20);
/// How long clients and faults go on.
const MS: u64 = 15_000;
/// How many faults a run has.
const FAULTS: usize = 8;
/// Separates the choices of the scenario from the random bytes of the nodes.
const CHOICES: u64 = 0x5ce4;

/// A fault of the schedule, and what has become of it.
struct Installed {
    scheduled: Scheduled,
    holds: bool,
    over: bool,
    /// Whether clients waited for answers or asked while it held.
    met_traffic: bool,
}

/// Runs one seed, and returns what to report.
pub fn run(seed: u64, folder: &Path, trace: &Trace) -> String {
    let mut rng = StdRng::seed_from_u64(seed ^ CHOICES);
    let nodes = [1, 3, 3, 3, 5][rng.random_range(0..5)];
    let mut cluster = Cluster::start(seed, folder, nodes, trace);
    let (mut clients, mut digests) = (Clients::default(), Digests::default());
    for node in cluster.numbers() {
        cluster.wait_until_serving(node, FIRST_START);
    }
    let begun_ms = cluster.now_ms();
    let scheduled = faults::schedule(&mut rng, FAULTS, nodes, MS);
    let install = |scheduled| Installed { scheduled, holds: false, over: false, met_traffic: false };
    let mut installed: Vec<_> = scheduled.into_iter().map(install).collect();
    while installed.iter().any(|fault| !fault.over) || cluster.now_ms() < begun_ms + MS {
        let changed = follow(&mut installed, cluster.now_ms() - begun_ms, &cluster);
        if changed {
            let holding: Vec<Fault> = installed.iter().filter(|one| one.holds).map(|one| one.scheduled.fault).collect();
            cluster.have(&holding);
        }
        let asks = rng.random_range(0..8) == 0;
        if asks {
            clients.ask(&cluster, &mut rng);
        }
        for fault in installed.iter_mut().filter(|fault| fault.holds) {
            fault.met_traffic |= asks || clients.waiting() > 0;
        }
        cluster.step();
        clients.take_answers(&cluster);
        cluster.each_progress(|node, progress| digests.check(node, progress));
    }
    cluster.have(&[]);
    recovery::check(&mut cluster, &mut clients);
    cluster.each_progress(|node, progress| digests.check(node, progress));
    let met = installed.iter().filter(|fault| fault.met_traffic).count();
    assert!(met > 0, "no fault met traffic, so the run shows nothing");
    let (figures, positions) = (clients.figures, digests.count());
    format!(
        "{nodes} nodes, {met} of {FAULTS} faults met traffic, {figures:?}, {positions} positions, {:?}",
        cluster.elapsed()
    )
}

/// Begins and ends the faults whose time has come. Returns whether any did.
fn follow(installed: &mut [Installed], now_ms: u64, cluster: &Cluster<'_>) -> bool {
    let mut changed = false;
    for fault in installed.iter_mut().filter(|fault| !fault.over) {
        let Scheduled { begins_ms, ends_ms, .. } = fault.scheduled;
        if !fault.holds && now_ms >= begins_ms {
            cluster.note(format_args!("begins: {}", fault.scheduled));
            (fault.holds, changed) = (true, true);
        } else if fault.holds && now_ms >= ends_ms {
            cluster.note(format_args!("ends: {}", fault.scheduled));
            (fault.holds, fault.over, changed) = (false, true, true);
        }
    }
    changed
}
