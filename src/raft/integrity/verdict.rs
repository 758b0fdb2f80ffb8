//! Decides which of several nodes with different states are right.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::raft::protocol::types::NodeId;
use crate::state::Digest;

/// What the digests of several nodes at one index say about this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No node has another digest.
    Agreed,
    /// Another node has this digest, too, and more nodes have it than any other one.
    Right,
    /// At least two other nodes have the same digest, and more nodes have it than any other one, this node's included.
    Wrong,
    /// Some node has another digest, and nothing says which one is right.
    Undecided,
}

/// Judges this node's digest by those of the members that answered. `silent` members differed when they last answered,
/// and do not answer now.
///
/// Two nodes never come to the same wrong state by a fault of a disk or of memory. So two nodes with one digest outweigh
/// one node with another, even if further members are silent.
pub(super) fn verdict(own: Digest, others: &BTreeMap<NodeId, Digest>, silent: usize) -> Verdict {
    if silent == 0 && others.values().all(|digest| *digest == own) {
        return Verdict::Agreed;
    }
    let mut tally = vec![(own, 1)];
    for digest in others.values() {
        match tally.iter_mut().find(|(counted, _)| counted == digest) {
            Some((_, holders)) => *holders += 1,
            None => tally.push((*digest, 1)),
        }
    }
    tally.sort_by_key(|(_, holders)| Reverse(*holders));
    let (most_held, holders) = tally[0];
    let is_tie = tally.get(1).is_some_and(|(_, others)| *others == holders);
    match () {
        () if holders < 2 || is_tie => Verdict::Undecided,
        () if most_held != own => Verdict::Wrong,
        // The silent ones may all have the same digest.
        () if holders > silent => Verdict::Right,
        () => Verdict::Undecided,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_with_one_digest_outweigh_one_and_a_tie_decides_nothing() {
        use Verdict::{Agreed, Right, Undecided, Wrong};
        let [own, x, y, z] = [1, 2, 3, 4].map(|byte| Digest::from_bytes([byte; 32]));
        let table = [
            (vec![], 0, Agreed),
            (vec![own, own], 0, Agreed),
            // Two nodes that differ, without a third.
            (vec![x], 0, Undecided),
            (vec![], 1, Undecided),
            // With a third.
            (vec![x, own], 0, Right),
            (vec![own], 1, Right),
            (vec![x, x], 0, Wrong),
            // Three different digests: nobody knows.
            (vec![x, y], 0, Undecided),
            (vec![x], 1, Undecided),
            // More nodes.
            (vec![x, x, own], 0, Undecided),
            (vec![own], 2, Undecided),
            (vec![own, own], 2, Right),
            (vec![own, own, x, x], 0, Right),
            (vec![own, x, x, x], 0, Wrong),
            (vec![x, x, y, y], 0, Undecided),
            (vec![x, x, y, z], 0, Wrong),
            (vec![x, x, x, y, y], 0, Wrong),
            (vec![x, y, z], 1, Undecided),
        ];
        for (digests, silent, expected) in table {
            let others: BTreeMap<_, _> = (2..).zip(digests.clone()).collect();
            assert_eq!(verdict(own, &others, silent), expected, "{digests:?} {silent}");
        }
    }

    /// With no combination of digests do two nodes each take the other one for right and rebuild.
    #[test]
    fn no_digest_is_wrong_for_its_own_holders_and_right_for_others_at_once() {
        let digest = |byte| Digest::from_bytes([byte; 32]);
        for code in 0..4u32.pow(5) {
            let held: Vec<Digest> =
                (0..5).map(|node| digest(u8::try_from(code / 4u32.pow(node) % 4).unwrap())).collect();
            let judge = |node: usize| {
                let others = (0u64..).zip(held.iter().copied()).filter(|(id, _)| *id != node as u64).collect();
                verdict(held[node], &others, 0)
            };
            let wrong: Vec<usize> = (0..5).filter(|node| judge(*node) == Verdict::Wrong).collect();
            let right: Vec<usize> = (0..5).filter(|node| judge(*node) == Verdict::Right).collect();
            assert!(wrong.len() <= 3, "at least two nodes stay as they are: {held:?}");
            assert!(wrong.is_empty() || right.len() >= 2, "who rebuilds finds nodes that are right: {held:?}");
            let first = right.first().map(|node| held[*node]);
            assert!(right.iter().all(|node| Some(held[*node]) == first), "one state is right: {held:?}");
        }
    }
}
