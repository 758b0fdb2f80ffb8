//! Tests of clusters in which two versions run: the usual build knows level 1, and the test build knows a level 2, too.
//! Nodes of the usual build are processes, and those of the test build run in this process.

mod cluster;
mod new_log;
mod old_binary;
mod side_by_side;
#[expect(dead_code, reason = "this binary uses a part of what the tests share")]
#[path = "../support/mod.rs"]
mod support;
mod upgrade;
