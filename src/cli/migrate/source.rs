//! The keys of another server, and the files beside them that are not usable.

use crate::crypto::KeyMaterial;
use crate::policy::Identity;

/// A key to import. Its secrets are wiped when it is dropped.
#[derive(Debug)]
pub struct SourceKey {
    /// Its name.
    pub name: String,
    /// Its secrets. The mask secret is new, because the old server has none.
    pub material: KeyMaterial,
    /// When it was made, in RFC 3339.
    pub created_at: Option<String>,
    /// Who made it.
    pub created_by: Option<Identity>,
    /// What the new server cannot take over, if anything.
    pub remark: Option<&'static str>,
}

/// Something that cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Its name.
    pub name: String,
    /// Why not.
    pub reason: String,
    /// Whether it may be a key all the same, so that a user should look.
    pub is_suspect: bool,
}

/// Everything that was found at the source.
#[derive(Debug, Default)]
pub struct KeySource {
    /// Keys, sorted by name.
    pub keys: Vec<SourceKey>,
    /// Files that are not usable keys, sorted by name.
    pub unusable: Vec<Unusable>,
}
