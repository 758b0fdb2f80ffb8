//! Reading the three kinds of file: a node's configuration, what a throw-away cluster borrows, and policies alone.

use std::path::Path;

use super::{Borrowed, Config, Environment, Override, PolicyFile, Problems, Warning, environment, finding, read};

impl Config {
    /// Reads a node's configuration file.
    ///
    /// # Errors
    /// Every problem of the file at once; the node must not start then.
    pub fn load(file: &Path) -> Result<(Self, Vec<Warning>), Problems> {
        Self::load_with(file, &[])
    }

    /// The same, with settings that the command line gives in place of the file's.
    ///
    /// # Errors
    /// As for [`Config::load`]; a problem of an override names its flag.
    pub fn load_with(file: &Path, overrides: &[Override]) -> Result<(Self, Vec<Warning>), Problems> {
        Self::parse_with(file, &finding::contents(file)?, &environment::of_process, overrides)
    }

    /// Reads a configuration from `text`; `file` is only named in problems and warnings.
    ///
    /// Host names to listen on are resolved; nothing else outside of the arguments is looked at.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub fn parse(file: &Path, text: &str, environment: Environment<'_>) -> Result<(Self, Vec<Warning>), Problems> {
        Self::parse_with(file, text, environment, &[])
    }

    /// The same, with settings that the command line gives in place of the file's.
    ///
    /// # Errors
    /// As for [`Config::load_with`].
    pub fn parse_with(
        file: &Path,
        text: &str,
        environment: Environment<'_>,
        overrides: &[Override],
    ) -> Result<(Self, Vec<Warning>), Problems> {
        read::whole(file, text, (environment, overrides), read::config)
    }
}

impl Borrowed {
    /// Reads what a throw-away cluster borrows from a KES configuration file.
    ///
    /// # Errors
    /// Every problem of the file at once, apart from those of sections that are not borrowed.
    pub fn load(file: &Path) -> Result<(Self, Vec<Warning>), Problems> {
        Self::parse(file, &finding::contents(file)?, &environment::of_process)
    }

    /// The same from `text`; `file` is only named in problems and warnings.
    ///
    /// # Errors
    /// As for [`Borrowed::load`].
    pub fn parse(file: &Path, text: &str, environment: Environment<'_>) -> Result<(Self, Vec<Warning>), Problems> {
        read::whole(file, text, (environment, &[]), read::borrowed)
    }
}

impl PolicyFile {
    /// Reads the `policy` section of a text: of a KES or a node's configuration, or of a file that has only that; `file`
    /// is only named in problems and warnings.
    ///
    /// # Errors
    /// Every problem of that section at once, or that there is none.
    pub fn parse(file: &Path, text: &str, environment: Environment<'_>) -> Result<(Self, Vec<Warning>), Problems> {
        read::whole(file, text, (environment, &[]), read::policy_file)
    }
}
