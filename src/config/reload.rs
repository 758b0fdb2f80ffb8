//! What a running node cannot take over from a changed file.

use super::{Config, LogConfig};

impl Config {
    /// The settings in which `new` differs and which only a restart puts into force, by their names in the file.
    ///
    /// Everything else is taken over while the node runs: `admin`, `tls`, `api`, `keys`, and what is logged and at
    /// which level. `policy` is not named: it is the cluster's first command, which a restart does not repeat.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let (ours, theirs) = (&self.cluster, &new.cluster);
        let changed = [
            ("address", self.address != new.address),
            ("cache", self.cache != new.cache),
            ("log.format", self.log.format != new.log.format),
            ("cluster.name", ours.name != theirs.name),
            ("cluster.listen", ours.listen != theirs.listen),
            ("cluster.data", ours.data != theirs.data),
            ("cluster.tls", (&ours.cert, &ours.key, &ours.ca) != (&theirs.cert, &theirs.key, &theirs.ca)),
            ("cluster.peers", ours.peers != theirs.peers),
            ("cluster.handshakes", ours.handshakes != theirs.handshakes),
            ("cluster.connections", ours.connections != theirs.connections),
            ("cluster.timing", ours.timing != theirs.timing),
            ("cluster.snapshot", ours.snapshot != theirs.snapshot),
            ("seal", self.seal != new.seal),
            ("consistency", self.consistency != new.consistency),
            ("limits", self.limits != new.limits),
        ];
        changed.into_iter().filter_map(|(name, changed)| changed.then_some(name)).collect()
    }

    /// What runs once as much of `new` is taken over as a running node can: the settings that wait for a restart stay.
    #[must_use]
    pub fn take_over(&self, new: &Self) -> Self {
        let old = self.clone();
        let log = LogConfig { format: old.log.format, ..new.log.clone() };
        let Self { address, cache, cluster, seal, consistency, limits, .. } = old;
        Self { address, cache, log, cluster, seal, consistency, limits, ..new.clone() }
    }
}
