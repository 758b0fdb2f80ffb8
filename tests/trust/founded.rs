//! A cluster that begins with a first command from the test: with ids and keys that the test chose.

use bytes::Bytes;
use keyraft::crypto::RootKey;
use keyraft::kms;
use keyraft::state::{ClusterState, EncodedCommand};
use keyraft::store::{ClusterFacts, ClusterFile, Founding, FoundingStage, Owner, StoreId};
use prost::Message;

use super::data_folder;
use super::support::processes::Processes;
use super::wire::{peer, state};

/// The first command of a cluster.
pub struct FirstCommand {
    command: EncodedCommand,
    body: state::Command,
}

impl FirstCommand {
    /// The first command of a new cluster with the root key of these nodes.
    pub fn new(processes: &Processes) -> Self {
        let root = std::fs::read_to_string(processes.root_key()).expect("the root key is there");
        let root: RootKey = root.trim().parse().expect("a root key");
        let level = keyraft::state::LOWEST_LEVEL;
        let command = kms::first_command(level, &root, &kms::FilePolicies::default(), None);
        let body = state::Command::decode(command.body()).expect("a command");
        Self { command, body }
    }

    /// The first command of the same cluster, as if it had been recovered: with another incarnation, and with the same ids
    /// and keys otherwise.
    pub fn of_another_incarnation(&self) -> Self {
        let mut body = self.body.clone();
        let Some(state::command::Operation::Init(init)) = &mut body.operation else { panic!("it begins a cluster") };
        init.cluster.as_mut().expect("it has one").incarnation = vec![7; 16].into();
        let Self { command, .. } = self;
        let command =
            EncodedCommand::new(command.level(), command.request_id(), command.seen_index(), &body.encode_to_vec());
        Self { command, body }
    }

    fn cluster(&self) -> ClusterState {
        let Some(state::command::Operation::Init(init)) = &self.body.operation else { panic!("it begins a cluster") };
        ClusterState::decode(&init.cluster.as_ref().expect("it has one").encode_to_vec()).expect("the facts")
    }

    /// Empties the data folders of nodes that do not run, except for their TLS keys, and lets them begin a cluster with this
    /// command. The first node finds the command in its folder, as after a crash at the beginning of a first start.
    pub async fn found(&self, processes: &mut Processes) {
        let data = processes.data(0);
        let (before, root_key) = (data_folder::facts(&data), processes.root_key());
        processes.data_folders().iter().for_each(|data| data_folder::remove_all_but_peer_key(data));
        let membership = peer::Membership::decode(before.membership.clone()).expect("a membership");
        let document = peer::FoundingDocument {
            first_command: self.command.bytes().clone(),
            membership: Some(membership),
            admissions: Vec::new(),
        };
        let founding = Founding { document: document.encode_to_vec().into(), stage: FoundingStage::Noted };
        let cluster = self.cluster();
        let keys = data_folder::keys_of(&cluster, &root_key).integrity;
        let owner = Owner { store_id: StoreId(rand::random()), ..before.owner };
        // The node makes its admission again.
        let facts = ClusterFacts { owner, cluster, admission: Bytes::new(), founding: Some(founding), ..before };
        let mut file = ClusterFile::create(&data, owner).expect("the folder is writable");
        file.write(facts, &keys).expect("the folder is writable");
        processes.start_all().await;
    }
}
