//! The load generator: a mix of operations from many clients at once, and how long each took.
//!
//! Light by design, since it usually shares a machine with the server: connections and requests are made
//! beforehand, an HTTP/1.1 client drives its connection in its own task, and answers are read but not parsed.

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
use self::worker::{Window, Worker};
use super::ApiClient;
use crate::client;
use crate::tls::{Alpn, ClientTls};

/// How long answers may come after the end of the measurement.
const LATE: Duration = Duration::from_secs(20);
/// Connections that are made at a time before the test.
const AT_ONCE: usize = 32;

/// Runs a plan: makes keys, warms up, measures, and deletes what it made.
///
/// # Errors
/// No server can be reached, or one refuses what the plan needs. Errors of single requests under load are counted
/// instead, as long as there is an answer at all.
pub async fn run(plan: &LoadPlan, progress: Arc<LoadProgress>) -> Result<LoadReport, LoadError> {
    let tls = |alpn| ClientTls::new(&plan.credentials, &plan.trust, alpn).map_err(LoadError::Tls);
    let client = ApiClient::new(plan.endpoints.clone(), tls(Alpn::Either)?);
    progress.enter(Phase::Preparing);
    let keys = BenchKeys::make(&client, plan).await?;
    let measured = measure(plan, &tls(plan.http.alpn())?, &keys, &progress).await;
    if !plan.keep {
        progress.enter(Phase::CleaningUp);
        let created = measured.as_ref().map(|(_, created)| created.as_slice()).unwrap_or_default();
        keys.delete(&client, created, plan.clients).await;
    }
    measured.map(|(report, _)| report)
}

/// The report, and how many keys each client, by its number, created.
async fn measure(
    plan: &LoadPlan,
    tls: &ClientTls,
    keys: &BenchKeys,
    progress: &Arc<LoadProgress>,
) -> Result<(LoadReport, Vec<(usize, u64)>), LoadError> {
    let workers = workers(plan, tls, keys, progress).await?;
    let window = Window::starting_now(plan.warm_up, plan.duration);
    progress.enter(Phase::WarmingUp);
    let mut running: JoinSet<WorkerCounts> = workers.into_iter().map(|worker| worker.run(window)).collect();
    progress.stopped_or(sleep_until(window.begin)).await;
    let cpu = CpuTimes::now(&plan.pids)?;
    progress.enter(Phase::Measuring);
    progress.stopped_or(sleep_until(window.end)).await;
    // The processes may be gone by now, which is for the report to say and not a reason to lose it.
    let cpu = CpuTimes::now(&plan.pids).ok().map(|now| now.since(&cpu));
    let measured = Instant::now() - window.begin;
    let mut all_counts = Vec::new();
    progress.close();
    let gap = progress.longest_gap();
    let _ = timeout(LATE, async {
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

/// Every client; at least one of them is connected.
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
    let connections: Vec<_> =
        stream::iter(connections).map(|connection| opened(connection, &servers)).buffered(AT_ONCE).collect().await;
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

/// The connection, connected if one of the servers can be, and else why the first could not be.
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
