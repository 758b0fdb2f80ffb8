//! The life of a node, from its start to its end: it joins its cluster, serves while it may, and drains.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::consensus::Consensus;
use super::error::{NodeError, in_address};
use super::generation;
use super::joining::{JoinError, Joining};
use super::local_status;
use super::parts::Parts;
use super::phase::PhaseSender;
use super::seal::Pauses;
use super::serving::{self, ServingNode};
use crate::config::Config;
use crate::http::{ApiServer, serve_local};
use crate::telemetry::AuditWriter;

/// How often a node waits for a data folder that it cannot use. Then the process ends, and a service manager starts it anew.
const MOST_REFUSALS: u32 = 10;
/// How long a stopping node waits for one write of its audit records. It goes on waiting while writes end, however many
/// there are.
const AUDIT_PATIENCE: Duration = Duration::from_secs(20);
/// How long a stopping node may take to report to the others which keys it used.
const LAST_USES_TIMEOUT: Duration = Duration::from_millis(300);
/// How long a starting node waits for the API's address to become free.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);
const ADDRESS_CHECK: Duration = Duration::from_millis(50);

/// Runs a node from start to end.
pub(super) struct Lifecycle {
    parts: Arc<Parts>,
    consensus: Arc<Consensus>,
    stop: CancellationToken,
    phases: PhaseSender,
    /// Tasks that end with the node.
    tasks: JoinSet<()>,
}

impl Lifecycle {
    pub(super) fn new(
        parts: Arc<Parts>,
        consensus: Arc<Consensus>,
        stop: CancellationToken,
        phases: PhaseSender,
    ) -> Self {
        Self { parts, consensus, stop, phases, tasks: JoinSet::new() }
    }

    /// Runs until somebody stops the node, or it must end.
    pub(super) async fn run(mut self) -> Result<(), NodeError> {
        self.parts.log_start();
        let mut audit_writer = self.parts.audit_writer.lock().take();
        self.follow_files_and_answer_locally();
        let parts = Arc::clone(&self.parts);
        let result = tokio::select! {
            ended = self.join_and_serve() => ended,
            reason = parts.failure.reported() => Err(NodeError::Failed(reason)),
            error = audit_failed(audit_writer.as_mut()) => Err(NodeError::Audit(error)),
        };
        let result = result.map_err(|error| match (error, parts.failure.now()) {
            // openraft does not start on a log that it cannot read. The report says why.
            (NodeError::Start(_), Some(reason)) => NodeError::Failed(reason),
            (error, _) => error,
        });
        // A node that fails has answered requests too, and their records must not be lost.
        let writer = audit_writer.filter(|_| !matches!(result, Err(NodeError::Audit(_))));
        let leaving = async {
            // A node that must not go on does not vote until its records are written.
            if result.is_err() {
                self.consensus.end().await;
            }
        };
        tokio::join!(write_last_records(writer), leaving);
        // They hold files of consensus, which must be closed when the node starts again in this process.
        self.tasks.shutdown().await;
        result
    }

    /// Starts the tasks that run from the beginning to the end: they read changed certificates again, log what the node
    /// waits for, and serve the local socket.
    fn follow_files_and_answer_locally(&mut self) {
        let parts = Arc::clone(&self.parts);
        let socket = parts.config.load().cluster.data.join(crate::http::LOCAL_SOCKET);
        self.tasks.spawn(Arc::clone(&parts.public_tls).follow());
        self.tasks.spawn(Arc::clone(&parts.peer_tls).follow());
        self.tasks.spawn(parts.waits.clone().log());
        let generation = parts.config.load().cluster.vm_generation.clone();
        self.tasks.spawn(generation::watch(generation, parts.failure.clone()));
        self.tasks.spawn(Arc::clone(&parts.public_tls).warn_daily());
        self.tasks.spawn(async move {
            let shown = Arc::clone(&parts);
            if let Err(error) = serve_local(&socket, Arc::new(move || local_status::status(&shown))).await {
                tracing::warn!(
                    %error,
                    socket = %socket.display(),
                    "the node cannot serve its local socket, which `keyraft cluster status` reads"
                );
            }
        });
    }

    /// Joins the cluster and serves, until somebody stops the node. Then it drains.
    async fn join_and_serve(&mut self) -> Result<(), NodeError> {
        let config = self.parts.config.load_full();
        address_is_free(&config).await?;
        // Leaving consensus closes files, so a stop must not cut it short.
        let joining = Joining { parts: &self.parts, consensus: &self.consensus, phases: &self.phases };
        let (mut pauses, mut refused) = (Pauses::new(), 0);
        while let Some(joined) = self.stop.run_until_cancelled(Box::pin(joining.join(&config))).await {
            match joined {
                Ok((cluster, opened)) => {
                    let serving = serving::begin(&self.parts, cluster, opened, &mut self.tasks);
                    let node = ServingNode { parts: &self.parts, phases: &self.phases, stop: &self.stop, serving };
                    node.serve(&config).await?;
                    break;
                }
                Err(JoinError::Sealed(error)) => joining.leave(&error).await?,
                Err(JoinError::Node(error)) if error.may_pass() && refused < MOST_REFUSALS => {
                    refused += 1;
                    joining.give_back(&error).await?;
                    let pause = pauses.wait(&self.parts.seal_asked);
                    if self.stop.run_until_cancelled(pause).await.is_none() {
                        break;
                    }
                    self.parts.waits.set_step(None);
                }
                Err(JoinError::Node(error)) => return Err(error),
            }
        }
        self.drain().await;
        Ok(())
    }

    /// Leaves consensus.
    async fn drain(&self) {
        self.phases.begin_draining();
        let phase = self.phases.now();
        if let Some(serving) = phase.serving() {
            // The node reports the last uses of keys if that is quick; they are not worth a long wait.
            drop(tokio::time::timeout(LAST_USES_TIMEOUT, serving.kms.replicate_uses_now()).await);
        }
        if let Some(cluster) = phase.cluster() {
            cluster.stop().await;
        }
    }
}

async fn write_last_records(writer: Option<AuditWriter>) {
    if let Some(writer) = writer
        && let Err(error) = writer.stop(AUDIT_PATIENCE).await
    {
        tracing::error!(%error, "the node ends, but not all of its audit records were written");
    }
}

/// Completes if the node cannot write its audit trail any more, and never otherwise.
async fn audit_failed(writer: Option<&mut AuditWriter>) -> io::Error {
    match writer {
        Some(writer) => writer.failed().await,
        None => std::future::pending().await,
    }
}

/// Checks that the API can listen before the node takes part. Otherwise an address in use would show only after the
/// node has joined and caught up. A node that this process stopped a moment ago may still hold the address for a short
/// time.
async fn address_is_free(config: &Config) -> Result<(), NodeError> {
    let deadline = Instant::now() + ADDRESS_TIMEOUT;
    loop {
        match ApiServer::probe(config.address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                tokio::time::sleep(ADDRESS_CHECK).await;
            }
            free => return free.map_err(in_address(config.address)),
        }
    }
}
