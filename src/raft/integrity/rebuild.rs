//! Rebuilds a damaged keystore from a peer's snapshot, when this node has nothing to rebuild it from.

use std::time::Duration;

use crate::config::{ClusterConfig, PeerConfig};
use crate::raft::peers::links::Links;
use crate::raft::peers::snapshot_stream;
use crate::raft::peers::trouble::PeerTrouble;
use crate::raft::protocol::membership::{decode_stored, members_from_wire};
use crate::raft::protocol::types::Member;
use crate::raft::protocol::wire::{FetchRequest, Greeting};
use crate::raft::watch::waits::Waits;
use crate::store::{Damage, Keystore, Owner, ReadError, Snapshot, Snapshots, Store};

/// The pause between two rounds of asking the peers. After a power cut they may be starting, too.
const RETRY: Duration = Duration::from_secs(1);

/// What the node needs to ask its peers.
pub(in crate::raft) struct Rebuild<'a> {
    pub links: &'a Links,
    pub config: &'a ClusterConfig,
    pub owner: Owner,
    pub waits: &'a Waits,
}

impl Rebuild<'_> {
    /// Asks the peers until one sends a snapshot that reaches the log of this node, which begins after `purged`.
    pub(in crate::raft) async fn ask_peers(&self, snapshots: &Snapshots, purged: u64) -> Keystore {
        loop {
            let mut reasons = Vec::new();
            for peer in self.config.peers.iter().filter(|peer| peer.name != self.config.name) {
                match self.ask_peer(peer, snapshots, purged).await {
                    Ok(keystore) => {
                        self.waits.set_peers(Vec::new());
                        tracing::info!(peer = peer.name, "this node rebuilt its keystore from a peer's snapshot");
                        return keystore;
                    }
                    Err(why) => reasons.push(format!("a snapshot, but {} ({}) {why}", peer.name, peer.peer_address)),
                }
            }
            self.waits.set_peers(reasons);
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn ask_peer(&self, peer: &PeerConfig, snapshots: &Snapshots, purged: u64) -> Result<Keystore, PeerTrouble> {
        let member = self.member_at(peer).await?;
        let mut client = self.links.client(&member).map_err(|error| PeerTrouble::of_io(&error))?;
        let parts = client.fetch_snapshot(FetchRequest { at_least: purged }).await;
        let parts = parts.map_err(|status| PeerTrouble::of(&status))?.into_inner();
        let cluster = self.links.own_preface().cluster();
        let received = snapshot_stream::receive(snapshots, cluster, parts).await;
        let (snapshot, _) = received.map_err(|error| PeerTrouble::of_io(&error))?;
        let (dir, owner) = (self.config.data.clone(), self.owner);
        let rebuilt = tokio::task::spawn_blocking(move || fill(&dir, owner, &snapshot, purged)).await;
        let rebuilt = rebuilt.map_err(|panic| PeerTrouble::NotReady(panic.to_string()))?;
        rebuilt.map_err(|error| PeerTrouble::NotReady(format!("its snapshot cannot be used: {error}")))
    }

    /// The member at a peer's address, if its membership names this store, too.
    async fn member_at(&self, peer: &PeerConfig) -> Result<Member, PeerTrouble> {
        let connected = self.links.greeting_client(&peer.peer_address).await;
        let (mut client, _) = connected.map_err(|error| PeerTrouble::of_io(&error))?;
        let reply = client.greet(Greeting::default()).await.map_err(|status| PeerTrouble::of(&status))?.into_inner();
        if !reply.sealed.is_empty() {
            return Err(PeerTrouble::sealed(&reply.sealed));
        }
        let members = reply.membership.and_then(|membership| members_from_wire(membership.members)).unwrap_or_default();
        self.links.set_members(members.clone());
        let knows_us = members.values().any(|member| member.store_id == self.owner.store_id);
        let member = members.into_values().find(|member| member.name == peer.name);
        member
            .filter(|_| knows_us)
            .ok_or_else(|| PeerTrouble::NotReady("its membership does not name this node's data folder yet".to_owned()))
    }
}

fn fill(dir: &std::path::Path, owner: Owner, snapshot: &Snapshot, purged: u64) -> Result<Keystore, ReadError> {
    if snapshot.header.applied.last.is_none_or(|last| last.index < purged) {
        return Err(Damage::Unreadable("the snapshot does not reach the log of this node".to_owned()).into());
    }
    if decode_stored(&snapshot.header.membership).is_none() {
        // openraft could not start on such a keystore.
        return Err(Damage::Unreadable("the membership in the snapshot cannot be read".to_owned()).into());
    }
    Store::rebuild_from(dir, owner, snapshot)
}
