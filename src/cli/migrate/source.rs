//! Keys as another server keeps them, and what else was found beside them.

use crate::crypto::KeyMaterial;
use crate::policy::Identity;

/// A key to bring over. Its secrets are wiped when it is dropped.
#[derive(Debug)]
pub struct SourceKey {
    /// Its name.
    pub name: String,
    /// Its secrets; the mask among them is new, for the old server knows none.
    pub material: KeyMaterial,
    /// When it was made, in RFC 3339.
    pub created_at: Option<String>,
    /// Who made it.
    pub created_by: Option<Identity>,
    /// What the other server knows of it and this one cannot take, if anything.
    pub remark: Option<&'static str>,
}

/// Something that cannot be brought over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Its name.
    pub name: String,
    /// Why not.
    pub reason: String,
    /// Whether it may be a key, so that somebody should look.
    pub is_suspect: bool,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub struct KeySource {
    /// Keys, sorted by name.
    pub keys: Vec<SourceKey>,
    /// What is none, sorted by name.
    pub unusable: Vec<Unusable>,
}
