//! Finds out whether this node may take part. A blank disk never votes (design, "Nodes, clusters and keys").

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::greeting::Greeter;
use crate::config::PeerConfig;
use crate::policy::Identity;
use crate::raft::peers::links::Links;
use crate::raft::peers::trouble::PeerTrouble;
use crate::raft::preface::content::printable;
use crate::raft::protocol::membership::members_from_wire;
use crate::raft::protocol::types::{Member, NodeId};
use crate::raft::protocol::wire::{Greeting, GreetingReply};
use crate::raft::watch::waits::Waits;
use crate::store::StoreId;

/// The pause between two rounds of greetings.
const RETRY: Duration = Duration::from_millis(200);
/// How long a greeting may take: longer than connecting to the peer, because the error of that says more.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// How many characters of a name that a peer claims the log shows.
const MAX_NAME: usize = 64;

/// Why a blank node must not take part. A person must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// The cluster exists, and its membership does not name this store.
    #[error(
        "the data folder of this node, '{name}', is empty, but node '{peer}' is in a cluster whose membership records \
         another data folder for '{name}'. A node that lost its data must not vote, so this node ends. Check that \
         cluster.data names the right folder, and that its disk is mounted. If the folder was moved, put it back as it \
         was when '{name}' last ran. Never put back a copy or a backup: an older folder lacks writes that this node \
         acknowledged, and using it can lose keys. If the folder is lost, leave this node stopped; this version cannot \
         replace a node. The other nodes go on without it while more than half of all nodes run"
    )]
    NotAMember {
        /// The name of this node.
        name: String,
        /// The name of the peer that answered so.
        peer: String,
    },
}

/// How a blank node takes part.
pub(in crate::raft) enum Beginning {
    /// It initialises the cluster with these members: all peers are blank, and it is the first of `cluster.peers`.
    Initialise(BTreeMap<NodeId, Member>),
    /// It votes and replicates as one of these members: a peer's membership names its store.
    Join(BTreeMap<NodeId, Member>),
}

/// Greets the peers until it is clear how this node, whose log is empty, may take part. A node that has voted before
/// joins a cluster and never initialises one.
pub(in crate::raft) async fn begin(
    links: &Links,
    greeter: &Greeter,
    peers: &[PeerConfig],
    own_key: Identity,
    has_voted: bool,
    waits: &Waits,
) -> Result<Beginning, BootError> {
    let may_initialise = !has_voted && peers.first().is_some_and(|first| first.name == greeter.name);
    loop {
        let replies = greet_all(links, greeter, peers).await;
        let mut blank: BTreeMap<NodeId, Member> = BTreeMap::new();
        let mut missing = Vec::new();
        for (peer, reply) in peers.iter().zip(replies) {
            match reply {
                _ if peer.name == greeter.name => blank.extend([member(peers, peer, greeter.store_id, own_key)]),
                Reply::Member(members) => {
                    waits.set_peers(Vec::new());
                    return Ok(Beginning::Join(members));
                }
                Reply::Blank(id, member) => blank.extend([(id, member)]),
                Reply::Refused(error) => return Err(error),
                Reply::NotYet(why) => missing.push(format!("{} ({}) {why}", peer.name, peer.peer_address)),
            }
        }
        if missing.is_empty() {
            missing.extend(alike(&blank).map(ToOwned::to_owned));
        }
        if may_initialise && missing.is_empty() {
            waits.set_peers(Vec::new());
            return Ok(Beginning::Initialise(blank));
        }
        if missing.is_empty() {
            let first = peers.first().map_or("", |first| first.name.as_str());
            missing.push(format!("{first}, the first node of cluster.peers, to begin the cluster"));
        }
        waits.set_peers(missing);
        tokio::time::sleep(RETRY).await;
    }
}

enum Reply {
    Member(BTreeMap<NodeId, Member>),
    Blank(NodeId, Member),
    Refused(BootError),
    NotYet(String),
}

/// What two members share although each must have its own. One disk must not count as two voters.
fn alike(members: &BTreeMap<NodeId, Member>) -> Option<&'static str> {
    let stores: HashSet<_> = members.values().map(|member| member.store_id).collect();
    let keys: HashSet<_> = members.values().map(|member| member.key).collect();
    if stores.len() < members.len() {
        return Some(
            "a data folder of its own for every node: two nodes of cluster.peers answer with the same one, so two \
             addresses may lead to one node, or one data folder was copied from the other",
        );
    }
    (keys.len() < members.len())
        .then_some("a certificate key of its own for every node: two nodes of cluster.peers answer with the same one")
}

async fn greet_all(links: &Links, greeter: &Greeter, peers: &[PeerConfig]) -> Vec<Reply> {
    let greetings = peers.iter().map(|peer| async move {
        if peer.name == greeter.name {
            return Reply::NotYet("is this node".to_owned());
        }
        match tokio::time::timeout(GREETING_TIMEOUT, greet(links, greeter, peer)).await {
            Ok(Ok((reply, key))) => understand(greeter, peers, peer, reply, key),
            Ok(Err(trouble)) => Reply::NotYet(trouble.to_string()),
            Err(_) => Reply::NotYet(PeerTrouble::TimedOut.to_string()),
        }
    });
    futures::future::join_all(greetings).await
}

async fn greet(links: &Links, greeter: &Greeter, peer: &PeerConfig) -> Result<(GreetingReply, Identity), PeerTrouble> {
    let connected = links.greeting_client(&peer.peer_address).await;
    let (mut client, key) = connected.map_err(|error| PeerTrouble::of_io(&error))?;
    let greeting =
        Greeting { name: greeter.name.clone(), store_id: bytes::Bytes::copy_from_slice(&greeter.store_id.0) };
    let reply = client.greet(greeting).await.map_err(|status| PeerTrouble::of(&status))?;
    Ok((reply.into_inner(), key))
}

/// What the reply of a peer means for this node.
fn understand(
    greeter: &Greeter,
    peers: &[PeerConfig],
    peer: &PeerConfig,
    reply: GreetingReply,
    key: Identity,
) -> Reply {
    if reply.name != peer.name {
        return not_yet(&format!(
            "cannot be used: the node at its address says that it is '{}'",
            printable(&reply.name, MAX_NAME)
        ));
    }
    if !reply.blank {
        let members = reply.membership.and_then(|membership| members_from_wire(membership.members)).unwrap_or_default();
        return if !reply.sealed.is_empty() {
            not_yet(&PeerTrouble::sealed(&reply.sealed).to_string())
        } else if members.is_empty() {
            not_yet("is not ready: it does not know its members yet")
        } else if members.values().any(|member| member.store_id == greeter.store_id) {
            Reply::Member(members)
        } else {
            Reply::Refused(BootError::NotAMember { name: greeter.name.clone(), peer: peer.name.clone() })
        };
    }
    if reply.peer_list.as_ref() != greeter.peer_list {
        return not_yet(
            "has another list in cluster.peers: every node needs the same names and addresses in the same order",
        );
    }
    if reply.root_key_fingerprint != greeter.seal.fingerprint() {
        return if !reply.sealed.is_empty() {
            not_yet(&PeerTrouble::sealed(&reply.sealed).to_string())
        } else if reply.root_key_fingerprint.is_empty() {
            not_yet("is not ready: it has no root key (seal)")
        } else {
            not_yet("has another root key: every node needs the same one (seal)")
        };
    }
    let store_id = StoreId(reply.store_id.as_ref().try_into().unwrap_or_default());
    let (id, member) = member(peers, peer, store_id, key);
    Reply::Blank(id, member)
}

fn not_yet(why: &str) -> Reply {
    Reply::NotYet(why.to_owned())
}

/// A member of the first membership, and its id: its place in `cluster.peers`, from 1.
fn member(peers: &[PeerConfig], peer: &PeerConfig, store_id: StoreId, key: Identity) -> (NodeId, Member) {
    let member = Member {
        name: peer.name.clone(),
        api_address: peer.api_address.clone(),
        peer_address: peer.peer_address.clone(),
        store_id,
        key,
    };
    (id_of(peers, &peer.name), member)
}

/// The id of a node in the first membership.
pub(in crate::raft) fn id_of(peers: &[PeerConfig], name: &str) -> NodeId {
    (1..).zip(peers).find(|(_, peer)| peer.name == name).map_or(0, |(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::joining::greeting::{ShownSeal, peer_list_hash};

    fn peers() -> Vec<PeerConfig> {
        let peer = |name: &str| PeerConfig {
            name: name.into(),
            peer_address: format!("{name}:7473"),
            api_address: format!("{name}:7373"),
        };
        ["a", "b"].map(peer).to_vec()
    }

    fn greeter(name: &str, store: u8, blank: bool, root: Option<[u8; 32]>) -> Greeter {
        let shown = ShownSeal::default();
        root.into_iter().for_each(|fingerprint| shown.set_root_key(fingerprint));
        Greeter {
            name: name.into(),
            store_id: StoreId([store; 16]),
            blank,
            peer_list: peer_list_hash(&peers()),
            seal: shown,
        }
    }

    /// How the blank node `a` understands the reply of the node `b`.
    fn understood(b: &Greeter, members: &BTreeMap<NodeId, Member>, running: bool) -> Reply {
        let a = greeter("a", 1, true, Some([7; 32]));
        let key = Identity::from_bytes([9; Identity::LEN]);
        understand(&a, &peers(), &peers()[1], b.reply(members, running), key)
    }

    fn members(store: u8) -> BTreeMap<NodeId, Member> {
        [(1, Member { store_id: StoreId([store; 16]), ..Member::default() })].into()
    }

    #[test]
    fn only_a_membership_without_this_store_refuses_a_blank_node() {
        let begun = greeter("b", 2, false, Some([7; 32]));
        assert!(matches!(understood(&begun, &members(1), true), Reply::Member(_)));
        assert!(matches!(understood(&begun, &members(3), true), Reply::Refused(BootError::NotAMember { .. })));
        for (known, running) in [(members(1), false), (BTreeMap::new(), false), (BTreeMap::new(), true)] {
            assert!(matches!(understood(&begun, &known, running), Reply::NotYet(_)), "it does not know yet");
        }
    }

    #[test]
    fn a_blank_node_waits_for_a_sealed_peer_and_says_why() {
        let sealed = greeter("b", 2, false, None);
        sealed.seal.set_sealed("the variable ROOT is not set".to_owned());
        let Reply::NotYet(why) = understood(&sealed, &members(1), false) else { panic!("it does not take part") };
        assert_eq!(why, "is sealed: the variable ROOT is not set");
    }

    #[test]
    fn a_blank_node_waits_until_its_peer_has_the_same_root_key() {
        let blank = |root| greeter("b", 2, true, root);
        let reply = |root| understood(&blank(root), &BTreeMap::new(), false);
        assert!(matches!(reply(None), Reply::NotYet(_)));
        assert!(matches!(reply(Some([8; 32])), Reply::NotYet(_)));
        assert!(matches!(reply(Some([7; 32])), Reply::Blank(2, _)));
        let sealed = blank(None);
        sealed.seal.set_sealed("the variable ROOT is not set".to_owned());
        let Reply::NotYet(why) = understood(&sealed, &BTreeMap::new(), false) else { panic!("it is sealed") };
        assert_eq!(why, "is sealed: the variable ROOT is not set");
    }
}
