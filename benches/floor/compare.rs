//! Loads both servers in turn, and prints medians and their ratio.

use std::sync::Arc;
use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use keyraft::client::load::{self, Http, LoadPlan, LoadProgress, LoadReport};

use super::servers::{Server, Servers};

const WARM_UP: Duration = Duration::from_secs(1);
const KEYS: usize = 16;

/// A load for both servers.
struct Workload {
    name: &'static str,
    http: Http,
    mix: &'static str,
}

const WORKLOADS: [Workload; 3] = [
    Workload { name: "HTTP/1.1", http: Http::One, mix: "generate=50,decrypt=50" },
    Workload { name: "HTTP/2", http: Http::Two, mix: "generate=50,decrypt=50" },
    Workload { name: "new connections", http: Http::One, mix: "connect" },
];

/// The result of one round with one server.
#[derive(Clone, Copy)]
struct Round {
    throughput: f64,
    cpu_us: f64,
}

/// Runs every workload in rounds, with the servers in turn, so that other load on the machine affects both.
pub async fn run(
    servers: &Servers,
    rounds: usize,
    time: Duration,
    clients: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(["", "", "REQUESTS/S", "SHARE", "SERVER CPU A REQUEST", "SHARE"]);
    for workload in &WORKLOADS {
        let (mut floor, mut keyraft) = (Vec::new(), Vec::new());
        for round in 1..=rounds.max(1) {
            eprintln!("{}, round {round} of {rounds}", workload.name);
            floor.push(measure(&servers.floor, workload, time, clients).await?);
            keyraft.push(measure(&servers.keyraft, workload, time, clients).await?);
        }
        let (base, measured) = (median(&floor), median(&keyraft));
        table.add_row(row(workload.name, servers.floor.name, base, base));
        table.add_row(row("", servers.keyraft.name, measured, base));
    }
    println!("{table}");
    Ok(())
}

async fn measure(
    server: &Server,
    workload: &Workload,
    time: Duration,
    clients: usize,
) -> Result<Round, Box<dyn std::error::Error>> {
    let report = load::run(&plan(server, workload, time, clients)?, Arc::new(LoadProgress::default())).await?;
    if !report.errors.is_empty() || report.unanswered > 0 {
        return Err(format!("{} failed requests: {:?}", server.name, report.errors).into());
    }
    round(&report).ok_or_else(|| format!("{} answered nothing", server.name).into())
}

fn round(report: &LoadReport) -> Option<Round> {
    let cpu_us = report.cpu?.server_us_per_request?;
    Some(Round { throughput: report.throughput, cpu_us })
}

fn plan(server: &Server, workload: &Workload, time: Duration, clients: usize) -> Result<LoadPlan, load::MixError> {
    Ok(LoadPlan {
        endpoints: vec![server.endpoint.clone()],
        credentials: server.credentials.clone(),
        trust: server.trust.clone(),
        http: workload.http,
        mix: workload.mix.parse()?,
        clients,
        connections: if workload.http == Http::One { clients } else { clients.div_ceil(8) },
        warm_up: WARM_UP,
        duration: time,
        rate: None,
        timeout: Duration::from_secs(10),
        keys: KEYS,
        keep: false,
        pids: vec![server.pid],
    })
}

fn median(rounds: &[Round]) -> Round {
    let middle = |of: fn(&Round) -> f64| {
        let mut values: Vec<_> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        f64::midpoint(low, high)
    };
    Round { throughput: middle(|round| round.throughput), cpu_us: middle(|round| round.cpu_us) }
}

fn row(workload: &str, server: &str, of: Round, base: Round) -> [String; 6] {
    [
        workload.to_owned(),
        server.to_owned(),
        format!("{:.0}", of.throughput),
        format!("{:.2}", of.throughput / base.throughput),
        format!("{:.1} µs", of.cpu_us),
        format!("{:.2}", of.cpu_us / base.cpu_us),
    ]
}
