//! The listener: accepts connections, serves HTTP on each within limits, and drains.

pub mod connection;
pub mod connections;
pub mod local;
pub mod marked;
pub mod patience;
pub mod plain;
pub mod reins;
pub mod sent;
pub mod serve;
pub mod watched;
