//! Opening a node's data folder: checking that its parts belong together, and rebuilding a damaged keystore.

use std::io;
use std::path::{Path, PathBuf};

use super::damage::Damage;
use super::doubt::OnLoss;
use super::file_error::at;
use super::files::make_private_folder;
use super::folder::Folders;
use super::log_open::LogParts;
use super::log_open_error::LogOpenError;
use super::open_error::OpenError;
use super::read_error::ReadError;
use super::tags::StoreTags;
use super::{ClusterFileError, Keystore, LogId, LogStore, Owner, Snapshot, Snapshots, StoreKeys};
use crate::state::ClusterId;

/// A node's store, open.
pub struct Store {
    /// The Raft log.
    pub log: LogStore,
    /// The snapshots.
    pub snapshots: Snapshots,
    /// The owner of the store.
    pub owner: Owner,
    /// The keystore, if this node has one or could rebuild it.
    pub keystore: FoundKeystore,
}

/// The state of a keystore when its folder was opened.
pub enum FoundKeystore {
    /// It is whole.
    Whole(Keystore),
    /// It was damaged or lost, and the node rebuilt it from a snapshot of its own. The rest comes from the log.
    Rebuilt {
        /// The new keystore.
        keystore: Keystore,
        /// What was wrong with the old one.
        damage: Damage,
        /// Where the old one is now, if it was still there.
        aside: Option<PathBuf>,
    },
    /// It was damaged or lost, and this node needs a snapshot of a peer to rebuild it.
    NeedsPeer {
        /// What was wrong with it.
        damage: Damage,
    },
}

impl Store {
    /// Makes the store of a node that has never taken part in its cluster. What an earlier attempt has made stays.
    ///
    /// # Errors
    /// The node cannot use the folder, or a part of it is missing that the node has used.
    pub fn create(dir: &Path, owner: Owner, keys: &StoreKeys) -> Result<Self, OpenError> {
        let parts = Parts::open(dir, owner, keys, OnLoss::Refuse)?;
        if parts.log.is_new() { parts.claim(dir, owner, keys) } else { parts.store(owner, keys) }
    }

    /// Opens the store of a node that has taken part in its cluster.
    ///
    /// # Errors
    /// The node cannot use the folder, a part of it is missing, belongs to another node or to another cluster, or is not
    /// what this node wrote.
    pub fn open(dir: &Path, owner: Owner, keys: &StoreKeys, on_loss: OnLoss) -> Result<Self, OpenError> {
        Parts::open(dir, owner, keys, on_loss)?.store(owner, keys)
    }

    /// Makes a keystore from a peer's snapshot that is among `snapshots`, for a node that could not rebuild its own.
    ///
    /// # Errors
    /// The snapshot is damaged, or the disk failed.
    pub fn rebuild_from(dir: &Path, snapshots: &Snapshots, snapshot: &Snapshot) -> Result<Keystore, ReadError> {
        let folders = Folders::new(&dir.join("keystore")).map_err(ReadError::Io)?;
        Keystore::create_from(folders, snapshots.tags.clone(), snapshot)
    }
}

/// The parts of a store, before it is clear that they belong together.
struct Parts {
    log: LogParts,
    snapshots: Snapshots,
    folders: Folders,
    keystore: Result<Option<Keystore>, NotUsable>,
}

/// Why a keystore that is in use cannot be used.
enum NotUsable {
    /// It is damaged.
    Damaged(Damage),
    /// Each attempt to open it ended the process, and it may be whole.
    CutShort(Damage),
    /// The file system refused, and it may be whole.
    Refused(ReadError),
}

impl Parts {
    fn open(dir: &Path, owner: Owner, keys: &StoreKeys, on_loss: OnLoss) -> Result<Self, OpenError> {
        make_private_folder(dir).map_err(at(dir))?;
        let log = LogParts::open(dir, owner, keys, on_loss).map_err(|error| match error {
            LogOpenError::Foreign { file, folder } => {
                ClusterFileError::Foreign { file: (file, Some(keys.cluster)), folder: (folder, None) }.into()
            }
            other => OpenError::from(other),
        })?;
        let folders = Folders::new(&dir.join("keystore"))?;
        // A version that cannot read the data folder must leave it as it is. So this comes before everything that writes.
        if let Err(ReadError::Level(error)) = folders.find_current() {
            return Err(error.into());
        }
        // The log belongs to this node. With the tags of another one, everything would look damaged.
        let tags = StoreTags::new(owner, keys);
        let snapshots = Snapshots::open(&dir.join("snapshots"), tags.clone())?;
        let keystore = open_keystore(&folders, tags)?;
        Ok(Self { log, snapshots, folders, keystore })
    }

    /// Makes an empty folder the store of `owner`. The node record and the log come first, so that a crash in between never
    /// leaves a keystore without a log.
    fn claim(self, dir: &Path, owner: Owner, keys: &StoreKeys) -> Result<Store, OpenError> {
        let Self { log, snapshots, folders, keystore } = self;
        if !matches!(keystore, Ok(None)) || snapshots.newest()?.is_some() {
            return Err(OpenError::KeystoreWithoutLog);
        }
        let log = LogStore::of(log.completed(dir, owner, keys)?.check(owner, keys, None)?);
        let keystore = FoundKeystore::Whole(Keystore::create(folders, snapshots.tags.clone())?);
        Ok(Store { log, snapshots, owner, keystore })
    }

    /// The store, if its parts belong to this owner and this cluster. A damaged keystore is rebuilt if that is possible.
    fn store(self, owner: Owner, keys: &StoreKeys) -> Result<Store, OpenError> {
        let (applied, reached) = (self.applied()?, self.reached()?);
        let Self { log, snapshots, folders, keystore } = self;
        let log = LogStore::of(log.check(owner, keys, applied)?);
        // A crash can come between the arrival of a snapshot and the truncation or the purge that follows.
        reached.map_or(Ok(()), |reached| log.make_room_for(reached))?;
        let keystore = match keystore {
            Ok(Some(keystore)) => match mismatch(&keystore, &log)? {
                None => match cluster_of(&keystore).filter(|cluster| *cluster != keys.cluster) {
                    None => FoundKeystore::Whole(keystore),
                    Some(other) => {
                        let (file, folder) = ((owner, Some(keys.cluster)), (owner, Some(other)));
                        return Err(ClusterFileError::Foreign { file, folder }.into());
                    }
                },
                Some(damage) => {
                    drop(keystore);
                    match caught_up(&folders, &log, &snapshots)? {
                        Some(keystore) => FoundKeystore::Whole(keystore),
                        None => rebuild(folders, &log, &snapshots, damage)?,
                    }
                }
            },
            Ok(None) => rebuild(folders, &log, &snapshots, Damage::Unreadable("it is gone".to_owned()))?,
            Err(NotUsable::Damaged(damage)) => rebuild(folders, &log, &snapshots, damage)?,
            Err(NotUsable::CutShort(damage)) => match in_memory(&folders, &log, &snapshots, &damage.to_string())? {
                Some(keystore) => keystore,
                None => rebuild(folders, &log, &snapshots, damage)?,
            },
            // The keystore may be whole. So the node waits for it instead of asking a peer.
            Err(NotUsable::Refused(refused)) => {
                in_memory(&folders, &log, &snapshots, &refused.to_string())?.ok_or(refused)?
            }
        };
        Ok(Store { log, snapshots, owner, keystore })
    }

    /// The position up to which the node has everything without its log.
    fn applied(&self) -> Result<Option<LogId>, OpenError> {
        match &self.keystore {
            Ok(Some(keystore)) => Ok(keystore.last_applied()),
            // Neither the keystore nor a snapshot counts then.
            _ if self.folders.is_wrong()? => Ok(None),
            _ => Ok(self.snapshots.newest_for_rebuild()?.and_then(|snapshot| snapshot.header.applied.last)),
        }
    }

    /// The position that consensus begins with: it installs a snapshot that goes further than the keystore.
    fn reached(&self) -> Result<Option<LogId>, OpenError> {
        let snapshot = if self.folders.is_wrong()? { None } else { self.snapshots.newest()? };
        Ok(self.applied()?.max(snapshot.and_then(|snapshot| snapshot.header.applied.last)))
    }
}

/// The cluster that a keystore belongs to. `None` before the cluster's first command.
fn cluster_of(keystore: &Keystore) -> Option<ClusterId> {
    keystore.view().cluster().map(|cluster| cluster.id)
}

/// Why an opened keystore does not fit this log.
fn mismatch(keystore: &Keystore, log: &LogStore) -> io::Result<Option<Damage>> {
    // openraft would build a snapshot from a keystore that lacks purged entries, and go on without them.
    let (applied, purged) = (keystore.last_applied(), log.state()?.purged);
    if applied.map(|id| id.index) < purged.map(|id| id.index) {
        return Ok(Some(Damage::Unreadable("it lacks entries that the log has purged".to_owned())));
    }
    Ok(None)
}

/// The keystore in use, if it is whole and the node did not find it wrong.
fn open_keystore(folders: &Folders, tags: StoreTags) -> Result<Result<Option<Keystore>, NotUsable>, OpenError> {
    if folders.is_wrong()? {
        // If the file system fails, or another version must read the keystore, everything stays as it is.
        drop(damage_only(folders.find_current())?);
        let differs = Damage::Unreadable("it differs from what the other nodes have".to_owned());
        return Ok(Err(NotUsable::Damaged(differs)));
    }
    match Keystore::open(folders.clone(), tags) {
        Err(refused @ ReadError::Io(_)) => Ok(Err(NotUsable::Refused(refused))),
        // Sled does not always say that the disk is full.
        Err(ReadError::Damaged(damage)) if !folders.have_room() => {
            let full = format!("the disk has no room to open it ({damage})");
            Ok(Err(NotUsable::Refused(ReadError::Io(io::Error::new(io::ErrorKind::StorageFull, full)))))
        }
        Err(ReadError::Damaged(damage @ Damage::CutShort { .. })) => Ok(Err(NotUsable::CutShort(damage))),
        read => damage_only(read).map(|read| read.map_err(NotUsable::Damaged)),
    }
}

/// The newest snapshot that reaches the log, if this node has one.
fn snapshot_before_log(log: &LogStore, snapshots: &Snapshots) -> Result<Option<Snapshot>, OpenError> {
    let purged = log.state()?.purged.map(|id| id.index);
    let reaches = |snapshot: &Snapshot| snapshot.header.applied.last.map(|id| id.index) >= purged;
    Ok(snapshots.newest_for_rebuild()?.filter(reaches))
}

/// A keystore in memory, for a node that cannot open the one in use: with the state of the newest snapshot, or without any
/// if the log is whole. The one in use stays as it is. `None` if log and snapshots do not have everything.
fn in_memory(
    folders: &Folders,
    log: &LogStore,
    snapshots: &Snapshots,
    why: &str,
) -> Result<Option<FoundKeystore>, OpenError> {
    let snapshot = snapshot_before_log(log, snapshots)?;
    if snapshot.is_none() && log.state()?.purged.is_some() {
        return Ok(None);
    }
    tracing::error!(
        error = why,
        "this node cannot use its keystore now, and leaves it as it is: it keeps the state of its newest snapshot and its log in \
         memory, and writes the keystore anew when the disk takes it"
    );
    let made = damage_only(Keystore::in_memory(folders.clone(), snapshots.tags.clone(), snapshot.as_ref()))?;
    Ok(made.ok().map(FoundKeystore::Whole))
}

/// A keystore from the newest snapshot, for one that lacks entries that the log has purged. That is not damage: while the
/// disk takes no keystore, a node goes on in memory.
fn caught_up(folders: &Folders, log: &LogStore, snapshots: &Snapshots) -> Result<Option<Keystore>, OpenError> {
    let Some(snapshot) = snapshot_before_log(log, snapshots)? else { return Ok(None) };
    let made = damage_only(Keystore::create_from(folders.clone(), snapshots.tags.clone(), &snapshot))?;
    if made.is_ok() {
        tracing::info!("the keystore of this node was older than its log, and is made anew from its newest snapshot");
    }
    Ok(made.ok())
}

fn rebuild(
    folders: Folders,
    log: &LogStore,
    snapshots: &Snapshots,
    damage: Damage,
) -> Result<FoundKeystore, OpenError> {
    let aside = folders.set_aside()?;
    if folders.is_wrong()? {
        // The snapshots may hold the same wrong state. The node must neither use them nor send them to another one.
        while let Some(snapshot) = snapshots.newest_for_rebuild()? {
            snapshots.set_aside(&snapshot)?;
        }
        return Ok(FoundKeystore::NeedsPeer { damage });
    }
    let purged = log.state()?.purged;
    while let Some(snapshot) = snapshots.newest_for_rebuild()? {
        if snapshot.header.applied.last.map(|id| id.index) < purged.map(|id| id.index) {
            break;
        }
        match damage_only(Keystore::create_from(folders.clone(), snapshots.tags.clone(), &snapshot))? {
            Ok(keystore) => return Ok(FoundKeystore::Rebuilt { keystore, damage, aside }),
            Err(_) => {
                snapshots.set_aside(&snapshot)?;
            }
        }
    }
    if purged.is_some() {
        return Ok(FoundKeystore::NeedsPeer { damage });
    }
    Ok(FoundKeystore::Rebuilt { keystore: Keystore::create(folders, snapshots.tags.clone())?, damage, aside })
}

/// Passes on damage, which has a remedy. Everything else ends the start.
fn damage_only<T>(read: Result<T, ReadError>) -> Result<Result<T, Damage>, OpenError> {
    match read {
        Ok(read) => Ok(Ok(read)),
        // `cluster.id` may be older than what it is read with. Then nothing is damaged.
        Err(error @ ReadError::Damaged(Damage::UnknownKey { .. })) => Err(error.into()),
        Err(ReadError::Damaged(damage)) => Ok(Err(damage)),
        Err(other) => Err(other.into()),
    }
}
