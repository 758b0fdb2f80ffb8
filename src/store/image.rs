//! The whole state in memory, read entry by entry from a keystore or a snapshot, and checked at the end.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use super::damage::{Damage, disagreement};
use super::entries::{self, ASSIGNMENT, CLUSTER, KEY, MEMORY, POLICY};
use super::level::{UnreadableLevel, WrittenLevel};
use super::many_digest::digest_of_many;
use super::tags::StoreTags;
use super::view::Keys;
use super::{LogId, RecordsPerRingVersion, View, wire};
use crate::crypto::DigestKey;
use crate::policy::{KeyName, Rules};
use crate::state::{ClusterState, Digest, KeyRecord, Memory, Remembered, decode_assignment, decode_policy};

/// How far this node has applied the log, and the count and digest of the state there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The last entry applied.
    pub last: Option<LogId>,
    /// The number of entries of the replicated state.
    pub entries: u64,
    /// Their digest.
    pub digest: Digest,
    /// The version of the integrity keys under which the digest is made.
    pub key_version: u32,
    /// The number of the oldest remembered command.
    pub memory_first: u64,
    /// The index of the last command forgotten.
    pub memory_forgotten_index: u64,
}

/// The whole state in memory.
pub(super) struct Image {
    pub view: View,
    /// The stored bytes of what is neither the record of a key nor a remembered command, by the entry's key.
    pub small: BTreeMap<Vec<u8>, Bytes>,
    pub memory: Memory,
    pub applied: Applied,
    pub ring_versions: RecordsPerRingVersion,
    /// As `raft` encodes it.
    pub membership: Bytes,
}

impl Image {
    /// Fails if the state of `what` is at a level that this version cannot read. Notes and headers say so first. This looks
    /// at the state itself, because this version must not take part in such a cluster even if they are wrong.
    pub(super) fn check_level(&self, what: &'static str) -> Result<(), UnreadableLevel> {
        self.view.level().map_or(Ok(()), |level| WrittenLevel::active(level).check(what))
    }
}

/// The digest of the entries so far.
struct Sum {
    key: DigestKey,
    digest: Digest,
}

/// Builds an image from entries in any order.
pub(super) struct ImageBuilder {
    view: View,
    small: BTreeMap<Vec<u8>, Bytes>,
    keys: Keys,
    rules: Rules,
    ring_versions: RecordsPerRingVersion,
    commands: Vec<(u64, Remembered)>,
    sum: Sum,
    /// The digest under the active version of the integrity keys, if the entries were written under another one.
    renewed: Option<(u32, Sum)>,
    entries: u64,
}

impl ImageBuilder {
    /// No entry so far. The digest of the entries is made under this version of the integrity keys.
    pub(super) fn new(tags: &StoreTags, key_version: u32) -> Result<Self, Damage> {
        let sum = |key| Sum { key, digest: Digest::default() };
        let active = tags.active();
        Ok(Self {
            view: View::default(),
            small: BTreeMap::new(),
            keys: Keys::default(),
            rules: Rules::default(),
            ring_versions: RecordsPerRingVersion::default(),
            commands: Vec::new(),
            sum: sum(tags.digest_key(key_version)?),
            renewed: (active != key_version).then(|| (active, sum(tags.active_digest_key()))),
            entries: 0,
        })
    }

    /// Adds one replicated entry.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), Damage> {
        match key.split_first() {
            Some((&KEY, version_key)) => return self.add_key(version_key, value),
            Some((&MEMORY, page)) => return self.add_commands(page, value),
            Some((&POLICY, _)) => {
                let (name, entry) = decode_policy(value).map_err(|e| damaged(&e))?;
                check_key(key, &entries::policy_key(&name), "a policy")?;
                self.rules.policies.insert(name, entry.into());
            }
            Some((&ASSIGNMENT, _)) => {
                let (identity, assignment) = decode_assignment(value).map_err(|e| damaged(&e))?;
                check_key(key, &entries::assignment_key(identity), "an assignment")?;
                self.rules.identities.insert(identity, assignment);
            }
            _ if key == CLUSTER => self.view.set_cluster(ClusterState::decode(value).map_err(|e| damaged(&e))?),
            Some((first, _)) => {
                return Err(Damage::Entry(format!("its key begins with the unknown byte {first:#04x}")));
            }
            None => return Err(Damage::Entry("its key is empty".to_owned())),
        }
        self.count(key, value);
        match self.small.insert(key.to_vec(), Bytes::copy_from_slice(value)) {
            None => Ok(()),
            Some(_) => Err(Damage::Entry("an entry comes twice".to_owned())),
        }
    }

    /// The image, if its count and digest are those of `applied`. Its digest is made under the active version of the
    /// integrity keys.
    pub(super) fn finish(mut self, applied: Applied, membership: Bytes) -> Result<Image, Damage> {
        let memory = self.memory(&applied)?;
        self.count_keys();
        disagreement("entry count", applied.entries, self.entries)?;
        disagreement("digest", applied.digest, self.sum.digest)?;
        let applied = match self.renewed {
            Some((key_version, sum)) => Applied { digest: sum.digest, key_version, ..applied },
            None => applied,
        };
        self.view.set_keys(self.keys);
        self.view.set_rules(self.rules);
        let ring_versions = self.ring_versions;
        Ok(Image { view: self.view, small: self.small, memory, applied, ring_versions, membership })
    }

    fn add_key(&mut self, version_key: &[u8], record: &[u8]) -> Result<(), Damage> {
        let (name, version) = version_key
            .split_last_chunk()
            .and_then(|(name, version)| Some((name.strip_suffix(&[0])?, u32::from_be_bytes(*version))))
            .and_then(|(name, version)| Some((KeyName::parse(std::str::from_utf8(name).ok()?).ok()?, version)))
            .ok_or_else(|| Damage::Entry("the key of a version has no name".to_owned()))?;
        // `apply` relies on a record that it can read.
        let (_, recorded) = KeyRecord::check(record).map_err(|e| damaged(&e))?;
        if recorded != version {
            return Err(Damage::Entry(format!("the record of key '{}' is not of version {version}", name.as_str())));
        }
        // Sled and snapshots have these entries in order. Version keys differ before the shorter one ends.
        if self.keys.last().is_some_and(|last| last >= version_key) {
            return Err(Damage::Entry(format!("version {version} of key '{}' is out of order", name.as_str())));
        }
        self.ring_versions.add(record);
        self.keys.push(version_key, record);
        Ok(())
    }

    fn add_commands(&mut self, page: &[u8], content: &[u8]) -> Result<(), Damage> {
        let commands = entries::decode_page(content)
            .ok_or_else(|| Damage::Entry("a page of remembered commands cannot be read".to_owned()))?;
        if !commands.iter().all(|(number, _)| entries::page_of(*number).to_be_bytes() == page) {
            return Err(Damage::Entry("a page of remembered commands has those of another page".to_owned()));
        }
        self.commands.extend(commands);
        Ok(())
    }

    /// The first page may still have commands that the memory has forgotten. They are not part of the state.
    fn memory(&mut self, applied: &Applied) -> Result<Memory, Damage> {
        let mut commands = std::mem::take(&mut self.commands);
        commands.retain(|(number, _)| *number >= applied.memory_first);
        commands.sort_unstable_by_key(|(number, _)| *number);
        let gapless = (0..).zip(&commands).all(|(at, (number, _))| number - applied.memory_first == at);
        if !gapless || commands.len() > Memory::CAPACITY {
            return Err(Damage::Entry("remembered commands are missing, or there are too many".to_owned()));
        }
        // The digest covers the index of a command, and not its number. In another order, this node would forget other
        // commands than the other nodes.
        if commands.windows(2).any(|pair| pair[0].1.index >= pair[1].1.index) {
            return Err(Damage::Entry("remembered commands are out of order".to_owned()));
        }
        if applied.memory_forgotten_index > applied.index() {
            // With this, no command would ever take effect again.
            return Err(Damage::Entry("a command was forgotten before it was applied".to_owned()));
        }
        self.count_many(&commands, |digest, digest_key, (_, command)| {
            let (key, value) = entries::outcome_entry(command);
            digest.add(digest_key, &key, &value);
        });
        let recent = commands.into_iter().map(|(_, command)| command);
        Ok(Memory::restore(applied.memory_first, applied.memory_forgotten_index, recent))
    }

    fn count(&mut self, key: &[u8], value: &[u8]) {
        self.sums().for_each(|sum| sum.digest.add(&sum.key, key, value));
        self.entries += 1;
    }

    fn count_keys(&mut self) {
        let keys = std::mem::take(&mut self.keys);
        let entries: Vec<&[u8]> = keys.entries().collect();
        self.count_many(&entries, |digest, digest_key, entry| {
            let (version_key, record) = keys.version_record(entry);
            digest.add(digest_key, &entries::key(KEY, &version_key), &record);
        });
        self.keys = keys;
    }

    fn count_many<T: Sync>(&mut self, entries: &[T], add: impl Fn(&mut Digest, &DigestKey, &T) + Sync) {
        for Sum { key, digest } in self.sums() {
            digest.add_all(digest_of_many(entries, |digest, entry| add(digest, key, entry)));
        }
        self.entries += entries.len() as u64;
    }

    fn sums(&mut self) -> impl Iterator<Item = &mut Sum> {
        std::iter::once(&mut self.sum).chain(self.renewed.as_mut().map(|(_, sum)| sum))
    }
}

impl Applied {
    /// The index of the last entry applied, or 0 before the first.
    pub(super) fn index(&self) -> u64 {
        self.last.map_or(0, |id| id.index)
    }

    pub(super) fn to_wire(&self) -> wire::Applied {
        wire::Applied {
            last: self.last.map(Into::into),
            entries: self.entries,
            digest: Bytes::copy_from_slice(&self.digest.to_bytes()),
            memory_first: self.memory_first,
            memory_forgotten_index: self.memory_forgotten_index,
            key_version: self.key_version,
        }
    }

    pub(super) fn from_wire(wire: wire::Applied) -> Result<Self, Damage> {
        let digest = wire
            .digest
            .as_ref()
            .try_into()
            .map_err(|_| Damage::Entry("the applied position cannot be read".to_owned()))?;
        Ok(Self {
            last: wire.last.map(Into::into),
            entries: wire.entries,
            digest: Digest::from_bytes(digest),
            key_version: wire.key_version,
            memory_first: wire.memory_first,
            memory_forgotten_index: wire.memory_forgotten_index,
        })
    }
}

/// A value says itself what it is about. If its key says something else, its removal would leave it in the digest.
fn check_key(key: &[u8], of_value: &[u8], what: &str) -> Result<(), Damage> {
    if key == of_value { Ok(()) } else { Err(Damage::Entry(format!("the key of {what} does not fit its value"))) }
}

fn damaged(error: &dyn fmt::Display) -> Damage {
    Damage::Entry(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Assignment, Author, Identity, Pattern, Policy, PolicyName, Role};
    use crate::state::{Outcome, RequestId, stored_assignment, stored_policy};
    use crate::store::testing::tags;

    #[test]
    fn an_entry_whose_key_does_not_fit_its_value_is_damaged() {
        let identity = Identity::from_bytes([1; 32]);
        let assignment = Assignment { role: Role::Admin, author: Author::default() };
        let assigned = stored_assignment(identity, assignment).bytes;
        let name = PolicyName::parse("app").unwrap();
        let pattern = Pattern::parse("/v1/key/*").unwrap();
        let policy = stored_policy(&name, Policy::new([pattern], []), Author::default()).bytes;
        let remembered = Remembered { request_id: RequestId([1; 16]), index: 9, outcome: Outcome::Done.into() };
        let page = entries::encode_page(130, [remembered].into_iter());
        let key = |kind, rest: &[u8]| entries::key(kind, rest);
        let added = |key: &[u8], value: &[u8]| ImageBuilder::new(&tags(), 1).unwrap().add(key, value).is_ok();
        for (fits, key, value) in [
            (true, key(ASSIGNMENT, &[1; 32]), &assigned[..]),
            (false, key(ASSIGNMENT, &[2; 32]), &assigned),
            (true, key(POLICY, b"app"), &policy),
            (false, key(POLICY, b"ap"), &policy),
            (true, key(MEMORY, &2u64.to_be_bytes()), &page),
            (false, key(MEMORY, &3u64.to_be_bytes()), &page),
            (false, key(MEMORY, &[2]), &page),
        ] {
            assert_eq!(added(&key, value), fits, "{key:?}");
        }
    }
}
