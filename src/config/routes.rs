//! The routes that the `api` section can set, by their path without a slash at its end.

use crate::policy::{ActionKind, PATHS, SystemAction};

/// What may be served without a certificate (wire contract, "Identity and TLS").
pub const SKIP_AUTH: [ActionKind; 4] = [
    ActionKind::System(SystemAction::Api),
    ActionKind::System(SystemAction::Metrics),
    ActionKind::System(SystemAction::Ready),
    ActionKind::System(SystemAction::Status),
];

/// The route that a path means, with or without a slash at its end.
pub(super) fn named(path: &str) -> Option<&'static str> {
    let wanted = bare(path);
    PATHS.iter().map(|row| bare(row.path)).find(|route| *route == wanted)
}

fn bare(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_named_with_or_without_a_slash() {
        for path in ["/v1/key/create", "/v1/key/create/"] {
            assert_eq!(named(path), Some("/v1/key/create"));
        }
        assert_eq!(named("/v1/log/audit/trace"), Some("/v1/log/audit/trace"));
        for path in ["/v1/key", "/v1/key/create//", "/v1/ready/x", "v1/ready", ""] {
            assert_eq!(named(path), None, "{path}");
        }
    }
}
