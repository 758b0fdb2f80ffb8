//! Loading a keystore: from the sled folder in use, or from a snapshot into a new folder.

use bytes::Bytes;
use prost::Message;

use super::entries::{APPLIED, MEMBERSHIP, OWNER};
use super::folder::{Folders, OpenFolder};
use super::image::{Applied, Damage, Image, ImageBuilder};
use super::owner::Owner;
use super::snapshot::{Snapshot, read_entries};
use super::staging::collect_garbage;
use super::wire;

pub(super) fn scan(db: &sled::Db) -> Result<(Owner, Image), Damage> {
    let mut builder = ImageBuilder::default();
    let (mut owner, mut applied, mut membership) = (None, None, Bytes::new());
    for entry in db.iter() {
        let (key, value) = entry.map_err(|e| unreadable(&e))?;
        match &*key {
            OWNER => owner = Owner::decode(&value),
            APPLIED => applied = Some(wire::Applied::decode(value.as_ref()).map_err(|e| unreadable(&e))?),
            MEMBERSHIP => membership = Bytes::copy_from_slice(&value),
            key => builder.add(key, &value)?,
        }
    }
    collect_garbage(FILL_BATCH);
    let owner = owner.ok_or_else(|| unreadable(&"it does not say whose it is"))?;
    let applied = applied.ok_or_else(|| unreadable(&"it does not say how far it goes"))?;
    Ok((owner, builder.finish(Applied::from_wire(applied)?, membership)?))
}

/// Entries written to sled at a time while a folder is filled.
const FILL_BATCH: usize = 1024;

/// Fills a new folder, and an image, from a snapshot.
pub(super) fn fill(folders: &Folders, owner: Owner, snapshot: &Snapshot) -> Result<(OpenFolder, Image), Damage> {
    let folder = folders.create().map_err(|e| unreadable(&e))?;
    let mut builder = ImageBuilder::default();
    let (mut batch, mut waiting) = (sled::Batch::default(), 0);
    let header = read_entries(&snapshot.path, |key, value| {
        builder.add(key, value)?;
        batch.insert(key, value);
        waiting += 1;
        if waiting == FILL_BATCH {
            waiting = 0;
            folder.db.apply_batch(std::mem::take(&mut batch)).map_err(|e| unreadable(&e))?;
            collect_garbage(FILL_BATCH);
        }
        Ok(())
    })?;
    batch.insert(OWNER, owner.encode());
    batch.insert(APPLIED, header.applied.to_wire().encode_to_vec());
    batch.insert(MEMBERSHIP, &header.membership[..]);
    folder.db.apply_batch(batch).map_err(|e| unreadable(&e))?;
    folder.sync().map_err(|e| unreadable(&e))?;
    Ok((folder, builder.finish(header.applied, header.membership)?))
}

fn unreadable(error: &dyn std::fmt::Display) -> Damage {
    Damage::Unreadable(error.to_string())
}
