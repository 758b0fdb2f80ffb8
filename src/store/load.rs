//! Loading a keystore: from the sled folder in use, or from a snapshot into a new folder.

use bytes::Bytes;

use super::damage::Damage;
use super::entries::{APPLIED, MEMBERSHIP, OWNER};
use super::folder::{Folders, OpenFolder};
use super::garbage::collect_garbage;
use super::image::{Image, ImageBuilder};
use super::owner::Owner;
use super::position::KeystorePosition;
use super::read_error::{ReadError, sled_failure};
use super::snapshot::Snapshot;
use super::snapshot_reader::read_image;
use super::tags::StoreTags;

/// Entries that sled gets at a time while a folder is filled.
const FILL_BATCH: usize = 1024;

/// Reads a sled folder: how far it goes, and the state.
///
/// The tag of the position shows that this node wrote it. Count, digest and the hash of the membership show that everything
/// else is what the node wrote with it.
pub(super) fn scan(db: &sled::Db, tags: &StoreTags) -> Result<(KeystorePosition, Image), ReadError> {
    let position = db.get(APPLIED)?;
    let position = position.ok_or_else(|| Damage::Unreadable("it lacks its applied position".to_owned()))?;
    let position = KeystorePosition::decode(&position, tags)?;
    let mut builder = ImageBuilder::new(tags, position.applied.key_version)?;
    let (mut owner, mut membership) = (None, Bytes::new());
    for entry in db.iter() {
        let (key, value) = entry?;
        match &*key {
            OWNER => owner = Owner::decode(&value),
            APPLIED => {}
            MEMBERSHIP => membership = Bytes::copy_from_slice(&value),
            key => builder.add(key, &value)?,
        }
    }
    collect_garbage(FILL_BATCH);
    if owner != Some(tags.owner) {
        return Err(Damage::Unreadable("it says that another node owns it".to_owned()).into());
    }
    position.check_membership(&membership)?;
    let image = builder.finish(position.applied.clone(), membership)?;
    image.check_level("the keystore")?;
    Ok((position, image))
}

/// Reads a snapshot, and fills a new folder from it. If sled cannot be written, the image alone is returned.
pub(super) fn fill_if_possible(
    folders: &Folders,
    tags: &StoreTags,
    snapshot: &Snapshot,
) -> Result<(Option<OpenFolder>, Image), ReadError> {
    match fill(folders, tags, snapshot) {
        Ok((folder, image)) => Ok((Some(folder), image)),
        Err(ReadError::Io(error)) => {
            tracing::error!(%error, "this node cannot write its keystore: it keeps the state of a snapshot in memory only");
            let image = read_image(&snapshot.path, &snapshot.header.applied, tags, |_, _| Ok(()))?;
            Ok((None, image))
        }
        Err(other) => Err(other),
    }
}

/// Fills a new folder and an image from a snapshot. If that fails, the folder is removed: it may take the last room of the
/// disk.
pub(super) fn fill(folders: &Folders, tags: &StoreTags, snapshot: &Snapshot) -> Result<(OpenFolder, Image), ReadError> {
    let folder = folders.create().map_err(ReadError::Io)?;
    match fill_folder(&folder, tags, snapshot) {
        Ok(image) => Ok((folder, image)),
        Err(error) => {
            folders.discard(folder);
            Err(error)
        }
    }
}

fn fill_folder(folder: &OpenFolder, tags: &StoreTags, snapshot: &Snapshot) -> Result<Image, ReadError> {
    let (mut batch, mut waiting) = (sled::Batch::default(), 0);
    let image = read_image(&snapshot.path, &snapshot.header.applied, tags, |key, value| {
        batch.insert(key, value);
        waiting += 1;
        if waiting == FILL_BATCH {
            waiting = 0;
            write(folder, std::mem::take(&mut batch))?;
            collect_garbage(FILL_BATCH);
        }
        Ok(())
    })?;
    let position = KeystorePosition::of(image.applied.clone(), &image.membership);
    batch.insert(OWNER, tags.owner.encode());
    batch.insert(APPLIED, position.encode(tags));
    batch.insert(MEMBERSHIP, &image.membership[..]);
    write(folder, batch)?;
    folder.sync().map_err(ReadError::Io)?;
    Ok(image)
}

/// Writes to a new folder. If that fails, the snapshot that fills the folder is not to blame.
fn write(folder: &OpenFolder, batch: sled::Batch) -> Result<(), ReadError> {
    folder.db.apply_batch(batch).map_err(|error| ReadError::Io(sled_failure(error)))
}
