//! The messages of `proto/peer.proto`, as generated, and their conversions from and to openraft's types.

include!(concat!(env!("OUT_DIR"), "/keyraft.peer.v1.rs"));
