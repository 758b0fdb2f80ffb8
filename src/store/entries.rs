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
//! | `g`, `n`, `t`, `v`, `w`, `x` | kept for later: integrity keys, node records, tags, invitations, audit witnesses, incarnations |

use std::ops::Range;

use bytes::{Buf, BufMut, Bytes};

use crate::policy::{Identity, PolicyName};
use crate::state::{RecordedOutcome, Remembered, RequestId};

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

/// Encodes a page: the number of its first command `u64`, and each command: request id `[16]`, index `u64`, the number
/// of its outcome `u16`, the length `u16` of the outcome's detail, and the detail.
pub(super) fn encode_page(first: u64, commands: impl Iterator<Item = Remembered>) -> Vec<u8> {
    let mut page = first.to_be_bytes().to_vec();
    for command in commands {
        let detail = command.outcome.detail();
        page.put_slice(&command.request_id.0);
        page.put_u64(command.index);
        page.put_u16(command.outcome.number());
        page.put_u16(u16::try_from(detail.len()).expect("`state` bounds the detail of an outcome"));
        page.put_slice(detail);
    }
    page
}

/// Reads a page: numbered commands, or `None` if it is damaged.
pub(super) fn decode_page(mut page: &[u8]) -> Option<Vec<(u64, Remembered)>> {
    let first = page.try_get_u64().ok()?;
    let mut commands = Vec::new();
    for number in first..first.checked_add(PAGE_COMMANDS)? {
        if page.is_empty() {
            break;
        }
        commands.push((number, decode_command(&mut page)?));
    }
    page.is_empty().then_some(commands)
}

/// The key and the value by which a remembered command counts in the digest: its request id; its index, the number of
/// its outcome and the outcome's detail.
pub(super) fn outcome_entry(command: &Remembered) -> (Vec<u8>, Vec<u8>) {
    let mut value = Vec::with_capacity(8 + 2 + command.outcome.detail().len());
    value.put_u64(command.index);
    value.put_u16(command.outcome.number());
    value.put_slice(command.outcome.detail());
    (key(MEMORY, &command.request_id.0), value)
}

fn decode_command(page: &mut &[u8]) -> Option<Remembered> {
    let mut request_id = [0; 16];
    page.try_copy_to_slice(&mut request_id).ok()?;
    let index = page.try_get_u64().ok()?;
    let number = page.try_get_u16().ok()?;
    let length = usize::from(page.try_get_u16().ok()?);
    if length > RecordedOutcome::MAX_DETAIL_BYTES {
        return None;
    }
    let (detail, rest) = page.split_at_checked(length)?;
    *page = rest;
    let outcome = RecordedOutcome::new(number, Bytes::copy_from_slice(detail));
    Some(Remembered { request_id: RequestId(request_id), index, outcome })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Outcome;

    #[test]
    fn pages_round_trip() {
        // The number 999 stands for the outcome of a later version.
        let outcomes = [RecordedOutcome::from(Outcome::Denied), RecordedOutcome::new(999, Bytes::from_static(b"more"))];
        let command = |i: u8| Remembered {
            request_id: RequestId([i; 16]),
            index: u64::from(i),
            outcome: outcomes[usize::from(i % 2)].clone(),
        };
        let commands: Vec<_> = (0..5).map(command).collect();
        let page = encode_page(130, commands.iter().cloned());
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
