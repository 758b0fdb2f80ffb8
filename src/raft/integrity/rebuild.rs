//! Rebuilds a damaged keystore from a peer's snapshot, when this node has nothing to rebuild it from.

use std::path::Path;
use std::time::Duration;

use crate::blocking;
use crate::raft::peers::links::Links;
use crate::raft::peers::snapshot_stream;
use crate::raft::peers::trouble::PeerTrouble;
use crate::raft::protocol::membership::decode_stored;
use crate::raft::protocol::types::Member;
use crate::raft::protocol::wire::FetchRequest;
use crate::raft::watch::waits::Waits;
use crate::store::{Damage, Keystore, LogStore, Owner, ReadError, Snapshot, Snapshots, Store};

/// The pause between two rounds of asking the peers. After a power cut they may be starting, too.
const RETRY: Duration = Duration::from_secs(1);

/// What the node needs to ask its peers.
pub(in crate::raft) struct Rebuild<'a> {
    pub links: &'a Links,
    pub log: &'a LogStore,
    /// The data folder.
    pub dir: &'a Path,
    pub owner: Owner,
    pub waits: &'a Waits,
}

impl Rebuild<'_> {
    /// Asks the peers until one sends a snapshot that reaches the log of this node, which begins after `purged`.
    pub(in crate::raft) async fn ask_peers(&self, snapshots: &Snapshots, purged: u64) -> Keystore {
        loop {
            let mut reasons = Vec::new();
            for (_, member) in self.links.members().iter().filter(|(id, _)| **id != self.owner.node_id) {
                match self.ask_peer(member, snapshots, purged).await {
                    Ok(keystore) => {
                        self.waits.set_peers(Vec::new());
                        tracing::info!(peer = member.name, "this node rebuilt its keystore from a peer's snapshot");
                        return keystore;
                    }
                    Err(why) => {
                        let address = self.links.address_of(member);
                        reasons.push(format!("a snapshot, but {} ({address}) {why}", member.name));
                    }
                }
            }
            self.waits.set_peers(reasons);
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn ask_peer(&self, member: &Member, snapshots: &Snapshots, purged: u64) -> Result<Keystore, PeerTrouble> {
        let mut client = self.links.client(member).map_err(|error| PeerTrouble::of_io(&error))?;
        let parts = client.fetch_snapshot(FetchRequest { at_least: purged }).await;
        let parts = parts.map_err(|status| PeerTrouble::of(&status))?.into_inner();
        let cluster = self.links.own_preface().cluster();
        let received = snapshot_stream::receive(snapshots, cluster, parts).await;
        let (snapshot, _) = received.map_err(|error| PeerTrouble::of_io(&error))?;
        let (dir, log, snapshots) = (self.dir.to_owned(), self.log.clone(), snapshots.clone());
        let rebuilt = blocking::spawn(move || fill(&dir, &log, &snapshots, &snapshot, purged)).await;
        let rebuilt = rebuilt.map_err(|panic| PeerTrouble::NotReady(panic.to_string()))?;
        rebuilt.map_err(|error| PeerTrouble::NotReady(format!("its snapshot cannot be used: {error}")))
    }
}

fn fill(
    dir: &Path,
    log: &LogStore,
    snapshots: &Snapshots,
    snapshot: &Snapshot,
    purged: u64,
) -> Result<Keystore, ReadError> {
    let Some(last) = snapshot.header.applied.last.filter(|last| last.index >= purged) else {
        return Err(Damage::Unreadable("the snapshot does not reach the log of this node".to_owned()).into());
    };
    if decode_stored(&snapshot.header.membership).is_none() {
        // openraft could not start on such a keystore.
        return Err(Damage::Unreadable("the membership in the snapshot cannot be read".to_owned()).into());
    }
    // With another entry there, the next start would call the log forged.
    log.make_room_for(last).map_err(ReadError::Io)?;
    Store::rebuild_from(dir, snapshots, snapshot)
}
