//! What a node keeps on disk: the Raft log, the keystore derived from it, and snapshots. Requests read the view of it.

mod build;
mod chain;
mod changes;
mod cluster_id;
mod damage;
mod data_folder;
mod digest_ring;
mod entries;
mod files;
mod flush;
mod folder;
mod forged;
mod image;
mod keys;
mod keystore;
mod level;
mod level_note;
mod load;
mod log;
mod log_open;
mod log_open_error;
mod log_tail;
mod log_types;
mod many_digest;
mod node_record;
mod open;
mod owner;
mod position;
mod progress;
mod read_error;
mod record_facts;
mod record_file;
mod ring_versions;
mod slot;
mod snapshot;
mod snapshot_header;
mod snapshot_reader;
mod staging;
mod starts;
mod stored_facts;
mod tags;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod vectors;
mod view;
mod wire;

pub use build::SnapshotBuild;
pub use cluster_id::{CLUSTER_FILE, ClusterFacts, ClusterFile, ClusterFileError, Founding, FoundingStage};
pub use damage::Damage;
pub use data_folder::{DataFolder, FolderLock};
pub use digest_ring::{DigestRing, StateDigest};
pub use files::{
    folder_bytes, make_file_once, make_private_file, make_private_folder, make_usable_folder, replace_file,
};
pub use flush::{FlushFigures, FlushUnderWay, OnDurable};
pub use forged::{Forged, Forgery};
pub use image::Applied;
pub use keys::StoreKeys;
pub use keystore::{Keystore, KeystoreCheckpoint};
pub use level::{UnreadableLevel, WrittenLevel};
pub use log::{LogState, LogStore};
pub use log_open_error::LogOpenError;
pub use log_types::{LogId, MAX_PAYLOAD_BYTES, Vote};
pub use node_record::NodeRecord;
pub use open::{FoundKeystore, OpenError, Store};
pub use owner::{Owner, StoreId};
pub use progress::Progress;
pub use read_error::ReadError;
pub use ring_versions::RecordsPerRingVersion;
pub use snapshot::{Snapshot, Snapshots};
pub use snapshot_header::SnapshotHeader;
pub use snapshot_reader::SentSnapshot;
pub use starts::{NotedStart, Noting, StartHistory, StartId};
pub use stored_facts::stored_facts;
pub use view::View;
