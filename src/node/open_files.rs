//! How many connections the node can take under the process's limit of open files.

use crate::config::{Config, LimitsConfig};

/// How many connections of `limits.connections` the limit of open files allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConnectionBudget {
    /// Files that the process may open.
    files: usize,
    /// Files that the node keeps for the disk, the log and peers.
    reserved: usize,
    /// Connections that the configuration asks for.
    asked: usize,
    /// Connections that the node takes at most.
    connections: usize,
}

impl ConnectionBudget {
    /// Computes the budget of a process that may open `files` files.
    pub fn of(config: &Config, files: u64) -> Self {
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        let peers = usize::try_from(config.cluster.connections).unwrap_or(usize::MAX);
        let reserved = config.limits.reserved_files.saturating_add(peers);
        // If there are fewer files than the reserve, the node still uses a quarter of them for connections.
        let left = files.saturating_sub(reserved).max(files / 4).max(1);
        let asked = config.limits.connections;
        Self { files, reserved, asked, connections: asked.min(left) }
    }

    /// Lowers the connections in these limits to what the budget allows.
    pub fn bound(self, limits: LimitsConfig) -> LimitsConfig {
        LimitsConfig { connections: self.connections, ..limits }
    }

    /// Logs a warning if the node takes fewer connections than the configuration asks for.
    pub fn warn_if_lowered(self) {
        let Self { files, reserved, asked, connections } = self;
        if connections < asked {
            tracing::warn!(
                "the node lowers limits.connections from {asked} to {connections}: this process may open {files} files, \
                 and the node keeps {reserved} of them for the disk, the log and the peers (limits.reserved_files and \
                 cluster.connections); raise the limit of open files (LimitNOFILE= of the service, or `ulimit -n`) to \
                 {}, or set limits.connections to {connections}",
                asked.saturating_add(reserved)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(limits: &str) -> Config {
        let text = format!(
            "version: v1\nadmin: {{identity: disabled}}\ntls: {{key: k, cert: c}}\nseal: {{file: r}}\n\
             cluster: {{data: d, tls: {{cert: c, key: k, ca: a}}}}\nlimits: {limits}\n"
        );
        Config::parse(Path::new("config.yml"), &text, &|_| None).unwrap().0
    }

    #[test]
    fn connections_stay_below_the_limit_of_files_minus_the_reserve() {
        for (limits, files, connections) in [
            ("{}", 1_024, 768),
            ("{}", 10_256, 10_000),
            ("{}", 10_255, 9_999),
            ("{}", u64::MAX, 10_000),
            ("{connections: 100}", 1_024, 100),
            ("{reserved_files: 500}", 1_024, 396),
            ("{}", 256, 64),
            ("{}", 3, 1),
        ] {
            let config = config(limits);
            let room = ConnectionBudget::of(&config, files);
            assert_eq!(room.bound(config.limits).connections, connections, "{limits} of {files}");
            assert_eq!(
                LimitsConfig { connections: 0, ..room.bound(config.limits) },
                LimitsConfig { connections: 0, ..config.limits }
            );
        }
    }
}
