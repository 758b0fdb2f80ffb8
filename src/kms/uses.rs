//! The last uses of keys that this node has noted, at most one an hour for each key, until the cluster knows of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::clock;
use crate::policy::KeyName;
use crate::state::{CreationId, KeySeen, Use};

/// This node notes a use when the last noted use of the key is this many minutes old.
pub(super) const EVERY_MINUTES: u32 = 60;
/// The most uses that this node holds. When it is full, a key's use is noted later, at another use.
const HELD: usize = 100_000;

/// Uses that this node has noted and the cluster does not know of yet.
#[derive(Default)]
pub(super) struct Uses {
    held: Mutex<HashMap<(String, CreationId), u32>>,
}

/// The minute of a key's last noted use. It is stored beside the opened key, so that a use costs only a comparison.
#[derive(Default)]
pub(super) struct LastNoted(AtomicU32);

impl Uses {
    /// Notes a use in this minute, if the last noted one is old enough.
    pub(super) fn note(&self, name: KeyName<'_>, creation: CreationId, last: &LastNoted, minute: u32) {
        if minute.saturating_sub(last.0.load(Relaxed)) < EVERY_MINUTES {
            return;
        }
        let mut held = self.held.lock();
        if held.len() < HELD {
            held.insert((name.as_str().to_owned(), creation), minute);
            last.0.store(minute, Relaxed);
        }
    }

    /// The minute of a noted use that the cluster does not know of yet.
    pub(super) fn noted(&self, key: &KeySeen) -> Option<u32> {
        self.held.lock().get(&(key.name.clone(), key.creation_id)).copied()
    }

    pub(super) fn all(&self) -> Vec<Use> {
        let held = self.held.lock();
        held.iter()
            .map(|((name, id), minute)| Use { key: KeySeen { name: name.clone(), creation_id: *id }, minute: *minute })
            .collect()
    }

    pub(super) fn forget(&self, uses: &[Use]) {
        let mut held = self.held.lock();
        for used in uses {
            held.remove(&(used.key.name.clone(), used.key.creation_id));
        }
    }
}

/// The Unix minute now.
pub(super) fn minute_now() -> u32 {
    u32::try_from(clock::unix_ns() / 60_000_000_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_use_is_noted_once_an_hour() {
        let (uses, last, id) = (Uses::default(), LastNoted::default(), CreationId([1; 16]));
        let name = KeyName::parse("a").unwrap();
        let key = KeySeen { name: "a".to_owned(), creation_id: id };
        for minute in 1000..1060 {
            uses.note(name, id, &last, minute);
        }
        assert_eq!(uses.noted(&key), Some(1000));
        let noted = uses.all();
        uses.forget(&noted);
        uses.note(name, id, &last, 1059);
        assert_eq!(uses.noted(&key), None);
        uses.note(name, id, &last, 1060);
        assert_eq!(uses.noted(&key), Some(1060));
    }
}
