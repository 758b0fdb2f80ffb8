//! Settings that the command line gives in place of the file's, as `kes server` allows.

use std::fmt;

/// A setting that the command line gives. It is read and checked like a setting of the file, also at each reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The flag, such as `--addr`.
    pub flag: &'static str,
    /// The setting that it replaces, such as `address`.
    pub setting: &'static str,
    /// The value. It is not secret, so messages may show it.
    pub value: String,
}

impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flag, setting, value } = self;
        write!(f, "{flag} on the command line sets {setting} to '{value}' in place of the configuration file")
    }
}
