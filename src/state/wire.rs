//! The stored messages of `proto/state.proto`, as generated.

include!(concat!(env!("OUT_DIR"), "/keyraft.state.v1.rs"));
