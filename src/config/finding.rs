//! What is wrong or odd in a configuration file, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing found in a file: what it is and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// Its line, counted from 1; 0 when the whole file is meant.
    pub line: u64,
    /// What was found, and what to do. Holds no secret: values of the environment and passwords are never shown.
    pub message: String,
}

/// A finding that does not keep the node from starting.
pub type Warning = Finding;

/// Every reason why a file is no configuration, in the order of its lines; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Finding>);

/// The text of a file.
pub(super) fn contents(file: &Path) -> Result<String, Problems> {
    std::fs::read_to_string(file).map_err(|error| {
        let message = format!("the configuration cannot be read: {error}");
        Problems(vec![Finding { file: file.to_owned(), line: 0, message }])
    })
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.message),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.message),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
