//! The messages of `proto/store.proto` as prost generates them, and conversions from and to our types.

include!(concat!(env!("OUT_DIR"), "/keyraft.store.v1.rs"));

use super::LogId;

impl From<LogId> for Position {
    fn from(id: LogId) -> Self {
        Self { term: id.term, node: id.node, index: id.index }
    }
}

impl From<Position> for LogId {
    fn from(position: Position) -> Self {
        Self { term: position.term, node: position.node, index: position.index }
    }
}
