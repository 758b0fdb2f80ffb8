//! Tests of node processes of the built binary, mostly ended by kill -9.

mod connections;
mod copied_machine;
mod crash_loop;
mod disk;
mod full_disk;
mod incident;
mod loss;
mod paused;
mod power_cut;
mod stalled_disk;
#[expect(dead_code, reason = "this binary uses a part of what the tests share")]
#[path = "../support/mod.rs"]
mod support;
