//! What a request passes on its way to a handler: its path, its route, the guard, its body, and its trail.

pub mod body;
pub mod deadline;
pub mod guard;
pub mod path;
pub mod routes;
pub mod settings;
pub mod trail;
