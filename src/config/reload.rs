//! Which changes of the file a running node takes over, and which need a restart.

use super::{Config, LogConfig};

impl Config {
    /// The settings that differ in `new` and need a restart, by their names in the file.
    ///
    /// A running node takes over everything else: `admin`, `tls`, `api`, `keys`, `audit`, and `log` except its format.
    /// `policy` is not among the settings either: the cluster takes it over once, and a restart does not repeat that.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let (ours, theirs) = (&self.cluster, &new.cluster);
        let changed = [
            ("address", self.address != new.address),
            ("cache", self.cache != new.cache),
            ("log.format", self.log.format != new.log.format),
            ("cluster.name", ours.name != theirs.name),
            ("cluster.listen", ours.listen != theirs.listen),
            ("cluster.data", ours.data != theirs.data),
            ("cluster.tls", ours.tls != theirs.tls),
            ("cluster.peers", ours.peers != theirs.peers),
            ("cluster.handshakes", ours.handshakes != theirs.handshakes),
            ("cluster.connections", ours.connections != theirs.connections),
            ("cluster.timing", ours.timing != theirs.timing),
            ("cluster.snapshot", ours.snapshot != theirs.snapshot),
            ("storage", ours.storage != theirs.storage),
            ("seal", self.seal != new.seal),
            ("consistency", self.consistency != new.consistency),
            ("limits", self.limits != new.limits),
        ];
        changed.into_iter().filter_map(|(name, changed)| changed.then_some(name)).collect()
    }

    /// The configuration in force after a running node has taken over what it can of `new`. Settings that need a restart
    /// keep their old values.
    #[must_use]
    pub fn take_over(&self, new: &Self) -> Self {
        let old = self.clone();
        let log = LogConfig { format: old.log.format, ..new.log.clone() };
        let Self { address, cache, cluster, seal, consistency, limits, .. } = old;
        Self { address, cache, log, cluster, seal, consistency, limits, ..new.clone() }
    }
}
