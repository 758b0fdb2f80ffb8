//! The messages and the service of `proto/peer.proto`, as prost and tonic generate them.

include!(concat!(env!("OUT_DIR"), "/keyraft.peer.v1.rs"));
