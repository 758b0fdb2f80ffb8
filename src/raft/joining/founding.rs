//! The first start of a cluster: the first node of `cluster.peers` hands the founding document to all others, and each takes
//! part once all have noted it (design, "First start").

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::document::{BEGIN_AGAIN, FirstCommandRefused, FoundingDocument};
use super::local::{Founder, LocalFounder, NotFounded, Stage, peer_list_hash};
use crate::blocking;
use crate::config::PeerConfig;
use crate::failpoint::{self, Failpoint};
use crate::raft::peers::links::{Links, NodeClient};
use crate::raft::peers::trouble::PeerTrouble;
use crate::raft::protocol::types::{Member, NodeId};
use crate::raft::protocol::wire::{FoundRequest, FounderQuestion, FounderStage};
use crate::raft::watch::waits::Waits;
use crate::state::{HIGHEST_LEVEL, ReadableLevels};
use crate::store::FoundingStage;

/// The pause between two rounds of questions.
const RETRY: Duration = Duration::from_millis(200);
/// The pause between two questions whether the cluster has begun. Every founder has noted the document by then.
const BEGUN_RETRY: Duration = Duration::from_millis(50);
/// How long a question may take: longer than connecting to the peer, because the error of that says more.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a blank node says once a peer belongs to a cluster that has begun.
const EMPTY_FOLDER: &str = "the right data folder: the data folder of this node is empty, but the cluster has begun. A node that \
     lost its data must not vote, so this node waits. Check that cluster.data names the right folder, and that its disk is \
     mounted. If the folder was moved, stop this node and put the folder back as it was when the node last ran. Never put \
     back a copy or a backup: an older folder lacks writes that this node acknowledged, and using it can lose keys. If the \
     folder is lost, leave this node stopped; this version cannot replace a node. The other nodes go on without it while more \
     than half of all nodes run";

/// This node's part in the first start of its cluster.
pub(in crate::raft) struct FoundingTask<'a> {
    pub links: &'a Links,
    pub local: &'a Arc<LocalFounder>,
    pub waits: &'a Waits,
}

/// What another node answered.
enum Answer {
    Blank(NodeId, Member, ReadableLevels),
    Noted,
    Begun,
    NotYet(String),
}

impl FoundingTask<'_> {
    /// Waits until this blank node has noted a founding document: its own, if it is the first of `cluster.peers`.
    ///
    /// # Errors
    /// The cluster would refuse the first command that this node made.
    pub(in crate::raft) async fn note_document(&self) -> Result<Arc<Founder>, FirstCommandRefused> {
        let mut stage = self.local.stage();
        loop {
            if let Stage::Noted(founder) = &*stage.borrow_and_update() {
                return Ok(Arc::clone(founder));
            }
            let missing = self.blank_round().await?;
            self.waits.set_peers(missing);
            wait_for_change(&mut stage, RETRY).await;
        }
    }

    /// Waits until every founder has noted the document, and notes that durably. After this the cluster has begun. Returns
    /// the document with which it begins.
    ///
    /// # Errors
    /// The disk failed.
    pub(in crate::raft) async fn begin(&self, mut founder: Arc<Founder>) -> io::Result<Arc<Founder>> {
        self.links.set_members(founder.document.members.clone());
        let clients = self.member_clients(&founder);
        loop {
            let missing = if self.is_first() { self.hand_to_all(&founder).await } else { Vec::new() };
            if self.is_first() && missing.is_empty() {
                break;
            }
            let Err(unsure) = self.one_has_begun(&clients).await else { break };
            if self.is_first()
                && let Some(remade) = self.found_again(&founder).await?
            {
                founder = remade;
                continue;
            }
            self.waits.set_peers(if self.is_first() { missing } else { unsure });
            tokio::time::sleep(if self.is_first() { RETRY } else { BEGUN_RETRY }).await;
        }
        self.waits.set_peers(Vec::new());
        failpoint::reached(Failpoint::AllNoted);
        self.local.note_stage(&founder, FoundingStage::Begun).await?;
        failpoint::reached(Failpoint::BegunNoted);
        // The members come first: a founder that was replaced must not hear from this node that the cluster has begun.
        self.links.set_members(founder.document.members.clone());
        self.links.own_preface().cluster_has_begun();
        self.local.set_begun();
        Ok(founder)
    }

    /// Notes a document with other members, if every other node is blank and one of them is not the one in the document:
    /// somebody replaced it, or corrected its address. No other node holds the document then, and no node can have begun.
    async fn found_again(&self, founder: &Arc<Founder>) -> io::Result<Option<Arc<Founder>>> {
        let answers = futures::future::join_all(self.others().map(|peer| self.ask(peer))).await;
        let mut members = self.own_member();
        for answer in answers {
            let Answer::Blank(id, member, _) = answer else { return Ok(None) };
            members.insert(id, member);
        }
        if members == founder.document.members || alike(&members).is_some() {
            return Ok(None);
        }
        tracing::info!("a founder was replaced before the cluster began: this node makes the founding document again");
        self.local.note_again(founder, members).await.map(Some)
    }

    fn is_first(&self) -> bool {
        self.local.peers.first().is_some_and(|first| first.name == self.links.own_name())
    }

    fn others(&self) -> impl Iterator<Item = &PeerConfig> {
        self.local.peers.iter().filter(|peer| peer.name != self.links.own_name())
    }

    /// Asks every other node how far it is. If all are blank, the first node makes the founding document. Returns what this
    /// node waits for.
    async fn blank_round(&self) -> Result<Vec<String>, FirstCommandRefused> {
        let answers = futures::future::join_all(self.others().map(|peer| self.ask(peer))).await;
        let (mut founders, mut highest) = (self.own_member(), HIGHEST_LEVEL);
        let (mut missing, mut has_begun) = (Vec::new(), false);
        for (peer, answer) in self.others().zip(answers) {
            let says = |what: &str| format!("{} ({}) {what}", peer.name, peer.peer_address);
            match answer {
                Answer::Blank(id, member, levels) => {
                    founders.insert(id, member);
                    highest = highest.min(levels.highest);
                }
                Answer::Noted if self.is_first() => {
                    missing
                        .push(says(&format!("has noted the founding document of another first start: {BEGIN_AGAIN}")));
                }
                // The first node is about to hand it to this node, too.
                Answer::Noted => {}
                Answer::Begun => {
                    has_begun = true;
                    missing.push(says("belongs to a cluster that has begun"));
                }
                Answer::NotYet(why) => missing.push(says(&why)),
            }
        }
        missing.extend(has_begun.then(|| EMPTY_FOLDER.to_owned()));
        if !missing.is_empty() {
            return Ok(missing);
        }
        missing.extend(alike(&founders).map(ToOwned::to_owned));
        if !self.is_first() {
            let first = self.local.peers.first().map_or("", |first| first.name.as_str());
            missing.push(format!("{first}, the first node of cluster.peers, to begin the cluster"));
        } else if missing.is_empty() {
            missing.extend(self.found(highest, founders).await?);
        }
        Ok(missing)
    }

    /// Makes and notes the founding document. Returns why that is not possible now.
    async fn found(
        &self,
        level: u32,
        members: BTreeMap<NodeId, Member>,
    ) -> Result<Option<String>, FirstCommandRefused> {
        let local = Arc::clone(self.local);
        match blocking::spawn(move || local.found(level, members)).await {
            Ok(Ok(())) => Ok(None),
            Ok(Err(NotFounded::Refused(error))) => Err(error),
            Ok(Err(error)) => Ok(Some(format!("the first start of the cluster: {error}"))),
            Err(panic) => Ok(Some(format!("the first start of the cluster: {panic}"))),
        }
    }

    async fn ask(&self, peer: &PeerConfig) -> Answer {
        match tokio::time::timeout(TIMEOUT, self.ask_founder(peer)).await {
            Ok(Err(PeerTrouble::ClusterBegun)) => Answer::Begun,
            Ok(answer) => answer.unwrap_or_else(|trouble| Answer::NotYet(trouble.to_string())),
            Err(_) => Answer::NotYet(PeerTrouble::TimedOut.to_string()),
        }
    }

    async fn ask_founder(&self, peer: &PeerConfig) -> Result<Answer, PeerTrouble> {
        let connected = self.links.founder_client(&peer.peer_address).await;
        let (mut client, key, preface) = connected.map_err(|error| PeerTrouble::of_io(&error))?;
        if preface.name != peer.name {
            let other = format!("cannot be used: the node at its address says that it is '{}'", preface.name);
            return Ok(Answer::NotYet(other));
        }
        let answer =
            client.ask_founder(FounderQuestion {}).await.map_err(|status| PeerTrouble::of(&status))?.into_inner();
        Ok(match answer.stage() {
            FounderStage::Unspecified if !answer.sealed.is_empty() => return Err(PeerTrouble::sealed(&answer.sealed)),
            FounderStage::Unspecified => Answer::NotYet("is not ready: it is starting".to_owned()),
            FounderStage::Noted => Answer::Noted,
            FounderStage::Begun => Answer::Begun,
            FounderStage::Blank if answer.peer_list.as_ref() != peer_list_hash(&self.local.peers) => {
                let why = "has another list in cluster.peers: every node needs the same names and addresses in the same order";
                Answer::NotYet(why.to_owned())
            }
            FounderStage::Blank => {
                let member = Member {
                    name: peer.name.clone(),
                    api_address: peer.api_address.clone(),
                    peer_address: peer.peer_address.clone(),
                    store_id: preface.store_id,
                    key,
                };
                Answer::Blank(id_of(&self.local.peers, &peer.name), member, preface.version.levels)
            }
        })
    }

    fn own_member(&self) -> BTreeMap<NodeId, Member> {
        let name = self.links.own_name();
        let own = self.local.peers.iter().find(|peer| peer.name == name);
        own.map(|peer| {
            let member = Member {
                name: peer.name.clone(),
                api_address: peer.api_address.clone(),
                peer_address: peer.peer_address.clone(),
                store_id: self.local.owner.store_id,
                key: self.local.own_key,
            };
            (id_of(&self.local.peers, name), member)
        })
        .into_iter()
        .collect()
    }

    /// Hands the document to every other founder in it. Returns what those say that have not noted it.
    async fn hand_to_all(&self, founder: &Founder) -> Vec<String> {
        // The configured list may have changed since this node made the document.
        let others = founder.document.members.iter().filter(|(id, _)| **id != self.local.owner.node_id);
        let handed = futures::future::join_all(others.map(|(_, member)| self.hand_over(member, founder))).await;
        handed.into_iter().flatten().collect()
    }

    /// Returns why the peer has not noted the document. `None` once it has.
    async fn hand_over(&self, peer: &Member, founder: &Founder) -> Option<String> {
        let address = self.links.address_of(peer);
        let handing = async {
            let connected = self.links.founder_client(address).await;
            let (mut client, key, preface) = connected.map_err(|error| PeerTrouble::of_io(&error))?;
            let request = FoundRequest { document: founder.document.bytes.clone() };
            client.found(request).await.map_err(|status| PeerTrouble::of(&status))?;
            // Another founder may answer at this address. Its answer must not count for the one that belongs there.
            FoundingDocument::is_of(peer, key, &preface)
        };
        let trouble = match tokio::time::timeout(TIMEOUT, handing).await {
            Ok(Ok(())) => {
                failpoint::reached(Failpoint::DocumentHandedOver);
                return None;
            }
            Ok(Err(trouble)) => trouble,
            Err(_) => PeerTrouble::TimedOut,
        };
        Some(format!("{} ({address}) {trouble}", peer.name))
    }

    /// Asks the other founders whether the cluster has begun.
    ///
    /// # Errors
    /// None of them says so. What they say instead.
    async fn one_has_begun(&self, clients: &[(String, io::Result<NodeClient>)]) -> Result<(), Vec<String>> {
        let asked = clients.iter().map(|(who, client)| async move {
            let mut client = client.as_ref().map_err(|error| format!("{who} {}", PeerTrouble::of_io(error)))?.clone();
            let answer = tokio::time::timeout(TIMEOUT, client.ask_founder(FounderQuestion {})).await;
            match answer.map_err(|_| PeerTrouble::TimedOut) {
                Ok(Ok(answer)) if answer.get_ref().stage() == FounderStage::Begun => Ok(()),
                Ok(Ok(_)) => Err(format!("{who}, which has yet to learn that every node is ready")),
                Ok(Err(status)) => Err(format!("{who} {}", PeerTrouble::of(&status))),
                Err(trouble) => Err(format!("{who} {trouble}")),
            }
        });
        one_of(futures::future::join_all(asked).await)
    }

    /// Clients of the other founders, which must have the keys and the stores in the document.
    fn member_clients(&self, founder: &Founder) -> Vec<(String, io::Result<NodeClient>)> {
        let others = founder.document.members.iter().filter(|(id, _)| **id != self.local.owner.node_id);
        let client = |(_, member): (_, &Member)| {
            (format!("{} ({})", member.name, self.links.address_of(member)), self.links.client(member))
        };
        others.map(client).collect()
    }
}

/// Whether one of these is fine. No answer at all is not.
pub(super) fn one_of(answers: Vec<Result<(), String>>) -> Result<(), Vec<String>> {
    if answers.iter().any(Result::is_ok) { Ok(()) } else { Err(answers.into_iter().filter_map(Result::err).collect()) }
}

async fn wait_for_change(stage: &mut watch::Receiver<Stage>, pause: Duration) {
    // Either way the node looks again.
    drop(tokio::time::timeout(pause, stage.changed()).await);
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

/// The id of a node in the first membership: its place in `cluster.peers`, from 1.
pub(in crate::raft) fn id_of(peers: &[PeerConfig], name: &str) -> NodeId {
    (1..).zip(peers).find(|(_, peer)| peer.name == name).map_or(0, |(id, _)| id)
}
