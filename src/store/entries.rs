//! The entries of the keystore, the same in sled and in snapshots. The first byte of a key says what kind it is.
//!
//! | Key | Value |
//! | --- | --- |
//! | `!` | the owner of the store; not replicated |
//! | `@` | the applied position; not replicated |
//! | `#` | the membership at that position; not replicated |
//! | `c` | the facts about the cluster |
//! | `i` identity | an assignment |
//! | `k` name `\0` version (BE32) | the record of one version of a key |
//! | `o` page (BE64) | up to 64 remembered commands |
//! | `p` name | a policy |

use std::ops::Range;

use crate::policy::{Identity, PolicyName};
use crate::state::{Outcome, Remembered, RequestId};

/// The key of the store's owner.
pub(super) const OWNER: &[u8] = b"!";
/// The key of the applied position.
pub(super) const APPLIED: &[u8] = b"@";
/// The key of the membership.
pub(super) const MEMBERSHIP: &[u8] = b"#";
/// The key of the facts about the cluster.
pub(super) const CLUSTER: &[u8] = b"c";
/// The first byte of an assignment's key.
pub(super) const ASSIGNMENT: u8 = b'i';
/// The first byte of a key version's key.
pub(super) const KEY: u8 = b'k';
/// The first byte of the key of a page of remembered commands.
pub(super) const MEMORY: u8 = b'o';
/// The first byte of a policy's key.
pub(super) const POLICY: u8 = b'p';

/// Remembered commands on a page: so few that it is cheap to write the newest page again with each batch.
const PAGE_COMMANDS: u64 = 64;
/// A remembered command on a page: its request id, its index and the code of its outcome.
const COMMAND_BYTES: usize = 16 + 8 + 1;
/// What follows the name in a version key: a zero byte and the version.
pub(super) const VERSION_SUFFIX_BYTES: usize = 1 + 4;

/// A key of one kind.
pub(super) fn key(kind: u8, name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len());
    key.push(kind);
    key.extend(name);
    key
}

/// The key of a policy.
pub(super) fn policy_key(name: &PolicyName) -> Vec<u8> {
    key(POLICY, name.as_str().as_bytes())
}

/// The key of an assignment.
pub(super) fn assignment_key(identity: Identity) -> Vec<u8> {
    key(ASSIGNMENT, identity.as_bytes())
}

/// The version key, by which the versions of keys are ordered: name, a zero byte, which no name has, and the version.
pub(super) fn version_key(name: &str, version: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + VERSION_SUFFIX_BYTES);
    key.extend(name.as_bytes());
    key.push(0);
    key.extend(version.to_be_bytes());
    key
}

/// The page of the remembered command with this number.
pub(super) fn page_of(number: u64) -> u64 {
    number / PAGE_COMMANDS
}

/// The numbers of the commands on a page.
pub(super) fn numbers_of(page: u64) -> Range<u64> {
    page * PAGE_COMMANDS..(page + 1) * PAGE_COMMANDS
}

/// Encodes a page: the number of its first command, and the commands.
pub(super) fn encode_page<'a>(first: u64, commands: impl Iterator<Item = &'a Remembered>) -> Vec<u8> {
    let mut page = first.to_be_bytes().to_vec();
    for command in commands {
        page.extend(command.request_id.0);
        page.extend(outcome_value(command));
    }
    page
}

/// Reads a page: numbered commands, or `None` if it is damaged.
pub(super) fn decode_page(page: &[u8]) -> Option<Vec<(u64, Remembered)>> {
    let (first, commands) = page.split_first_chunk()?;
    let chunks = commands.chunks_exact(COMMAND_BYTES);
    if !chunks.remainder().is_empty() {
        return None;
    }
    (u64::from_be_bytes(*first)..).zip(chunks).map(|(number, bytes)| Some((number, decode_command(bytes)?))).collect()
}

/// The key and the value by which a remembered command counts in the digest.
pub(super) fn outcome_entry(command: &Remembered) -> (Vec<u8>, [u8; 9]) {
    (key(MEMORY, &command.request_id.0), outcome_value(command))
}

fn outcome_value(command: &Remembered) -> [u8; 9] {
    let mut value = [0; 9];
    value[..8].copy_from_slice(&command.index.to_be_bytes());
    value[8] = command.outcome.code();
    value
}

fn decode_command(bytes: &[u8]) -> Option<Remembered> {
    let (request_id, rest) = bytes.split_first_chunk()?;
    let (index, code) = rest.split_first_chunk()?;
    let outcome = Outcome::from_code(*code.first()?)?;
    Some(Remembered { request_id: RequestId(*request_id), index: u64::from_be_bytes(*index), outcome })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_round_trip() {
        let command =
            |i: u8| Remembered { request_id: RequestId([i; 16]), index: u64::from(i), outcome: Outcome::Denied };
        let commands: Vec<_> = (0..5).map(command).collect();
        let page = encode_page(130, commands.iter());
        let numbered: Vec<_> = (130..).zip(commands).collect();
        assert_eq!(decode_page(&page), Some(numbered));
        assert_eq!(decode_page(&page[..page.len() - 1]), None);
        assert_eq!(numbers_of(page_of(130)), 128..192);
    }

    #[test]
    fn versions_of_one_name_are_neighbours_in_order() {
        let mut keys = [version_key("b", 1), version_key("a-1", 1), version_key("a", 256), version_key("a", 2)];
        keys.sort();
        assert_eq!(keys, [version_key("a", 2), version_key("a", 256), version_key("a-1", 1), version_key("b", 1)]);
    }
}
