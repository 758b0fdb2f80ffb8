//! Tests of what founders note, and of the documents that they refuse.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use tempfile::TempDir;

use super::document::{DocumentError, FirstCommandRefused, FoundingDocument, dry_run};
use super::founding::one_of;
use super::local::{FirstStart, LocalFounder, NotNoted, Stage};
use crate::config::PeerConfig;
use crate::crypto::{ClusterKey, RootKey};
use crate::kms;
use crate::policy::{Identity, Pattern, Policy, PolicyName};
use crate::raft::peers::trouble::PeerTrouble;
use crate::raft::preface::content::{ConnectionSide, NodeVersion, Preface};
use crate::raft::preface::shown_seal::ShownSeal;
use crate::raft::protocol::types::{Member, NodeId};
use crate::raft::protocol::wire;
use crate::store::{ClusterFile, DataFolder, FoundingStage, Owner, StoreId};

/// A founder with a data folder of its own.
struct Node {
    local: LocalFounder,
    folder: TempDir,
}

fn peers(names: &[&str]) -> Vec<PeerConfig> {
    let peer = |name: &&str| PeerConfig {
        name: (*name).to_owned(),
        peer_address: format!("{name}:7473"),
        api_address: format!("{name}:7373"),
    };
    names.iter().map(peer).collect()
}

fn key(id: u8) -> Identity {
    Identity::from_bytes([id; Identity::LEN])
}

fn owner(id: u8) -> Owner {
    Owner { store_id: StoreId([id; 16]), node_id: id.into() }
}

fn first_start(root: &RootKey) -> FirstStart {
    let (making, opening) = (root.clone(), root.clone());
    FirstStart {
        first_command: Box::new(move |level| Ok(kms::first_command(level, &making, &BTreeMap::new(), None))),
        open: Box::new(move |cluster| kms::open_cluster(cluster, &opening).map_err(|error| error.to_string())),
    }
}

/// The founder with this id. It is blank, and has this root key.
fn node(id: u8, names: &[&str], root: &RootKey) -> Node {
    let folder = tempfile::tempdir().unwrap();
    let file = DataFolder::open(folder.path(), owner(id)).unwrap().file;
    let file = Arc::new(Mutex::new(file));
    let local = LocalFounder::new(owner(id), key(id), peers(names), ShownSeal::default(), first_start(root), file);
    local.set_blank();
    Node { local, folder }
}

fn members(names: &[&str]) -> BTreeMap<NodeId, Member> {
    let member = |(id, peer): (u8, PeerConfig)| {
        let PeerConfig { name, peer_address, api_address } = peer;
        (id.into(), Member { name, api_address, peer_address, store_id: owner(id).store_id, key: key(id) })
    };
    (1..).zip(peers(names)).map(member).collect()
}

/// The document that the first node has noted.
fn document_of(node: &Node) -> FoundingDocument {
    match &*node.local.stage().borrow() {
        Stage::Noted(founder) => founder.document.clone(),
        _ => panic!("it has noted a document"),
    }
}

/// The document of a new first start with these nodes.
fn founded(names: &[&str], root: &RootKey) -> FoundingDocument {
    let first = node(1, names, root);
    first.local.found(1, members(names)).unwrap();
    document_of(&first)
}

fn refused(node: &Node, bytes: Bytes, from: u8) -> DocumentError {
    match node.local.take(bytes, key(from)) {
        Err(NotNoted::Document(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn stage_on_disk(folder: &Path) -> Option<FoundingStage> {
    let file = ClusterFile::open(folder).unwrap();
    file.facts()?.founding.as_ref().map(|founding| founding.stage)
}

const NAMES: &[&str] = &["a", "b", "c"];

#[tokio::test]
async fn a_founder_notes_the_document_durably_and_takes_it_again() {
    let root = RootKey::random();
    let (document, second) = (founded(NAMES, &root), node(2, NAMES, &root));
    for _ in 0..2 {
        second.local.take(document.bytes.clone(), key(1)).unwrap();
        assert_eq!(document_of(&second), document);
    }
    let mut file = ClusterFile::open(second.folder.path()).unwrap();
    let facts = file.facts().unwrap().clone();
    assert_eq!((facts.owner, &facts.cluster), (owner(2), &document.cluster));
    assert_eq!(FoundingDocument::decode(facts.founding.unwrap().document).unwrap(), document);
    let keys = kms::open_cluster(&facts.cluster, &root).unwrap();
    assert!(file.verify(&keys.integrity));
    let Stage::Noted(founder) = second.local.stage().borrow().clone() else { panic!("it is noted") };
    for stage in [FoundingStage::Stored, FoundingStage::Begun] {
        second.local.note_stage(&founder, stage).await.unwrap();
        assert_eq!(stage_on_disk(second.folder.path()), Some(stage));
    }
}

#[test]
fn a_founder_refuses_a_document_that_is_not_its_own() {
    let (root, other) = (RootKey::random(), RootKey::random());
    let second = node(2, NAMES, &root);
    let document = founded(NAMES, &root);
    assert_eq!(refused(&second, document.bytes.clone(), 3), DocumentError::OtherSender);
    assert_eq!(refused(&second, Bytes::from_static(b"?"), 1), DocumentError::Unreadable);
    assert_eq!(refused(&second, founded(&["a", "c", "b"], &root).bytes, 1), DocumentError::OtherPeers);
    assert_eq!(refused(&second, founded(&["a", "b"], &root).bytes, 1), DocumentError::OtherPeers);
    let error = refused(&second, founded(NAMES, &other).bytes, 1);
    assert!(matches!(&error, DocumentError::OtherRootKey(why) if !why.is_empty()), "{error}");
    let replaced = node(2, NAMES, &root);
    let mut with_others = members(NAMES);
    with_others.get_mut(&2).unwrap().store_id = StoreId([9; 16]);
    let first = node(1, NAMES, &root);
    first.local.found(1, with_others).unwrap();
    assert_eq!(refused(&replaced, document_of(&first).bytes, 1), DocumentError::OtherNode);
    assert!(stage_on_disk(second.folder.path()).is_none() && stage_on_disk(replaced.folder.path()).is_none());
}

/// Somebody without the cluster key changes a member or an admission.
#[test]
fn a_document_counts_only_with_the_admission_of_every_founder() {
    let root = RootKey::random();
    let (document, second) = (founded(NAMES, &root), node(2, NAMES, &root));
    let changed = |change: &dyn Fn(&mut wire::FoundingDocument)| {
        let mut wire = wire::FoundingDocument::decode(document.bytes.clone()).unwrap();
        change(&mut wire);
        refused(&second, wire.encode_to_vec().into(), 1)
    };
    let third = |wire: &mut wire::FoundingDocument| {
        wire.membership.as_mut().unwrap().members[2].key = vec![9; Identity::LEN].into();
    };
    assert_eq!(changed(&third), DocumentError::NotAdmitted);
    assert_eq!(changed(&|wire| drop(wire.admissions.pop())), DocumentError::NotAdmitted);
    let forged = ClusterKey::generate().sign(crate::crypto::SignatureUse::Admission, b"x");
    let forge = |wire: &mut wire::FoundingDocument| wire.admissions[0].admission = forged.to_vec().into();
    assert_eq!(changed(&forge), DocumentError::NotAdmitted);
}

/// Two addresses may lead to one node, which then answers for both.
#[test]
fn a_founder_that_has_noted_the_document_answers_for_itself_alone() {
    let members = members(NAMES);
    let says = |id: u8| Preface {
        side: ConnectionSide::Acceptor,
        node_id: id.into(),
        name: "b".to_owned(),
        store_id: owner(id).store_id,
        cluster: None,
        incarnation: None,
        start: None,
        noted_start: None,
        version: NodeVersion::own(),
        active_level: None,
        admission: None,
    };
    assert_eq!(FoundingDocument::is_of(&members[&2], key(2), &says(2)), Ok(()));
    assert_eq!(FoundingDocument::is_of(&members[&3], key(2), &says(2)), Err(PeerTrouble::OtherKey));
    assert_eq!(FoundingDocument::is_of(&members[&2], key(2), &says(3)), Err(PeerTrouble::OtherStore { node: 3 }));
}

#[test]
fn a_founder_that_nobody_answers_does_not_begin() {
    let away = || Err("away".to_owned());
    assert_eq!(one_of(Vec::new()), Err(Vec::new()));
    assert_eq!(one_of(vec![away()]), Err(vec!["away".to_owned()]));
    assert_eq!(one_of(vec![away(), Ok(())]), Ok(()));
}

#[test]
fn a_founder_keeps_to_the_document_that_it_noted() {
    let root = RootKey::random();
    let second = node(2, NAMES, &root);
    let (one, other) = (founded(NAMES, &root), founded(NAMES, &root));
    second.local.take(one.bytes.clone(), key(1)).unwrap();
    let refused = second.local.take(other.bytes.clone(), key(1));
    assert!(matches!(refused, Err(NotNoted::OtherDocument)), "{refused:?}");
    assert_eq!(document_of(&second), one);
    second.local.set_begun();
    for document in [&one, &other] {
        let refused = second.local.take(document.bytes.clone(), key(1));
        assert!(matches!(refused, Err(NotNoted::Begun)), "{refused:?}");
    }
}

#[tokio::test]
async fn the_first_node_makes_the_document_again_with_the_same_command() {
    let root = RootKey::random();
    let first = node(1, NAMES, &root);
    first.local.found(1, members(NAMES)).unwrap();
    let Stage::Noted(founder) = first.local.stage().borrow().clone() else { panic!("it is noted") };
    let mut replaced = members(NAMES);
    replaced.get_mut(&2).unwrap().store_id = StoreId([9; 16]);
    let again = first.local.note_again(&founder, replaced.clone()).await.unwrap();
    assert_eq!(again.document.first_command, founder.document.first_command);
    assert_eq!((&again.document.members, document_of(&first)), (&replaced, again.document.clone()));
    assert_eq!(stage_on_disk(first.folder.path()), Some(FoundingStage::Stored));
    let third = node(3, NAMES, &root);
    third.local.take(again.document.bytes.clone(), key(1)).unwrap();
}

#[test]
fn a_first_command_that_apply_refuses_is_noted_by_nobody() {
    let root = RootKey::random();
    let allow = (0..1000).map(|number| Pattern::parse(&format!("/v1/key/create/{number:080}")).unwrap());
    let policies = [(PolicyName::parse("too-large").unwrap(), (Policy::new(allow, []), Vec::new()))].into();
    let command = kms::first_command(1, &root, &policies, None);
    assert!(matches!(dry_run(&command), Err(FirstCommandRefused::Outcome { outcome: 9 })));
    assert!(dry_run(&kms::first_command(1, &root, &BTreeMap::new(), None)).is_ok());
}
