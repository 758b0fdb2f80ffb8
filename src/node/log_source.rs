//! The logs of this node, for its peers to follow.

use std::sync::Arc;

use futures::stream::{self, StreamExt};

use super::parts::Parts;
use crate::raft::LogSource;
use crate::telemetry::joined;

/// Returns the source from which peers stream this node's own events.
pub(super) fn source(parts: &Parts) -> LogSource {
    let (audit, errors) = (Arc::clone(&parts.audit), Arc::clone(&parts.errors));
    Arc::new(move |asked| match (asked.errors, asked.follow) {
        (false, true) => audit.feed().listen(asked.tail).into_stream(),
        (true, true) => errors.feed().listen(asked.tail).into_stream(),
        (false, false) => stream::iter([joined(audit.feed().tail(asked.tail))]).boxed(),
        (true, false) => stream::iter([joined(errors.feed().tail(asked.tail))]).boxed(),
    })
}
