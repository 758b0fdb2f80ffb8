//! `keyraft bench`: a load test of Keyraft or any KES-compatible server, over the public API.

mod progress;

use std::sync::Arc;
use std::time::Duration;

use super::connect::Connect;
use super::denial::explained;
use super::escape::printable;
use super::output::{DIM, STRONG, WARN, table};
use super::{Error, Output};
use crate::client::load::{Http, Latency, LoadPlan, LoadProgress, LoadReport, Mix, run as run_load};

/// Measure a server: throughput, latency, errors and CPU
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    connect: Connect,
    /// Operations and their weights: create, generate, encrypt, decrypt, hmac, describe, list, status, connect
    #[arg(long, default_value = "generate=50,decrypt=50", value_name = "MIX")]
    op: Mix,
    /// Clients that send requests at the same time
    #[arg(short, long, default_value_t = 64, value_parser = positive)]
    clients: usize,
    /// Connections that the clients share, over HTTP/2 [default: one for eight clients]
    #[arg(long, value_name = "N", value_parser = positive)]
    connections: Option<usize>,
    /// Version of HTTP: 1 (each client has a connection of its own) or 2
    #[arg(long, default_value = "2", value_parser = http)]
    http: Http,
    /// How long to measure
    #[arg(short, long, default_value = "10s", value_parser = time)]
    duration: Duration,
    /// How long to warm up before the measurement
    #[arg(long, default_value = "2s", value_parser = time)]
    warm_up: Duration,
    /// Requests a second in all, sent on time whether or not the server keeps up [default: as many as the server takes]
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// How long an answer or a connection may take; after that it counts as an error, and the client tries the next server
    #[arg(long, default_value = "10s", value_parser = limit, value_name = "TIME")]
    timeout: Duration,
    /// How many keys to use; the test creates them first and deletes them at the end
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = positive)]
    keys: usize,
    /// Do not delete these keys at the end
    #[arg(long)]
    keep: bool,
    /// Server processes on this machine, to report their CPU time per request
    #[arg(long, value_name = "PID", num_args = 1..)]
    pid: Vec<u32>,
}

const EXAMPLES: &str = "\
Examples:
  keyraft bench                                              data keys and their decryption, 64 clients
  keyraft bench --op create --clients 64                     durable writes
  keyraft bench --op decrypt --http 1 --pid $(pidof keyraft)  with the server's CPU time per request
  keyraft bench --op decrypt --rate 5000                     latency at a load that the server can take
  keyraft bench --op connect --clients 16                    new mutual-TLS connections
  keyraft bench --json --duration 60s | jq .latency
  keyraft bench -s kms-1,kms-2,kms-3 --duration 60s --timeout 1s  a fail-over: stop a node meanwhile

A request counts when the server answers it with 200 within the measured time. With --rate, a request that had to wait
for the one before counts from when it was due. The keys have names like bench-…. Ctrl-C ends the test early; it still
prints its report and deletes its keys.

When a connection breaks, the test connects again: to the next server of the list if the first does not answer or
answers 503. It counts errors by kind and goes on to its end. The longest gap is the longest time without a good
answer. The test fails only when no server answers at all.";

/// Runs the load test and prints its report.
pub async fn run(args: &Args, output: Output) -> Result<(), Error> {
    // The future is large, and without a box every command's future would be as large.
    Box::pin(explained(&args.connect, act(args, output))).await
}

async fn act(args: &Args, output: Output) -> Result<(), Error> {
    let plan = plan(args)?;
    let progress = Arc::new(LoadProgress::default());
    let interrupted = tokio::spawn(stop_on_interrupt(progress.clone()));
    let watching = progress::watch(progress.clone(), &plan, output);
    let outcome = run_load(&plan, progress).await;
    watching.end().await;
    interrupted.abort();
    let report = outcome?;
    output.either(&report, || render(&report))
}

fn plan(args: &Args) -> Result<LoadPlan, Error> {
    let settings = args.connect.settings()?;
    let connections = match (args.http, args.connections) {
        (Http::One, None) => args.clients,
        (Http::One, Some(_)) => {
            let reason = "with --http 1 each client has a connection of its own; use --clients instead".to_owned();
            return Err(Error::Setting { name: "--connections".to_owned(), reason });
        }
        (Http::Two, connections) => connections.unwrap_or(args.clients.div_ceil(8)).min(args.clients),
    };
    Ok(LoadPlan {
        endpoints: settings.endpoints,
        credentials: settings.credentials,
        trust: settings.trust,
        http: args.http,
        mix: args.op.clone(),
        clients: args.clients,
        connections,
        warm_up: args.warm_up,
        duration: args.duration,
        rate: args.rate,
        timeout: args.timeout,
        keys: args.keys,
        keep: args.keep,
        pids: args.pid.clone(),
    })
}

async fn stop_on_interrupt(progress: Arc<LoadProgress>) {
    if tokio::signal::ctrl_c().await.is_ok() {
        progress.stop();
    }
}

fn render(report: &LoadReport) -> String {
    let mut lines = vec![
        format!("{DIM}{}{DIM:#}", setting(report)),
        String::new(),
        format!(
            "{STRONG}{:.0} requests/s{STRONG:#}  ({} in {:.1} s)",
            report.throughput, report.requests, report.seconds
        ),
        String::new(),
        latencies(report),
    ];
    lines.extend(cpu(report));
    lines.push(String::new());
    lines.push(errors(report));
    lines.extend(gap(report));
    lines.join("\n")
}

fn setting(report: &LoadReport) -> String {
    let version = if report.http == 1 { "HTTP/1.1" } else { "HTTP/2" };
    let rate = report.rate.map_or_else(String::new, |rate| format!(", {rate} requests/s asked for"));
    let (clients, connections) = (report.clients, report.connections);
    format!("{} over {version}, {clients} clients on {connections} connections{rate}", report.servers.join(", "))
}

fn latencies(report: &LoadReport) -> String {
    let single = report.operations.len() == 1;
    let each = report.operations.iter().map(|(name, one)| row(name, one.throughput, &one.latency));
    let all = (!single).then(|| row("all", report.throughput, &report.latency));
    table(["OPERATION", "REQUESTS/S", "P50", "P90", "P99", "P99.9", "MAX"], each.chain(all))
}

fn row(name: &str, throughput: f64, latency: &Latency) -> [String; 7] {
    let Latency { p50_us, p90_us, p99_us, p999_us, max_us, .. } = *latency;
    let [p50, p90, p99, p999, max] = [p50_us, p90_us, p99_us, p999_us, max_us].map(duration);
    [name.to_owned(), format!("{throughput:.0}"), p50, p90, p99, p999, max]
}

fn duration(micros: f64) -> String {
    match micros {
        us if us < 1e3 => format!("{us:.0} µs"),
        us if us < 1e6 => format!("{:.2} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

fn cpu(report: &LoadReport) -> Option<String> {
    let cpu = report.cpu?;
    let server = cpu.server_us_per_request.map(|us| format!("server {us:.1} µs, "));
    let client = cpu.client_us_per_request;
    Some(format!("\nCPU per request: {}load generator {client:.1} µs", server.unwrap_or_default()))
}

fn errors(report: &LoadReport) -> String {
    if report.errors.is_empty() && report.unanswered == 0 {
        return "No errors.".to_owned();
    }
    let kinds = report.errors.iter().map(|(kind, count)| format!("{}: {count}", printable(kind)));
    let unanswered = (report.unanswered > 0).then(|| format!("unanswered: {}", report.unanswered));
    format!("{WARN}Errors{WARN:#}  {}", kinds.chain(unanswered).collect::<Vec<_>>().join(", "))
}

/// Connections made again and the longest gap; nothing if the gap is about as long as a slow request.
fn gap(report: &LoadReport) -> Option<String> {
    let (length, at) = (report.longest_gap_ms, report.longest_gap_at_seconds);
    let is_long = length >= 100.0 && length * 1e3 > 2.0 * report.latency.p99_us;
    let times = if report.reconnects == 1 { "once".to_owned() } else { format!("{} times", report.reconnects) };
    (is_long || report.reconnects > 0).then(|| {
        let length = duration(length * 1e3);
        format!(
            "Connected again {times}. Longest time without a good answer: {length}, {at:.1} s into the measurement."
        )
    })
}

fn http(text: &str) -> Result<Http, String> {
    match text {
        "1" | "1.1" => Ok(Http::One),
        "2" => Ok(Http::Two),
        _ => Err("write 1 or 2".to_owned()),
    }
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| (1..=1_000_000).contains(number))
        .ok_or("write a number from 1 to 1000000".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|rate| (0.001..1e9).contains(rate)).ok_or("write a positive number".to_owned())
}

/// Reads `500ms`, `10s`, `10` (seconds) and `2m`.
fn time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let seconds = match &text[digits.len()..] {
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("write a time such as 500ms, 10s or 2m".to_owned()),
    };
    let number: f64 = digits.parse().map_err(|_| "write a time such as 500ms, 10s or 2m".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

/// Reads a time that must not be zero.
fn limit(text: &str) -> Result<Duration, String> {
    time(text).and_then(|time| if time.is_zero() { Err("it must be longer than 0s".to_owned()) } else { Ok(time) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let table = [("500ms", 500), ("10s", 10_000), ("10", 10_000), ("1.5m", 90_000), ("0s", 0)];
        for (text, millis) in table {
            assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "10d", "-1s", "x"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_latency_is_shown_in_the_unit_of_its_size() {
        assert_eq!([85.4, 1234.0, 2_500_000.0].map(duration), ["85 µs", "1.23 ms", "2.50 s"]);
    }
}
