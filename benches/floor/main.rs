//! Compares Keyraft with a floor: a server with the same accept loop, TLS settings and answers, but without logic.
//!
//! `cargo bench --bench floor` starts both, loads them in turn and prints Keyraft's throughput and its CPU time per
//! request as a share of the floor's, for HTTP/1.1, HTTP/2 and new connections.

mod compare;
mod floor;
mod servers;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// The variable that makes a child process the floor. It holds the folder of the certificate and the key.
const FLOOR_FILES: &str = "KEYRAFT_FLOOR_FILES";

/// Compare Keyraft with its floor
#[derive(Parser)]
#[command(name = "floor")]
struct Options {
    /// Rounds; the table shows their medians
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds that count in each round, for each server and workload
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Clients that send requests at the same time
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Load this running server instead of starting a node; needs --ca, --cert, --key and --pid
    #[arg(long, value_name = "HOST:PORT", requires_all = ["ca", "cert", "key", "pid"])]
    url: Option<String>,
    /// PEM file of the CA of that server
    #[arg(long)]
    ca: Option<PathBuf>,
    /// PEM file of an admin's certificate
    #[arg(long)]
    cert: Option<PathBuf>,
    /// PEM file of that certificate's key
    #[arg(long)]
    key: Option<PathBuf>,
    /// Process id of that server
    #[arg(long)]
    pid: Option<u32>,
    /// `cargo bench` passes this to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some(files) = std::env::var_os(FLOOR_FILES) {
        return runtime.block_on(floor::serve(files.as_ref()));
    }
    let options = Options::parse();
    runtime.block_on(async {
        let servers = servers::start(&options).await?;
        let time = Duration::from_secs_f64(options.seconds);
        compare::run(&servers, options.rounds, time, options.clients).await
    })
}
