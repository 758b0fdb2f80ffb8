//! Deciding changes of keys.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::crypto::FIRST_VERSION;
use crate::policy::Actor;
use crate::state::change::{Change, Current, Decision};
use crate::state::{ClusterState, CreationId, KeyRecord, KeySeen, Outcome, Use};

/// More than any record that a node seals. No node of this cluster made a larger one.
pub(super) const MAX_RECORD_BYTES: usize = 1024;
/// The most uses of keys that one command notes.
pub(super) const MAX_USES: usize = 1024;
/// The most versions of one key. An answer that lists all of them stays under a mebibyte.
pub(super) const MAX_VERSIONS: u32 = 4096;

pub(super) fn create(name: &str, record: &Bytes, cluster: &ClusterState, current: Current<'_>) -> Decision {
    match (current.record)(name, None) {
        Some(newest) if newest.delete_at.is_some() => return Err(Outcome::KeyWaiting),
        Some(_) => return Err(Outcome::KeyExists),
        None => {}
    }
    let decoded = newly_sealed(record, cluster)?;
    if decoded.version != FIRST_VERSION {
        return Err(Outcome::Malformed);
    }
    Ok(vec![put(name, FIRST_VERSION, record.clone())])
}

pub(super) fn rotate(name: &str, record: &Bytes, cluster: &ClusterState, current: Current<'_>) -> Decision {
    let decoded = newly_sealed(record, cluster)?;
    let newest = not_deleted(name, decoded.creation_id, current)?;
    if newest.version >= MAX_VERSIONS {
        return Err(Outcome::TooManyVersions);
    }
    if decoded.version != newest.version + 1 {
        return Err(Outcome::VersionTaken);
    }
    if decoded.cipher != newest.cipher {
        return Err(Outcome::Malformed);
    }
    // When it was last used stands in the newest version.
    let record = KeyRecord { last_used: newest.last_used, ..decoded };
    Ok(vec![put(name, record.version, record.encode().into())])
}

pub(super) fn set_version(key: &KeySeen, version: u32, disabled: bool, current: Current<'_>) -> Decision {
    let newest = not_deleted(&key.name, key.creation_id, current)?;
    let record = (current.record)(&key.name, Some(version)).ok_or(Outcome::VersionNotFound)?;
    if disabled && version == newest.version {
        return Err(Outcome::VersionNewest);
    }
    let record = KeyRecord { disabled, ..record }.encode().into();
    Ok(vec![Change::PutKey { name: key.name.clone(), version, record, revokes: disabled }])
}

pub(super) fn delete(key: &KeySeen, window_ns: u64, cluster: &ClusterState, current: Current<'_>) -> Decision {
    let newest = not_deleted(&key.name, key.creation_id, current)?;
    if window_ns == 0 {
        return Ok(vec![Change::RemoveKey { name: key.name.clone() }]);
    }
    let delete_at = Some(cluster.time_ns.saturating_add(window_ns));
    let (version, record) = (newest.version, KeyRecord { delete_at, ..newest }.encode().into());
    Ok(vec![Change::PutKey { name: key.name.clone(), version, record, revokes: true }])
}

pub(super) fn restore(key: &KeySeen, current: Current<'_>) -> Decision {
    let newest = waiting(key, current)?;
    let (version, record) = (newest.version, KeyRecord { delete_at: None, ..newest }.encode().into());
    Ok(vec![put(&key.name, version, record)])
}

/// A client may remove a waiting key at any time, a node only once the deletion window has ended.
pub(super) fn purge(key: &KeySeen, actor: Actor, cluster: &ClusterState, current: Current<'_>) -> Decision {
    let newest = waiting(key, current)?;
    if actor == Actor::Node && newest.delete_at.is_none_or(|delete_at| delete_at > cluster.time_ns) {
        return Err(Outcome::NothingWaiting);
    }
    Ok(vec![Change::RemoveKey { name: key.name.clone() }])
}

/// Notes the later of two times. Skips a key that was deleted, even if its name has been used again.
pub(super) fn record_uses(uses: &[Use], current: Current<'_>) -> Decision {
    if uses.len() > MAX_USES {
        return Err(Outcome::Malformed);
    }
    // The command may name a key more than once.
    let mut latest = BTreeMap::new();
    for Use { key, minute } in uses {
        let noted = latest.entry((key.name.as_str(), key.creation_id)).or_insert(*minute);
        *noted = (*noted).max(*minute);
    }
    let record_use = |((name, creation_id), minute): ((&str, CreationId), u32)| {
        let newest = not_deleted(name, creation_id, current).ok()?;
        if newest.last_used >= Some(minute) {
            return None;
        }
        let (version, last_used) = (newest.version, Some(minute));
        Some(put(name, version, KeyRecord { last_used, ..newest }.encode().into()))
    };
    Ok(latest.into_iter().filter_map(record_use).collect())
}

/// The newest version of a key that is not deleted, if it is still the creation that the node saw.
fn not_deleted(name: &str, seen: CreationId, current: Current<'_>) -> Result<KeyRecord, Outcome> {
    (current.record)(name, None)
        .filter(|newest| newest.creation_id == seen && newest.delete_at.is_none())
        .ok_or(Outcome::KeyNotFound)
}

fn waiting(key: &KeySeen, current: Current<'_>) -> Result<KeyRecord, Outcome> {
    (current.record)(&key.name, None)
        .filter(|newest| newest.creation_id == key.creation_id && newest.delete_at.is_some())
        .ok_or(Outcome::NothingWaiting)
}

/// A record as the proposing node sealed it. It must not have values that only `apply` may set.
fn newly_sealed(record: &Bytes, cluster: &ClusterState) -> Result<KeyRecord, Outcome> {
    let decoded = KeyRecord::decode(record).map_err(|_| Outcome::Malformed)?;
    let plain = !decoded.disabled && decoded.last_used.is_none() && decoded.delete_at.is_none();
    if record.len() > MAX_RECORD_BYTES || !plain {
        return Err(Outcome::Malformed);
    }
    if decoded.ring_version != cluster.active_ring_version {
        return Err(Outcome::RingInactive);
    }
    Ok(decoded)
}

fn put(name: &str, version: u32, record: Bytes) -> Change {
    Change::PutKey { name: name.to_owned(), version, record, revokes: false }
}
