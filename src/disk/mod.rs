//! The room on the disk: how much there is, room that is kept for what must be written, and whether a node lacks room.

mod reserve;
mod room;
mod space;

pub use reserve::{Reserve, allocate_behind, is_lack_of_room};
pub use room::{DiskRoom, RoomFigures};
pub use space::{DiskSpace, disk_space};
