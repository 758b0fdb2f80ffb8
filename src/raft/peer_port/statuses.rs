//! The statuses with which the peer service refuses calls.

use tonic::Status;

pub(super) fn stopped(error: &dyn std::fmt::Display) -> Status {
    Status::unavailable(format!("the node is stopping: {error}"))
}

pub(super) fn refused(error: &dyn std::fmt::Display) -> Status {
    Status::failed_precondition(error.to_string())
}

pub(super) fn not_leading() -> Status {
    Status::unavailable("this node does not lead a quorum now")
}

pub(super) fn no_room() -> Status {
    Status::unavailable("its disk lacks room")
}

pub(super) fn malformed() -> Status {
    Status::invalid_argument("a malformed message")
}
