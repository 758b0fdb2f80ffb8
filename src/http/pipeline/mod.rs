//! What a request passes on its way to a handler: its path, its route, the guard, its body, and its record.

pub mod body;
pub mod deadline;
pub mod guard;
pub mod path;
pub mod record;
pub mod routes;
pub mod settings;
