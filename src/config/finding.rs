//! What is wrong or odd in a configuration file, and where.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::file::{self, Named};

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

/// The text of a configuration file, which may also be a pipe.
///
/// # Errors
/// It cannot be read, or is no text.
pub fn contents(file: &Path) -> Result<String, Problems> {
    let unread = |line, why: String| {
        let message = format!("the configuration cannot be read: {why}");
        Problems(vec![Finding { file: file.to_owned(), line, message }])
    };
    let content = file::read(file, Named::ByArgument).map_err(|error| unread(0, error.why.to_string()))?;
    let text = std::str::from_utf8(&content).map_err(|error| {
        let before = &content[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        unread(line, "it is not text in UTF-8; correct this line, or save the file again as UTF-8".to_owned())
    })?;
    Ok(text.to_owned())
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
