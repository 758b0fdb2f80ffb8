//! The load generator: it sends a mix of operations from many clients at once, and measures how long each took.
//!
//! It must cost little, since it usually shares a machine with the server. So it opens connections and builds requests
//! beforehand, drives an HTTP/1.1 connection in the task of its client, and reads answers without parsing them.

mod bench_keys;
mod connection;
mod counts;
mod cpu;
mod error;
mod mix;
mod plan;
mod progress;
mod report;
mod requests;
mod schedule;
mod target;
#[cfg(test)]
mod tests;
mod transport_failure;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use self::bench_keys::BenchKeys;
use self::connection::{Connector, LoadConnection};
use self::counts::WorkerCounts;
use self::cpu::CpuTimes;
pub use self::error::LoadError;
pub use self::mix::{LoadOperation, Mix, MixError};
pub use self::plan::{Http, LoadPlan};
pub use self::progress::{Gap, LoadProgress, Phase};
pub use self::report::{Cpu, Latency, LoadReport, OperationReport};
use self::requests::Requests;
use self::schedule::Schedule;
use self::target::Target;
use self::worker::{MeasurementWindow, Worker};
use super::ApiClient;
use crate::client;
use crate::tls::{Alpn, ClientTls};

/// How long to wait for answers after the end of the measurement.
const LATE_ANSWERS: Duration = Duration::from_secs(20);
/// How many connections to open at a time before the test.
const OPENED_AT_ONCE: usize = 32;

/// Runs a plan: creates keys, warms up, measures, and deletes the keys.
///
/// # Errors
/// No server can be reached, or one refuses what the plan needs. The report counts the errors of single requests under
/// load, as long as any server answers.
pub async fn run(plan: &LoadPlan, progress: Arc<LoadProgress>) -> Result<LoadReport, LoadError> {
    let tls = |alpn| ClientTls::new(&plan.credentials, &plan.trust, alpn).map_err(LoadError::Tls);
    let client = ApiClient::new(plan.endpoints.clone(), tls(Alpn::Either)?);
    progress.enter(Phase::Preparing);
    let keys = BenchKeys::create(&client, plan).await?;
    let measured = measure(plan, &tls(plan.http.alpn())?, &keys, &progress).await;
    if !plan.keep {
        progress.enter(Phase::CleaningUp);
        let created = measured.as_ref().map(|(_, created)| created.as_slice()).unwrap_or_default();
        keys.delete(&client, created, plan.clients).await;
    }
    measured.map(|(report, _)| report)
}

/// Returns the report, and how many keys each client created, by its number.
async fn measure(
    plan: &LoadPlan,
    tls: &ClientTls,
    keys: &BenchKeys,
    progress: &Arc<LoadProgress>,
) -> Result<(LoadReport, Vec<(usize, u64)>), LoadError> {
    let workers = workers(plan, tls, keys, progress).await?;
    let window = MeasurementWindow::starting_now(plan.warm_up, plan.duration);
    progress.enter(Phase::WarmingUp);
    let mut running: JoinSet<WorkerCounts> = workers.into_iter().map(|worker| worker.run(window)).collect();
    progress.until_stopped_or(sleep_until(window.begin)).await;
    let cpu = CpuTimes::now(&plan.pids)?;
    progress.enter(Phase::Measuring);
    progress.until_stopped_or(sleep_until(window.end)).await;
    // A process that ended meanwhile must not cost the whole report.
    let cpu = CpuTimes::now(&plan.pids).ok().map(|now| now.since(&cpu));
    let measured = Instant::now() - window.begin;
    let mut all_counts = Vec::new();
    progress.close();
    let gap = progress.longest_gap();
    let _ = timeout(LATE_ANSWERS, async {
        while let Some(counts) = running.join_next().await {
            all_counts.extend(counts);
        }
    })
    .await;
    if progress.is_without_answer() {
        return Err(LoadError::NoAnswer { failures: progress.failures() });
    }
    let unanswered = running.len();
    let created = all_counts.iter().map(|counts| (counts.worker, counts.created)).collect();
    Ok((LoadReport::new(plan, measured, all_counts, unanswered, gap, cpu), created))
}

/// Every client, of which at least one has a connection.
async fn workers(
    plan: &LoadPlan,
    tls: &ClientTls,
    keys: &BenchKeys,
    progress: &Arc<LoadProgress>,
) -> Result<Vec<Worker>, LoadError> {
    let requests: Arc<[_]> = plan.endpoints.iter().map(|at| Requests::new(plan, at, keys)).collect();
    let servers: Arc<[_]> =
        plan.endpoints.iter().map(|endpoint| Target::new(endpoint, tls, plan.http, plan.timeout)).collect();
    let connectors: Vec<_> = (0..plan.connections)
        .map(|number| Connector::new(servers.clone(), number % servers.len(), plan.http))
        .collect();
    let connections = (0..plan.clients).map(|number| connectors[number % connectors.len()].connection(plan.timeout));
    let connections: Vec<_> = stream::iter(connections)
        .map(|connection| opened(connection, &servers))
        .buffered(OPENED_AT_ONCE)
        .collect()
        .await;
    let (connections, failures): (Vec<_>, Vec<_>) = connections.into_iter().unzip();
    if !connections.iter().any(LoadConnection::is_open)
        && let Some(error) = failures.into_iter().flatten().next()
    {
        return Err(error);
    }
    let worker = |(number, connection)| Worker {
        number,
        connection,
        requests: requests.clone(),
        mix: plan.mix.clone(),
        schedule: Schedule::new(plan.rate, number, plan.clients),
        progress: progress.clone(),
    };
    Ok(connections.into_iter().enumerate().map(worker).collect())
}

/// Opens the connection to the first server that can be reached, or returns why the first one could not be.
async fn opened(mut connection: LoadConnection, servers: &[Target]) -> (LoadConnection, Option<LoadError>) {
    let mut first = None;
    for _ in servers {
        let endpoint = servers[connection.server()].endpoint().clone();
        match connection.open().await {
            Ok(()) => return (connection, None),
            Err(Some(error)) if first.is_none() => {
                let error = client::Error::Transport { endpoint, source: error.into(), sent: false };
                first = Some(LoadError::Client(error));
            }
            Err(_) => {}
        }
    }
    (connection, first)
}
