//! When and by whom something was created, as answers show it.

use serde::Serialize;

use crate::clock;
use crate::policy::Author;

/// When and by whom something was created. An unknown value is left out.
#[derive(Serialize)]
pub struct Authorship {
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<String>,
}

impl Authorship {
    /// The authorship by this author.
    pub fn of(author: &Author) -> Self {
        Self {
            created_at: author.created_at.map(|time| clock::rfc3339(Some(time))),
            created_by: author.created_by.map(|identity| identity.to_string()),
        }
    }
}
