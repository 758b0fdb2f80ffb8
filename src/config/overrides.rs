//! Settings that the command line gives in place of the file's, as `kes server` lets it.

use std::fmt;

/// A setting of the command line. The configuration reads and checks it like one of the file, at each reload too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The flag, such as `--addr`.
    pub flag: &'static str,
    /// The setting in whose place it stands, such as `address`.
    pub setting: &'static str,
    /// What it says. It is no secret.
    pub value: String,
}

impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flag, setting, value } = self;
        write!(f, "{flag} on the command line sets {setting} to '{value}' in place of the configuration file")
    }
}
