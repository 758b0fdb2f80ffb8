//! How many connections the process's limit of open files leaves room for.

use crate::config::{Config, LimitsConfig};

/// What the limit of open files makes of `limits.connections`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConnectionBudget {
    /// Files that the process may open.
    files: usize,
    /// Those that are kept for the disk, the log and peers.
    reserved: usize,
    /// Connections that the configuration asks for.
    asked: usize,
    /// Connections that are taken at most.
    connections: usize,
}

impl ConnectionBudget {
    /// The room that a process which may open `files` files has for connections.
    pub fn of(config: &Config, files: u64) -> Self {
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        let peers = usize::try_from(config.cluster.connections).unwrap_or(usize::MAX);
        let reserved = config.limits.reserved_files.saturating_add(peers);
        // With less than the reserve a node still answers somebody, in a quarter of what there is.
        let left = files.saturating_sub(reserved).max(files / 4).max(1);
        let asked = config.limits.connections;
        Self { files, reserved, asked, connections: asked.min(left) }
    }

    /// The limits with as many connections as there is room for.
    pub fn bound(self, limits: LimitsConfig) -> LimitsConfig {
        LimitsConfig { connections: self.connections, ..limits }
    }

    /// Logs a warning when fewer connections are taken than the configuration asks for.
    pub fn warn_if_lowered(self) {
        let Self { files, reserved, asked, connections } = self;
        if connections < asked {
            tracing::warn!(
                "limits.connections is lowered from {asked} to {connections}: this process may open {files} files, and \
                 {reserved} of them are kept for the disk, the log and the peers (limits.reserved_files and \
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
