//! The life of a node: it takes part in consensus, unseals, serves while it may, and drains.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::error::NodeError;
use super::open_files::ConnectionBudget;
use super::parts::Parts;
use super::seal::{self, Pauses};
use super::{local_status, log_source, protect};
use crate::config::Config;
use crate::crypto::{RootKey, random};
use crate::http::{Api, ApiServer, serve_local};
use crate::kms::{Kms, NodeState, SealError};
use crate::raft::{CATCHING_UP, Cluster, PeerListener, ShownRootKey, Standing};
use crate::store::StoreId;
use crate::telemetry::AuditWriter;

/// The time between two checks of whether the node may serve.
const SERVING_CHECK: Duration = Duration::from_millis(50);
/// How long a stopping node waits until its audit records are written.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a stopping node may take to report to the others which keys it used.
const LAST_USES_TIMEOUT: Duration = Duration::from_millis(300);
/// How long a starting node waits for the API's address to become free.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);
/// A sealed node campaigns only after this many election timeouts without a leader.
const SEALED_ELECTION_TIMEOUTS: u32 = 10;

/// Runs a node from start to end.
pub(super) struct Lifecycle {
    parts: Arc<Parts>,
    consensus: Handle,
    stop: CancellationToken,
    serves: watch::Sender<bool>,
    /// Tasks that end with the node.
    tasks: JoinSet<()>,
}

impl Lifecycle {
    pub(super) fn new(
        parts: Arc<Parts>,
        consensus: Handle,
        stop: CancellationToken,
        serves: watch::Sender<bool>,
    ) -> Self {
        Self { parts, consensus, stop, serves, tasks: JoinSet::new() }
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
        // A node that fails has answered requests too, and their records must not be lost.
        if !matches!(result, Err(NodeError::Audit(_)))
            && let Some(writer) = audit_writer
            && let Err(error) = writer.stop(AUDIT_TIMEOUT).await
        {
            tracing::error!(%error, "the node ends, but not all of its audit records were written");
        }
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

    /// Joins the cluster, opens the key ring and serves, until somebody stops the node. Then it drains.
    async fn join_and_serve(&mut self) -> Result<(), NodeError> {
        let config = self.parts.config.load_full();
        address_is_free(&config).await?;
        let stop = self.stop.clone();
        let Some(taken) = stop.run_until_cancelled(self.take_part(&config)).await else { return Ok(()) };
        let (cluster, root) = taken?;
        let cluster = Arc::new(cluster);
        self.parts.cluster.store(Some(Arc::clone(&cluster)));
        let kms = self.operations(&config, &cluster);
        if stop.run_until_cancelled(self.unseal(&config, &kms, &cluster, root)).await.is_some() {
            self.serve(&config, &kms, &cluster).await?;
        }
        self.stop.cancelled().await;
        self.parts.local.set(NodeState::Draining, None);
        // The node reports the last uses of keys if that is quick; they are not worth a long wait.
        drop(tokio::time::timeout(LAST_USES_TIMEOUT, kms.replicate_uses_now()).await);
        cluster.stop().await;
        self.parts.cluster.store(None);
        Ok(())
    }

    /// Joins consensus, on its own runtime. A blank node without a root key first waits for one.
    async fn take_part(&self, config: &Config) -> Result<(Cluster, Result<RootKey, SealError>), NodeError> {
        let shown = ShownRootKey::default();
        let root_key = shown.clone();
        let (cluster_config, consistency) = (config.cluster.clone(), config.consistency);
        let (tls, failure) = (Arc::clone(&self.parts.peer_tls), self.parts.failure.clone());
        let (store_id, logs) = (StoreId(random::bytes()), log_source::source(&self.parts));
        let waits = self.parts.waits.clone();
        let opened =
            async move { PeerListener::open(&cluster_config, tls, store_id, root_key, failure, logs, waits).await };
        let listener = joined(self.consensus.spawn(opened).await)??;
        if let Some(damage) = listener.damage() {
            tracing::error!(%damage, "the keystore is damaged; the node rebuilds it from a snapshot and the log");
            self.parts.local.set(NodeState::Rebuilding, None);
        }
        let mut root = if listener.is_blank() { Ok(self.available_root_key().await) } else { self.root_key() };
        let mut taking = self.consensus.spawn(listener.take_part(consistency));
        loop {
            root.iter().for_each(|root| shown.show(root.fingerprint()));
            tokio::select! {
                taken = &mut taking => return Ok((joined(taken)??, root)),
                // A new cluster begins once all nodes hold the same root key, so SIGHUP may bring another one.
                () = self.parts.seal_asked.notified() => root = self.root_key().or(root),
            }
        }
    }

    fn root_key(&self) -> Result<RootKey, SealError> {
        seal::root_key(&self.parts.config.load().seal)
    }

    /// Waits until there is a root key.
    async fn available_root_key(&self) -> RootKey {
        let mut pauses = Pauses::new();
        loop {
            match self.root_key() {
                Ok(root) => {
                    self.parts.local.set(NodeState::Starting, None);
                    self.parts.waits.set_step(None);
                    return root;
                }
                Err(error) => self.stay_sealed(&error),
            }
            pauses.wait(&self.parts.seal_asked).await;
        }
    }

    fn stay_sealed(&self, error: &SealError) {
        let reason = seal::reason(&self.parts.config.load().seal, error);
        self.parts.local.set(NodeState::Sealed, Some(reason));
        self.parts.waits.set_step(Some(format!("the root key of the cluster: {error}")));
    }

    /// Makes the operations on keys, and starts the tasks that work for them.
    fn operations(&mut self, config: &Config, cluster: &Arc<Cluster>) -> Arc<Kms> {
        let state = Arc::clone(&self.parts.local.state);
        let kms = Arc::new(Kms::new(Arc::clone(cluster), config.cache, config.admin, state, self.parts.this_node()));
        kms.set_deletion_window(config.deletion_window);
        let (sweeping, removing, replicating) = (Arc::clone(&kms), Arc::clone(&kms), Arc::clone(&kms));
        self.tasks.spawn(async move { sweeping.sweep_opened_keys().await });
        self.tasks.spawn(async move { removing.remove_deleted_keys().await });
        self.tasks.spawn(async move { replicating.replicate_uses().await });
        self.parts.local.kms.store(Some(Arc::clone(&kms)));
        kms
    }

    /// Opens the key ring. Until that succeeds the node replicates and votes, does not serve, and leads only if nobody
    /// else does. It tries again after each pause, and at once on SIGHUP.
    async fn unseal(&self, config: &Config, kms: &Kms, cluster: &Arc<Cluster>, mut root: Result<RootKey, SealError>) {
        let mut hands_over = pin!(hand_over(cluster, config.cluster.timing.election_max * SEALED_ELECTION_TIMEOUTS));
        let mut pauses = Pauses::new();
        while let Err(error) = self.open_ring(kms, &root).await {
            self.stay_sealed(&error);
            cluster.let_campaign(false);
            tokio::select! {
                () = &mut hands_over => {}
                () = pauses.wait(&self.parts.seal_asked) => {}
            }
            root = self.root_key();
            cluster.let_campaign(root.is_ok());
        }
        if self.parts.local.state.now() == NodeState::Sealed {
            self.parts.local.set(NodeState::Starting, None);
        }
    }

    async fn open_ring(&self, kms: &Kms, root: &Result<RootKey, SealError>) -> Result<(), SealError> {
        let root = root.as_ref().map_err(Clone::clone)?;
        self.parts.waits.set_step(Some("the cluster's first command, which the leader writes".to_owned()));
        kms.wait_until_initialised(root, &self.parts.config.load().policies).await;
        self.parts.waits.set_step(None);
        kms.unseal(root)?;
        kms.audit_key().into_iter().for_each(|key| self.parts.audit.sign_with(key));
        Ok(())
    }

    /// Opens the listener while the node may serve, and closes it otherwise.
    async fn serve(&self, config: &Config, kms: &Arc<Kms>, cluster: &Arc<Cluster>) -> Result<(), NodeError> {
        let parts = &self.parts;
        let ready = async {
            parts
                .waits
                .set_step(Some("entries that the cluster has committed and this node has yet to apply".to_owned()));
            kms.wait_until_caught_up().await;
            kms.create_file_keys(&config.keys, &parts.waits).await;
            parts.waits.set_step(None);
            kms.compare_policies(&config.policies);
        };
        if self.stop.run_until_cancelled(ready).await.is_none() {
            return Ok(());
        }
        let current = parts.config.load_full();
        let (audit, metrics, errors, tls) =
            (&parts.audit, &parts.metrics, &parts.errors, Arc::clone(&parts.public_tls));
        let api = Api::new(Arc::clone(kms), Arc::clone(audit), Arc::clone(metrics), Arc::clone(errors), tls, &current);
        let api = Arc::new(api);
        parts.api.store(Some(Arc::clone(&api)));
        let limits = protect::open_files()
            .map_or(config.limits, |files| ConnectionBudget::of(config, files).bound(config.limits));
        loop {
            if !may_serve(cluster, parts) {
                self.show_why_not(cluster);
            }
            if !self.wait_until(|| may_serve(cluster, parts)).await {
                return Ok(());
            }
            let server = ApiServer::bind(config.address, Arc::clone(&api), Arc::clone(&parts.public_tls), limits)
                .map_err(in_address(config))?;
            parts.local.set(NodeState::Serving, None);
            self.serves.send_replace(true);
            if self.wait_until(|| !may_serve(cluster, parts)).await {
                self.show_why_not(cluster);
            } else {
                parts.local.set(NodeState::Draining, None);
            }
            server.drain().await;
        }
    }

    /// Shows on the local socket why the node does not serve.
    fn show_why_not(&self, cluster: &Cluster) {
        let (state, reason) = match cluster.standing() {
            // A node that has just started waits for its first lease.
            Standing::Over if cluster.lease_until_ns() == 0 => return,
            Standing::Over => (NodeState::Offline, "no leader has answered for longer than consistency.offline"),
            Standing::Behind(_) => {
                (NodeState::Offline, "the node has yet to apply a revocation that the leader reported")
            }
            Standing::Held | Standing::Offline(_) => {
                (NodeState::Unaudited, "audit.required: no sink takes records; the log says why")
            }
        };
        self.parts.local.set(state, Some(reason.to_owned()));
    }

    /// Waits until the condition holds. Returns false if the node must stop before.
    async fn wait_until(&self, holds: impl Fn() -> bool) -> bool {
        let waited = self.stop.run_until_cancelled(async {
            while !holds() {
                tokio::time::sleep(SERVING_CHECK).await;
            }
        });
        waited.await.is_some()
    }
}

/// Whether the node may answer clients: it heard of a leader recently enough, and it can audit requests.
fn may_serve(cluster: &Cluster, parts: &Parts) -> bool {
    // Ask the audit trail each time, even if the lease says no: only this call notices that its thread is stuck.
    let audited = parts.audit.lets_serve();
    audited
        && match cluster.standing() {
            Standing::Held | Standing::Offline(_) => true,
            // A short delay does not close the listener: requests wait until the node has applied the revocation.
            Standing::Behind(since) => since < CATCHING_UP,
            Standing::Over => false,
        }
}

/// Completes if the node cannot write its audit trail any more, and never otherwise.
async fn audit_failed(writer: Option<&mut AuditWriter>) -> io::Error {
    match writer {
        Some(writer) => writer.failed().await,
        None => std::future::pending().await,
    }
}

/// Lets a sealed node campaign only after `timeout` without a leader, and then hand the leadership over. Never ends.
async fn hand_over(cluster: &Cluster, timeout: Duration) {
    loop {
        tokio::time::sleep(timeout).await;
        if cluster.leads() {
            // Each sealed leader hands over to the next node, because it does not know which of the others are sealed.
            cluster.hand_to_next().await;
        } else if cluster.linearize(Instant::now() + timeout).await.is_err() {
            cluster.campaign().await;
        }
    }
}

fn joined<T>(joined: Result<T, tokio::task::JoinError>) -> Result<T, NodeError> {
    joined.map_err(|panic| NodeError::Panicked(panic.to_string()))
}

fn in_address(config: &Config) -> impl FnOnce(io::Error) -> NodeError {
    let address = config.address;
    move |error| NodeError::Listen { setting: "address", address, error }
}

/// Checks that the API can listen before the node takes part. Otherwise an address in use would show only after the
/// node has joined and caught up. A node that this process stopped a moment ago may still hold the address for a short
/// time.
async fn address_is_free(config: &Config) -> Result<(), NodeError> {
    let deadline = Instant::now() + ADDRESS_TIMEOUT;
    loop {
        match ApiServer::probe(config.address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                tokio::time::sleep(SERVING_CHECK).await;
            }
            free => return free.map_err(in_address(config)),
        }
    }
}
