//! Catches up with a leader while the log of this node is in doubt.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tonic::Status;

use super::bar::Bar;
use super::log_doubt::LogDoubt;
use crate::blocking;
use crate::raft::adapter::metrics::Raft;
use crate::raft::failure::Failure;
use crate::raft::peers::links::{Links, NodeClient};
use crate::raft::protocol::types::NodeId;
use crate::raft::protocol::wire::CatchUpRequest;
use crate::store::Vote;

/// The pause between two looks at how far this node has come.
const LOOK: Duration = Duration::from_millis(100);
/// How long a leader may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Asks leaders how far this node must come, and ends its doubt when it has come so far.
pub(in crate::raft) struct CatchUp {
    pub doubt: Arc<LogDoubt>,
    pub raft: Raft,
    pub links: Arc<Links>,
    pub failure: Failure,
}

impl CatchUp {
    /// Returns once the log is no longer in doubt.
    pub(in crate::raft) async fn run(self) {
        let own = self.links.owner.node_id;
        self.links.contacts().note_doubt(own, self.doubt.is_open());
        let mut callers = self.doubt.callers();
        while self.doubt.is_open() {
            let caller = *callers.borrow_and_update();
            if let Some(leader) = caller.filter(|leader| self.doubt.bar().is_none_or(|bar| bar.vote != *leader)) {
                self.ask(leader).await;
            }
            match self.look().await {
                Ok(Some(bar)) => return self.end(bar).await,
                Ok(None) => {}
                Err(error) => return self.failure.report_storage("the node record", &error),
            }
            // The sender lives as long as this.
            drop(timeout(LOOK, callers.changed()).await);
        }
    }

    /// Asks a leader how far this node must come.
    async fn ask(&self, leader: Vote) {
        let answer = self.call(leader.node, CatchUpRequest { done: false }).await;
        match answer {
            Ok(Some(bar)) if self.doubt.take(bar) => {
                tracing::warn!(leader = leader.node, term = bar.vote.term, up_to = bar.index, "this node catches up");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(
                    leader = leader.node,
                    why = error.message(),
                    "the leader did not say how far to catch up"
                );
            }
        }
    }

    /// The bar that this node has reached, once that is durable.
    async fn look(&self) -> io::Result<Option<Bar>> {
        let Some(bar) = self.doubt.bar() else { return Ok(None) };
        let doubt = Arc::clone(&self.doubt);
        let is_over = blocking::spawn(move || doubt.end_at(bar)).await.map_err(io::Error::other)??;
        Ok(is_over.then_some(bar))
    }

    /// From now on this node votes and campaigns.
    async fn end(&self, bar: Bar) {
        self.raft.runtime_config().elect(true);
        self.links.contacts().note_doubt(self.links.owner.node_id, false);
        tracing::warn!(up_to = bar.index, "the log of this node has caught up with the leader: this node votes again");
        // Until then the leader would take another loss for a part of this one. A leader that is gone need not know.
        drop(self.call(bar.vote.node, CatchUpRequest { done: true }).await);
    }

    async fn call(&self, leader: NodeId, request: CatchUpRequest) -> Result<Option<Bar>, Status> {
        let mut client = self.client(leader)?;
        let reply =
            timeout(ANSWER, client.catch_up(request)).await.map_err(|_| Status::deadline_exceeded("no answer"))?;
        Ok(Bar::from_wire(reply?.get_ref()))
    }

    fn client(&self, leader: NodeId) -> Result<NodeClient, Status> {
        let members = self.links.members();
        let member = members.get(&leader).ok_or_else(|| Status::not_found("this node does not know that leader"))?;
        self.links.client(member).map_err(|error| Status::unavailable(error.to_string()))
    }
}
