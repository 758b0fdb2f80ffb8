//! What a node keeps on disk: the Raft log, the keystore derived from it, and snapshots. Requests read the view of it.

mod build;
mod changes;
mod cluster_id;
mod entries;
mod files;
mod flush;
mod folder;
mod image;
mod keystore;
mod load;
mod log;
mod log_types;
mod open;
mod owner;
mod progress;
mod read_error;
mod snapshot;
mod staging;
mod view;
mod wire;

pub use build::SnapshotBuild;
pub use cluster_id::{CLUSTER_FILE, ClusterFacts, ClusterFile, ClusterFileError};
pub use files::{folder_bytes, make_private_file, make_private_folder, make_usable_folder, replace_file};
pub use flush::{FlushFigures, OnDurable};
pub use image::{Applied, Damage};
pub use keystore::{Keystore, KeystoreCheckpoint};
pub use log::{LogState, LogStore};
pub use log_types::{LogId, MAX_PAYLOAD_BYTES, Vote};
pub use open::{FoundKeystore, OpenError, Store};
pub use owner::{Owner, StoreId};
pub use progress::Progress;
pub use read_error::ReadError;
pub use snapshot::{Snapshot, SnapshotHeader, Snapshots};
pub use view::View;
