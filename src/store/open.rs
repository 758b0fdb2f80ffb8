//! Opening a node's data folder: what is there, whether it belongs together, and rebuilding what does not.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::files::make_private_folder;
use super::folder::Folders;
use super::image::Damage;
use super::{Keystore, Log, Owner, Snapshot, Snapshots};

/// A node's store, open.
pub struct Store {
    /// The Raft log.
    pub log: Log,
    /// The snapshots.
    pub snapshots: Snapshots,
    /// Whose store it is.
    pub owner: Owner,
    /// The keystore, or what it takes to have one again.
    pub keystore: Found,
}

/// The state of a keystore when its folder was opened.
pub enum Found {
    /// It is whole.
    Whole(Keystore),
    /// It was damaged or lost, and was rebuilt from here; what is missing comes from the log.
    Rebuilt {
        /// The new one.
        keystore: Keystore,
        /// What was wrong with the old one.
        damage: Damage,
        /// Where the old one is now.
        aside: Option<PathBuf>,
    },
    /// It was damaged or lost, and what is left here cannot rebuild it: a peer's snapshot must.
    NeedsPeer {
        /// What was wrong.
        damage: Damage,
    },
}

/// Why a store cannot be opened; a person must act.
#[derive(Debug)]
pub enum OpenError {
    /// The file system refused, or a file is damaged.
    Io(io::Error),
    /// Another process uses the folder.
    InUse,
    /// There is a keystore but no log: part of the folder was removed.
    KeystoreWithoutLog,
}

impl Store {
    /// Opens the data folder `dir`. When it is blank, it becomes the store that `new_owner` names.
    ///
    /// # Errors
    /// The folder cannot be used, or does not belong together in a way that rebuilding would not mend.
    pub fn open(dir: &Path, new_owner: impl FnOnce() -> Owner) -> Result<Self, OpenError> {
        make_private_folder(dir)?;
        let log = Log::open(&dir.join("log")).map_err(|error| match error.kind() {
            // The log locks its folder.
            io::ErrorKind::WouldBlock => OpenError::InUse,
            _ => OpenError::Io(error),
        })?;
        let snapshots = Snapshots::open(&dir.join("snapshots"))?;
        let folders = Folders::new(&dir.join("keystore"))?;
        folders.check_room()?;
        let opened = Keystore::open(folders.clone());
        let Some(owner) = log.owner()?.as_deref().and_then(Owner::decode) else {
            return Self::claim(log, snapshots, folders, opened, new_owner());
        };
        let keystore = match opened {
            Ok(Some(keystore)) => match mismatch(&keystore, &log, owner)? {
                None => Found::Whole(keystore),
                Some(damage) => {
                    drop(keystore);
                    rebuild(folders, owner, &log, &snapshots, damage)?
                }
            },
            Ok(None) => rebuild(folders, owner, &log, &snapshots, Damage::Unreadable("it is gone".to_owned()))?,
            Err(damage) => rebuild(folders, owner, &log, &snapshots, damage)?,
        };
        Ok(Self { log, snapshots, owner, keystore })
    }

    /// Makes a blank folder the store of `owner`. The log is claimed first: a keystore alone is never taken for one.
    fn claim(
        log: Log,
        snapshots: Snapshots,
        folders: Folders,
        opened: Result<Option<Keystore>, Damage>,
        owner: Owner,
    ) -> Result<Self, OpenError> {
        if !matches!(opened, Ok(None)) || snapshots.newest()?.is_some() || log.state()?.last.is_some() {
            return Err(OpenError::KeystoreWithoutLog);
        }
        log.save_owner(owner.encode())?;
        let keystore = Found::Whole(Keystore::create(folders, owner)?);
        Ok(Self { log, snapshots, owner, keystore })
    }

    /// Makes a keystore of a peer's snapshot, when nothing here could.
    ///
    /// # Errors
    /// The snapshot is damaged, or the disk failed.
    pub fn rebuild_from(dir: &Path, owner: Owner, snapshot: &Snapshot) -> Result<Keystore, Damage> {
        let folders = Folders::new(&dir.join("keystore")).map_err(|e| Damage::Unreadable(e.to_string()))?;
        Keystore::create_from(folders, owner, snapshot)
    }
}

/// What makes an opened keystore unfit for this log.
fn mismatch(keystore: &Keystore, log: &Log, owner: Owner) -> io::Result<Option<Damage>> {
    if keystore.owner() != owner {
        return Ok(Some(Damage::Unreadable("it belongs to another store than the log".to_owned())));
    }
    // A keystore behind the purge point would make consensus build an empty snapshot and go on.
    let (applied, purged) = (keystore.last_applied(), log.state()?.purged);
    if applied.map(|id| id.index) < purged.map(|id| id.index) {
        return Ok(Some(Damage::Unreadable("it is behind what the log has purged".to_owned())));
    }
    Ok(None)
}

fn rebuild(
    folders: Folders,
    owner: Owner,
    log: &Log,
    snapshots: &Snapshots,
    damage: Damage,
) -> Result<Found, OpenError> {
    folders.check_room()?;
    let aside = folders.set_aside()?;
    let purged = log.state()?.purged;
    while let Some(snapshot) = snapshots.newest()? {
        if snapshot.header.applied.last.map(|id| id.index) < purged.map(|id| id.index) {
            break;
        }
        match Keystore::create_from(folders.clone(), owner, &snapshot) {
            Ok(keystore) => return Ok(Found::Rebuilt { keystore, damage, aside }),
            Err(_) => {
                folders.check_room()?;
                snapshots.set_aside(&snapshot)?;
            }
        }
    }
    if purged.is_some() {
        return Ok(Found::NeedsPeer { damage });
    }
    Ok(Found::Rebuilt { keystore: Keystore::create(folders, owner)?, damage, aside })
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::StorageFull => {
                f.write_str("its disk is full: give it room, and start the node again")
            }
            Self::Io(error) => write!(f, "it cannot be opened: {error}"),
            Self::InUse => f.write_str("another process uses it: stop that process, or name another folder"),
            Self::KeystoreWithoutLog => f.write_str(
                "it holds a keystore or snapshots but no log. A node without its log must not vote, so \
                 this node ends. If the folder 'log' was moved, put it back as it was when this node last ran. Never \
                 put back a copy or a backup: an older log lacks writes that this node acknowledged, and using it can \
                 lose keys. Delete nothing: the keystore and the snapshots still hold keys. If the log is lost, leave \
                 this node stopped; this version cannot replace a node. The other nodes go on without it while more \
                 than half of all nodes run",
            ),
        }
    }
}

impl std::error::Error for OpenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_called_full_and_not_damaged() {
        let full = OpenError::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.to_string(), "its disk is full: give it room, and start the node again");
    }
}
