//! Compares durable creates with the log that makes them durable.
//!
//! `cargo bench --bench creates` starts a cluster and loads it with creates. In turn it loads the log alone: its group
//! commit, with the same entries, as many writers, and the same disk. It prints the throughput of the cluster as a share of
//! the log's.

mod cluster;
mod log;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use comfy_table::Table;
use comfy_table::presets::NOTHING;

/// Durable creates as a share of the log's own group commit
#[derive(Parser)]
#[command(name = "creates")]
struct Options {
    /// Rounds; the table shows their medians
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds that count in each round, for the log, for the cluster, and for each number of writers
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Nodes of the cluster
    #[arg(long, default_value_t = 3)]
    nodes: u16,
    /// Writers at the same time
    #[arg(long, value_delimiter = ',', default_value = "64,1")]
    writers: Vec<usize>,
    /// Where the log and the cluster keep their data [default: a temporary folder]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// `cargo bench` passes this to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let folder = Folder(
        options.dir.clone().unwrap_or_else(std::env::temp_dir).join(format!("keyraft-creates-{}", std::process::id())),
    );
    std::fs::create_dir_all(&folder.0)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let table = runtime.block_on(compare(&options, &folder.0))?;
    println!("{table}");
    Ok(())
}

/// Measures both in turn, so that other load on the machine affects both.
async fn compare(options: &Options, dir: &std::path::Path) -> Result<Table, Box<dyn std::error::Error>> {
    let time = Duration::from_secs_f64(options.seconds);
    let cluster = cluster::Cluster::start(dir, options.nodes).await?;
    let mut table = Table::new();
    let header = ["WRITERS", "THE LOG ALONE/S", "CREATES/S", "SHARE", "SHARE, LEAST TO MOST", "SERVERS' CPU A CREATE"];
    table.load_preset(NOTHING).set_header(header);
    for &writers in &options.writers {
        let (mut alone, mut creates, mut shares, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for round in 1..=options.rounds.max(1) {
            eprintln!("{writers} writers, round {round} of {}", options.rounds);
            let log = log::appends_a_second(&dir.join(format!("log-{writers}-{round}")), writers, time).await?;
            let created = cluster.creates_a_second(writers, time).await?;
            shares.push(created.throughput / log);
            alone.push(log);
            creates.push(created.throughput);
            cpu.push(created.cpu_us);
        }
        table.add_row([
            writers.to_string(),
            format!("{:.0}", median(&mut alone)),
            format!("{:.0}", median(&mut creates)),
            format!("{:.3}", median(&mut shares)),
            format!("{:.3} – {:.3}", shares[0], shares[shares.len() - 1]),
            format!("{:.0} µs", median(&mut cpu)),
        ]);
    }
    Ok(table)
}

/// The median. Sorts the values.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2])
}

/// A folder, which is deleted when this value is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
