//! The messages between nodes and in their files, as the build generates them from `proto/`.

/// Of `proto/peer.proto`.
pub mod peer {
    include!(concat!(env!("OUT_DIR"), "/keyraft.peer.v1.rs"));
}

/// Of `proto/state.proto`.
pub mod state {
    include!(concat!(env!("OUT_DIR"), "/keyraft.state.v1.rs"));
}

/// Of `proto/store.proto`.
pub mod store {
    include!(concat!(env!("OUT_DIR"), "/keyraft.store.v1.rs"));
}
