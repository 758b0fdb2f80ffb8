//! The one vocabulary of actions: what a client can ask for, and by which paths (wire contract, "Endpoints").
//!
//! The route table, the policy check, the check when a command is applied, the configuration and the command line take
//! kinds and paths of actions from here. A path is read into an [`Action`] once, where a request comes in.

mod kind;
mod table;

pub use kind::{ActionKind, ClusterAction, IdentityAction, KeyAction, LogAction, PolicyAction, SystemAction};
pub use table::{ActionPath, NameInPath, PATHS};

use super::name::{NameError, Prefix, PrefixError};

/// What is done, and to what.
///
/// The name is as it stands in the path. It may break the grammar of names, because the policy check comes before the
/// check of the name (wire contract, "Errors").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action<'a> {
    row: &'static ActionPath,
    name: &'a str,
}

/// A name or a listing prefix that breaks the grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// A name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A listing prefix.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
}

impl ActionKind {
    /// The action that commands in the log call by this number.
    pub fn of_number(number: u32) -> Option<Self> {
        PATHS.iter().find(|row| !row.is_alias() && row.number == number).map(|row| row.kind)
    }

    /// Every action.
    pub fn all() -> impl Iterator<Item = Self> {
        PATHS.iter().filter(|row| !row.is_alias()).map(|row| row.kind)
    }

    /// What commands in the log call it.
    pub fn number(self) -> u32 {
        self.row().number
    }

    /// Its path, up to where a name follows.
    pub fn path(self) -> &'static str {
        self.row().path
    }

    /// What follows its path.
    pub fn name_in_path(self) -> NameInPath {
        self.row().name
    }

    /// The same action, done to what has this name; empty for an action whose path no name follows.
    pub fn on(self, name: &str) -> Action<'_> {
        Action { row: self.row(), name }
    }

    /// Its rows: its own, and its aliases.
    pub(super) fn rows(self) -> impl Iterator<Item = &'static ActionPath> {
        PATHS.iter().filter(move |row| row.kind == self)
    }

    /// Its own row, which is not an alias.
    pub(super) fn row(self) -> &'static ActionPath {
        self.rows().find(|row| !row.is_alias()).expect("a test finds a row for every action")
    }
}

impl<'a> Action<'a> {
    /// The action that a decoded path asks for.
    pub fn parse(path: &'a str) -> Option<Self> {
        find(path).map(|(_, action)| action)
    }

    /// The path that asks for it. Of several it is the one that is not an alias.
    pub fn path(&self) -> String {
        [self.row.path, self.name].concat()
    }

    /// What is done.
    pub fn kind(&self) -> ActionKind {
        self.row.kind
    }

    /// What it is done to, as it stands in the path.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Checks the grammar of the name.
    ///
    /// # Errors
    /// The name, or the prefix of a listing, breaks it.
    pub fn check_name(&self) -> Result<(), BadName> {
        match self.row.name {
            NameInPath::Nothing => {}
            NameInPath::Name(kind) => kind.check(self.name)?,
            NameInPath::Prefix => drop(Prefix::parse(self.name)?),
        }
        Ok(())
    }

    /// Every path that asks for it, each in two parts: the path of its row, and the name.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&'static str, &'a str)> + use<'a> {
        let kind = self.kind();
        // No name follows an alias.
        let others = if self.name.is_empty() { &PATHS[..] } else { &[] };
        let aliases = others.iter().filter(move |row| row.kind == kind && row.is_alias());
        std::iter::once((self.row.path, self.name)).chain(aliases.map(|row| (row.path, "")))
    }
}

/// The action that a decoded path asks for, and the place of its row in [`PATHS`], which may be that of an alias.
///
/// No path that a name follows is the beginning of another. So the greatest path not above this one is the only
/// candidate.
pub fn find(path: &str) -> Option<(usize, Action<'_>)> {
    let index = PATHS.partition_point(|row| row.path <= path).checked_sub(1)?;
    let found = &PATHS[index];
    let name = path.strip_prefix(found.path)?;
    if !name.is_empty() && found.name == NameInPath::Nothing {
        return None;
    }
    let row = if found.is_alias() { found.kind.row() } else { found };
    Some((index, Action { row, name }))
}

#[cfg(test)]
mod tests;
