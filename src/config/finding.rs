//! Problems and warnings about a configuration file, with their lines.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::file::{self, Named};

/// A problem or warning about a file: what was found, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// Its line, counted from 1; 0 for the whole file.
    pub line: u64,
    /// What was found, and what to do. It never shows a value of the environment or a password.
    pub message: String,
}

/// A finding that does not keep the node from starting.
pub type Warning = Finding;

/// Every problem of a file, in the order of its lines. There is at least one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct Problems(pub Vec<Finding>);

/// Reads the text of a configuration file, which may also be a pipe.
///
/// # Errors
/// The file cannot be read, or is not text in UTF-8.
pub fn read_text(file: &Path) -> Result<String, Problems> {
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

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
}
