//! Nodes that have applied the same entries have the same state.

use std::collections::BTreeMap;

use keyraft::store::Progress;

/// The digests that nodes have shown, by index.
#[derive(Default)]
pub struct Digests(BTreeMap<u64, (usize, String)>);

impl Digests {
    /// # Panics
    /// Another node had another digest at this position.
    pub fn check(&mut self, node: usize, progress: &Progress) {
        let (index, digest) = (progress.index(), progress.digest.to_string());
        let (first, expected) = self.0.entry(index).or_insert_with(|| (node, digest.clone()));
        assert_eq!(
            digest, *expected,
            "INVARIANT equal digests at equal positions: nodes {node} and {first} differ at index {index}"
        );
    }

    /// At how many positions nodes were compared.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}
