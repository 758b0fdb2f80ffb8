//! Reads the three kinds of file: a node's configuration, what a throw-away cluster borrows, and policies alone.

use std::path::Path;

use super::{Borrowed, Config, Environment, Override, PolicyFile, Problems, Warning, environment, finding, read};

impl Config {
    /// Reads a node's configuration file.
    ///
    /// # Errors
    /// Every problem of the file at once. A node must not start with them.
    pub fn load(file: &Path) -> Result<(Self, Vec<Warning>), Problems> {
        Self::load_with(file, &[])
    }

    /// Reads a node's configuration file, with settings that the command line gives in place of the file's.
    ///
    /// # Errors
    /// As for [`Config::load`]; a problem of an override names its flag.
    pub fn load_with(file: &Path, overrides: &[Override]) -> Result<(Self, Vec<Warning>), Problems> {
        Self::parse_with(file, &finding::read_text(file)?, &environment::process_variable, overrides)
    }

    /// Reads a configuration from `text`. Problems and warnings name `file`, which is not read.
    ///
    /// It resolves host names to listen on, and otherwise depends on its arguments alone.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub fn parse(file: &Path, text: &str, environment: Environment<'_>) -> Result<(Self, Vec<Warning>), Problems> {
        Self::parse_with(file, text, environment, &[])
    }

    /// Reads a configuration from `text`, with settings that the command line gives in place of the file's.
    ///
    /// # Errors
    /// As for [`Config::load_with`].
    pub fn parse_with(
        file: &Path,
        text: &str,
        environment: Environment<'_>,
        overrides: &[Override],
    ) -> Result<(Self, Vec<Warning>), Problems> {
        read::parse_file(file, text, (environment, overrides), read::config)
    }
}

impl Borrowed {
    /// Reads the settings that a throw-away cluster borrows from a KES configuration file.
    ///
    /// # Errors
    /// Every problem of the file at once, except those of sections that the cluster does not borrow.
    pub fn load(file: &Path) -> Result<(Self, Vec<Warning>), Problems> {
        Self::parse(file, &finding::read_text(file)?, &environment::process_variable)
    }

    /// Reads them from `text`. Problems and warnings name `file`, which is not read.
    ///
    /// # Errors
    /// As for [`Borrowed::load`].
    pub fn parse(file: &Path, text: &str, environment: Environment<'_>) -> Result<(Self, Vec<Warning>), Problems> {
        read::parse_file(file, text, (environment, &[]), read::borrowed)
    }
}

impl PolicyFile {
    /// Reads the `policy` section of a text, which may be a configuration of KES or of a node, or have only this section.
    /// Problems and warnings name `file`, which is not read.
    ///
    /// # Errors
    /// Every problem of that section at once, or that it is missing.
    pub fn parse(file: &Path, text: &str, environment: Environment<'_>) -> Result<(Self, Vec<Warning>), Problems> {
        read::parse_file(file, text, (environment, &[]), read::policy_file)
    }
}
