//! Deciding changes of the key ring and its seals (design, "Changes of the key ring").

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::crypto::{RingWrap, SealedIntegrityKey, is_link, ring_version_of};
use crate::policy::KeyName;
use crate::state::change::{Change, Current, Decision};
use crate::state::{
    ClusterSecrets, ClusterState, Outcome, ResealedKeys, RingChange, RingNote, RingVersion, Seal, SealId,
};

/// The most bytes of the facts about a cluster. An entry of a snapshot must hold them.
pub(super) const MAX_CLUSTER_BYTES: usize = 64 * 1024;
/// The most versions of a ring. Each takes a locked page of memory on every node.
pub(super) const MAX_RING_VERSIONS: usize = 64;
/// The most seals. With as many versions as there may be, the facts about a cluster still have room for hundreds of nodes.
pub(super) const MAX_SEALS: usize = 8;

pub(super) fn decide(change: &RingChange, cluster: &ClusterState, current: Current<'_>) -> Decision {
    let changed = match change {
        RingChange::AddVersion(version) => add_version(version, cluster)?,
        RingChange::ActivateVersion { version } => activate(*version, cluster, current)?,
        RingChange::DropVersion { version } => drop_version(*version, cluster, current)?,
        RingChange::AddSeal { seal, wraps } => add_seal(seal, wraps, cluster)?,
        RingChange::RemoveSeal { id } => remove_seal(*id, cluster, current)?,
        RingChange::NoteOpened(note) => note_opened(note, cluster, current)?,
    };
    if changed == *cluster {
        return Ok(Vec::new());
    }
    let stored = changed.into_stored();
    if stored.bytes.len() > MAX_CLUSTER_BYTES {
        return Err(Outcome::TooManyVersions);
    }
    Ok(vec![Change::SetCluster(stored)])
}

/// Adds a version. It may lack wraps, because one node need not have the root key of every seal. A node of another seal
/// opens the version under the one before, and adds its wrap.
fn add_version(new: &RingVersion, cluster: &ClusterState) -> Result<ClusterState, Outcome> {
    let highest = cluster.ring.iter().map(|version| version.version).max().unwrap_or(0);
    let last = cluster.last_ring_version.max(highest);
    if new.version <= last {
        return Err(Outcome::RingVersionExists);
    }
    let link = new.link.as_ref().filter(|link| is_link(&link.sealed)).ok_or(Outcome::Malformed)?;
    let wraps = new.wraps.iter().map(|wrap| seal_of(new.version, wrap));
    let seals = wraps.collect::<Option<Vec<_>>>().filter(|seals| !seals.is_empty()).ok_or(Outcome::Malformed)?;
    if seals.iter().collect::<BTreeSet<_>>().len() < seals.len() {
        return Err(Outcome::Malformed);
    }
    let resealed = new.resealed.as_ref().filter(|keys| are_under(new.version, keys)).ok_or(Outcome::Malformed)?;
    let is_known = |id: &SealId| cluster.seals.iter().any(|seal| seal.id == *id);
    let is_next = new.version == last + 1 && link.previous == cluster.active_ring_version;
    if !is_next || !seals.iter().all(is_known) || !have_same_versions(resealed, &cluster.secrets) {
        return Err(Outcome::RingChanged);
    }
    if cluster.ring.len() >= MAX_RING_VERSIONS {
        return Err(Outcome::TooManyVersions);
    }
    let ring = [&cluster.ring[..], std::slice::from_ref(new)].concat();
    Ok(ClusterState { ring, last_ring_version: new.version, ..cluster.clone() })
}

/// Every member can open the version after a restart, too: by a wrap, or under the version before.
fn activate(version: u32, cluster: &ClusterState, current: Current<'_>) -> Result<ClusterState, Outcome> {
    find(version, cluster)?;
    if version <= cluster.active_ring_version {
        return Err(Outcome::RingVersionActive);
    }
    let is_ready = |note: &RingNote| note.versions.contains(&version);
    if !every_member(cluster, current, is_ready) {
        return Err(Outcome::RingNotOpened);
    }
    let resealed = find(version, cluster)?.resealed.clone();
    let resealed = resealed.filter(|keys| have_same_versions(keys, &cluster.secrets)).ok_or(Outcome::RingChanged)?;
    let ResealedKeys { cluster_key: sealed_key, integrity_keys } = resealed;
    let secrets = ClusterSecrets { sealed_key, integrity_keys, ..cluster.secrets.clone() };
    let mut changed = ClusterState { active_ring_version: version, secrets, ..cluster.clone() };
    // A version that was passed over is never activated.
    for passed in changed.ring.iter_mut().filter(|passed| passed.version <= version) {
        passed.resealed = None;
    }
    Ok(changed)
}

/// Drops a version. Another version may be sealed under it, so every member must open the others by wraps alone. A version
/// that was never active has sealed nothing.
fn drop_version(version: u32, cluster: &ClusterState, current: Current<'_>) -> Result<ClusterState, Outcome> {
    find(version, cluster)?;
    if version == cluster.active_ring_version {
        return Err(Outcome::RingVersionActive);
    }
    if (current.records_under)(version) > 0 || seals_secrets(version, &cluster.secrets) {
        return Err(Outcome::RingVersionInUse);
    }
    let needed = needed_versions(cluster, Some(version));
    let is_ready = |note: &RingNote| opens_by_wraps(note, &needed, |_| true);
    if version < cluster.active_ring_version && !every_member(cluster, current, is_ready) {
        return Err(Outcome::RingNotOpened);
    }
    let mut changed = cluster.clone();
    changed.ring.retain(|kept| kept.version != version);
    for kept in &mut changed.ring {
        kept.link.take_if(|link| link.previous == version);
    }
    for note in &mut changed.ring_notes {
        note.versions.retain(|noted| *noted != version);
    }
    Ok(changed)
}

/// Adds a seal, or the wraps that it lacks. Wraps that it has stay as they are.
fn add_seal(seal: &Seal, wraps: &[(u32, Bytes)], cluster: &ClusterState) -> Result<ClusterState, Outcome> {
    let is_wrap = |(version, wrap): &(u32, Bytes)| seal_of(*version, wrap) == Some(seal.id);
    if KeyName::parse(&seal.name).is_err() || wraps.len() > MAX_RING_VERSIONS || !wraps.iter().all(is_wrap) {
        return Err(Outcome::Malformed);
    }
    let mut changed = cluster.clone();
    match cluster.seals.iter().find(|other| other.id == seal.id || other.name == seal.name) {
        Some(same) if same == seal => {}
        Some(_) => return Err(Outcome::SealExists),
        None if cluster.seals.len() >= MAX_SEALS => return Err(Outcome::TooManyVersions),
        None => changed.seals.push(seal.clone()),
    }
    for version in &mut changed.ring {
        if version.wraps.iter().any(|wrap| seal_of(version.version, wrap) == Some(seal.id)) {
            continue;
        }
        let wrap = wraps.iter().find(|(wrapped, _)| *wrapped == version.version).ok_or(Outcome::RingChanged)?;
        version.wraps.push(wrap.1.clone());
    }
    if changed == *cluster { Err(Outcome::SealExists) } else { Ok(changed) }
}

/// Removes a seal. Every member must open the ring by another one.
fn remove_seal(id: SealId, cluster: &ClusterState, current: Current<'_>) -> Result<ClusterState, Outcome> {
    if !cluster.seals.iter().any(|seal| seal.id == id) {
        return Err(Outcome::SealNotFound);
    }
    let needed = needed_versions(cluster, None);
    if !every_member(cluster, current, |note| opens_by_wraps(note, &needed, |seal| seal != id)) {
        return Err(Outcome::RingNotOpened);
    }
    let mut changed = cluster.clone();
    changed.seals.retain(|seal| seal.id != id);
    for version in &mut changed.ring {
        version.wraps.retain(|wrap| seal_of(version.version, wrap) != Some(id));
    }
    for note in &mut changed.ring_notes {
        note.seals.retain(|noted| *noted != id);
    }
    Ok(changed)
}

/// Notes what a member has opened. What was noted of nodes that are members no longer goes.
fn note_opened(note: &RingNote, cluster: &ClusterState, current: Current<'_>) -> Result<ClusterState, Outcome> {
    if note.versions.len() > MAX_RING_VERSIONS || note.seals.len() > MAX_SEALS {
        return Err(Outcome::Malformed);
    }
    let members = (current.members)();
    if !members.contains(&note.node) {
        return Ok(cluster.clone());
    }
    let versions: BTreeSet<u32> = note.versions.iter().copied().filter(|v| find(*v, cluster).is_ok()).collect();
    let is_known = |id: &SealId| cluster.seals.iter().any(|seal| seal.id == *id);
    let seals: BTreeSet<SealId> = note.seals.iter().copied().filter(is_known).collect();
    let (versions, seals) = (versions.into_iter().collect(), seals.into_iter().collect());
    let note = RingNote { node: note.node, versions, seals };
    let mut changed = cluster.clone();
    changed.ring_notes.retain(|other| other.node != note.node && members.contains(&other.node));
    changed.ring_notes.push(note);
    changed.ring_notes.sort_by_key(|note| note.node);
    Ok(changed)
}

/// Whether the notes of all members say this.
fn every_member(cluster: &ClusterState, current: Current<'_>, holds: impl Fn(&RingNote) -> bool) -> bool {
    let noted = |node| cluster.ring_notes.iter().any(|note| note.node == node && holds(note));
    let members = (current.members)();
    !members.is_empty() && members.into_iter().all(noted)
}

/// Whether a member opens these versions by the wraps of one of these seals.
fn opens_by_wraps(note: &RingNote, versions: &[u32], seals: impl Fn(SealId) -> bool) -> bool {
    versions.iter().all(|version| note.versions.contains(version)) && note.seals.iter().any(|id| seals(*id))
}

/// The versions that a node must open to take part, without this one.
fn needed_versions(cluster: &ClusterState, without: Option<u32>) -> Vec<u32> {
    let versions = cluster.ring.iter().map(|version| version.version);
    versions.filter(|version| *version <= cluster.active_ring_version && Some(*version) != without).collect()
}

fn find(version: u32, cluster: &ClusterState) -> Result<&RingVersion, Outcome> {
    cluster.ring.iter().find(|found| found.version == version).ok_or(Outcome::RingVersionNotFound)
}

/// Whether all keys of the cluster are sealed under this version here.
fn are_under(version: u32, keys: &ResealedKeys) -> bool {
    let sealed = keys.integrity_keys.iter().map(|key| &key.sealed[..]).chain([&keys.cluster_key[..]]);
    sealed.into_iter().all(|sealed| ring_version_of(sealed) == Some(version))
}

/// Whether these are the integrity keys that the cluster has. Another version may have been added meanwhile.
fn have_same_versions(keys: &ResealedKeys, secrets: &ClusterSecrets) -> bool {
    let versions = |keys: &[SealedIntegrityKey]| keys.iter().map(|key| key.version).collect::<Vec<_>>();
    versions(&keys.integrity_keys) == versions(&secrets.integrity_keys)
}

/// Whether a key of the cluster is sealed under this version.
fn seals_secrets(version: u32, secrets: &ClusterSecrets) -> bool {
    let sealed = secrets.integrity_keys.iter().map(|key| &key.sealed[..]).chain([&secrets.sealed_key[..]]);
    sealed.into_iter().any(|sealed| ring_version_of(sealed) == Some(version))
}

/// The seal that a wrap names. `None` for a wrap of another form.
fn seal_of(version: u32, wrap: &[u8]) -> Option<SealId> {
    RingWrap::decode(version, wrap).map(|wrap| SealId(wrap.seal))
}
