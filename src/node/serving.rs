//! Serving: a node that has caught up opens its public listener while it may serve, and closes it otherwise.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::error::{NodeError, in_address};
use super::open_files::ConnectionBudget;
use super::parts::Parts;
use super::phase::{Closed, ListenerState, Phase, PhaseSender, Serving};
use super::{protect, seal};
use crate::config::Config;
use crate::http::{Api, ApiServer};
use crate::kms::{Kms, NodeState, OpenedRing, RootKeySource, SealError, StateSource};
use crate::raft::{CATCHING_UP, Cluster, Standing};

/// The time between two checks of whether a node that does not serve may serve.
const CLOSED_CHECK: Duration = Duration::from_millis(50);
/// The time between two checks of whether a node that serves still may. Each request checks the lease by itself.
const OPEN_CHECK: Duration = Duration::from_millis(100);

/// A node that serves.
pub(super) struct ServingNode<'a> {
    pub parts: &'a Parts,
    pub phases: &'a PhaseSender,
    pub stop: &'a CancellationToken,
    pub serving: Serving,
}

/// Makes the operations on keys and the API, and starts the tasks that work for them.
pub(super) fn begin(parts: &Arc<Parts>, cluster: Arc<Cluster>, opened: OpenedRing, tasks: &mut JoinSet<()>) -> Serving {
    let config = parts.config.load_full();
    let (root, state) = (root_key_of(parts), state_of(parts));
    let kms = Arc::new(Kms::new(Arc::clone(&cluster), opened, root, config.cache, parts.this_node(), state));
    parts.audit.sign_with(kms.audit_key());
    kms.set_file_admin(config.admin);
    kms.set_deletion_window(config.deletion_window);
    let (audit, metrics, errors) = (Arc::clone(&parts.audit), Arc::clone(&parts.metrics), Arc::clone(&parts.errors));
    let api = Api::new(Arc::clone(&kms), audit, metrics, errors, Arc::clone(&parts.public_tls), &config);
    let (sweeping, removing, replicating) = (Arc::clone(&kms), Arc::clone(&kms), Arc::clone(&kms));
    let following = Arc::clone(&kms);
    tasks.spawn(async move { sweeping.sweep_opened_keys().await });
    tasks.spawn(async move { removing.remove_deleted_keys().await });
    tasks.spawn(async move { replicating.replicate_uses().await });
    tasks.spawn(async move { following.follow_ring().await });
    Serving { cluster, kms, api: Arc::new(api) }
}

impl ServingNode<'_> {
    /// Serves until somebody stops the node.
    pub(super) async fn serve(&self, config: &Config) -> Result<(), NodeError> {
        let (parts, Serving { cluster, kms, api }) = (self.parts, &self.serving);
        self.enter(ListenerState::NotYet);
        let ready = async {
            kms.create_file_keys(&config.keys, &parts.waits).await;
            parts.waits.set_step(None);
            kms.compare_policies(&config.policies);
        };
        if self.stop.run_until_cancelled(ready).await.is_none() {
            return Ok(());
        }
        let limits = protect::open_files()
            .map_or(config.limits, |files| ConnectionBudget::of(config, files).bound(config.limits));
        loop {
            // What keeps the listener closed may change meanwhile.
            let opens = || {
                self.enter_if_closed();
                may_serve(cluster, parts)
            };
            if !self.wait_until(CLOSED_CHECK, opens).await {
                return Ok(());
            }
            let (api, tls) = (Arc::clone(api), Arc::clone(&parts.public_tls));
            let server = ApiServer::bind(config.address, api, tls, limits).map_err(in_address(config.address))?;
            self.enter(ListenerState::Open);
            if self.wait_until(OPEN_CHECK, || !may_serve(cluster, parts)).await {
                self.enter_if_closed();
            } else {
                self.phases.begin_draining();
            }
            server.drain().await;
        }
    }

    fn enter(&self, listener: ListenerState) {
        self.phases.enter(Phase::Serving { serving: self.serving.clone(), listener });
    }

    /// Shows why the node must not serve now, if so.
    fn enter_if_closed(&self) {
        let Some(closed) = why_closed(&self.serving.cluster, self.parts) else { return };
        if self.phases.now().closed() != Some(closed) {
            self.enter(ListenerState::Closed(closed));
        }
    }

    /// Waits until the condition holds. Returns false if the node must stop before.
    async fn wait_until(&self, check: Duration, holds: impl Fn() -> bool) -> bool {
        let waited = self.stop.run_until_cancelled(async {
            while !holds() {
                tokio::time::sleep(check).await;
            }
        });
        waited.await.is_some()
    }
}

/// Shows the state of this node. The API holds it, so it must not keep the node alive.
fn state_of(parts: &Arc<Parts>) -> StateSource {
    let parts = Arc::downgrade(parts);
    Arc::new(move || parts.upgrade().map_or(NodeState::Draining, |parts| parts.phase.borrow().state()))
}

/// Reads the root key again from the seal of the configuration. The operations hold it, so it must not keep the node
/// alive.
fn root_key_of(parts: &Arc<Parts>) -> RootKeySource {
    let parts = Arc::downgrade(parts);
    let stopping = || SealError::NoRootKey("the node is stopping".to_owned());
    Arc::new(move || seal::root_key(&parts.upgrade().ok_or_else(stopping)?.config.load().seal))
}

/// Whether the node may answer clients: it heard of a leader recently enough, its state is not disputed, and it can
/// audit requests.
fn may_serve(cluster: &Cluster, parts: &Parts) -> bool {
    // Ask the audit trail each time, even if the lease says no: only this call notices that its thread is stuck.
    let audited = parts.audit.lets_serve();
    audited
        && !cluster.is_disputed()
        && match cluster.standing() {
            Standing::Held | Standing::Offline(_) => true,
            // A short delay does not close the listener: requests wait until the node has applied the revocation.
            Standing::Behind(since) => since < CATCHING_UP,
            Standing::Over => false,
        }
}

/// Why the node must not serve now. `None` while it may serve, or waits for its first lease.
fn why_closed(cluster: &Cluster, parts: &Parts) -> Option<Closed> {
    if may_serve(cluster, parts) {
        return None;
    }
    if cluster.is_disputed() {
        return Some(Closed::Disputed);
    }
    match cluster.standing() {
        Standing::Over if cluster.lease_until_ns() == 0 => None,
        Standing::Over => Some(Closed::NoLeader),
        Standing::Behind(_) => Some(Closed::Behind),
        Standing::Held | Standing::Offline(_) => Some(Closed::Unaudited),
    }
}
