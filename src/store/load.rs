//! Loading a keystore: from the sled folder in use, or from a snapshot into a new folder.

use std::io;

use bytes::Bytes;
use prost::Message;

use super::entries::{APPLIED, MEMBERSHIP, OWNER};
use super::folder::{Folders, OpenFolder};
use super::image::{Applied, Damage, Image, ImageBuilder};
use super::owner::Owner;
use super::read_error::ReadError;
use super::snapshot::Snapshot;
use super::snapshot_reader::read_image;
use super::staging::collect_garbage;
use super::wire;

/// Entries that sled gets at a time while a folder is filled.
const FILL_BATCH: usize = 1024;

/// Reads a sled folder: the owner of its store, and the state.
pub(super) fn scan(db: &sled::Db) -> Result<(Owner, Image), ReadError> {
    let mut builder = ImageBuilder::default();
    let (mut owner, mut applied, mut membership) = (None, None, Bytes::new());
    for entry in db.iter() {
        let (key, value) = entry?;
        match &*key {
            OWNER => owner = Owner::decode(&value),
            APPLIED => applied = Some(wire::Applied::decode(value.as_ref())?),
            MEMBERSHIP => membership = Bytes::copy_from_slice(&value),
            key => builder.add(key, &value)?,
        }
    }
    collect_garbage(FILL_BATCH);
    let owner = owner.ok_or_else(|| Damage::Unreadable("it does not say which node owns it".to_owned()))?;
    let applied = applied.ok_or_else(|| Damage::Unreadable("it lacks its applied position".to_owned()))?;
    let image = builder.finish(Applied::from_wire(applied)?, membership)?;
    image.check_level("the keystore")?;
    Ok((owner, image))
}

/// Fills a new folder and an image from a snapshot.
pub(super) fn fill(folders: &Folders, owner: Owner, snapshot: &Snapshot) -> Result<(OpenFolder, Image), ReadError> {
    let folder = folders.create().map_err(ReadError::Io)?;
    let (mut batch, mut waiting) = (sled::Batch::default(), 0);
    let (header, image) = read_image(&snapshot.path, |key, value| {
        batch.insert(key, value);
        waiting += 1;
        if waiting == FILL_BATCH {
            waiting = 0;
            write(&folder, std::mem::take(&mut batch))?;
            collect_garbage(FILL_BATCH);
        }
        Ok(())
    })?;
    batch.insert(OWNER, owner.encode());
    batch.insert(APPLIED, header.applied.to_wire().encode_to_vec());
    batch.insert(MEMBERSHIP, &header.membership[..]);
    write(&folder, batch)?;
    folder.sync().map_err(ReadError::Io)?;
    Ok((folder, image))
}

/// Writes to a new folder. If that fails, the snapshot that fills the folder is not to blame.
fn write(folder: &OpenFolder, batch: sled::Batch) -> Result<(), ReadError> {
    folder.db.apply_batch(batch).map_err(|error| ReadError::Io(io::Error::other(error)))
}
