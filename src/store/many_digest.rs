//! The digest of many entries at once, on several threads: opening a million keys must not wait for one HMAC after the
//! other.

use std::thread;

use crate::state::Digest;

/// As few entries as this are not worth a thread of their own.
const ENTRIES_OF_A_THREAD: usize = 16 * 1024;

/// The digest of these entries. `add` adds one of them to a digest.
pub(super) fn digest_of_many<T: Sync>(entries: &[T], add: impl Fn(&mut Digest, &T) + Sync) -> Digest {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let part = entries.len().div_ceil(threads).max(ENTRIES_OF_A_THREAD);
    let digest_of = |part: &[T]| {
        let mut digest = Digest::default();
        part.iter().for_each(|entry| add(&mut digest, entry));
        digest
    };
    let digest_of = &digest_of;
    thread::scope(|scope| {
        let parts: Vec<_> = entries.chunks(part).map(|part| scope.spawn(move || digest_of(part))).collect();
        let mut digest = Digest::default();
        for part in parts {
            digest.add_all(part.join().expect("an HMAC does not panic"));
        }
        digest
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::digest_key;

    #[test]
    fn the_digest_is_that_of_the_entries_one_by_one() {
        let key = digest_key();
        let add = |digest: &mut Digest, number: &u32| digest.add(&key, b"key", &number.to_be_bytes());
        for count in [0, 1, 40_000] {
            let entries: Vec<u32> = (0..count).collect();
            let mut expected = Digest::default();
            entries.iter().for_each(|number| add(&mut expected, number));
            assert_eq!(digest_of_many(&entries, add), expected, "{count} entries");
        }
    }
}
