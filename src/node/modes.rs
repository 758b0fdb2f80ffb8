//! Files with secrets that more users of the machine can read or change than need to.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{getegid, getgroups};

use crate::config::{Config, SealConfig};

const GROUP: u32 = 0o070;
const OTHERS: u32 = 0o007;

/// A file that more users than need to can read or change; its display is a sentence for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExposedFile {
    /// What names it: a setting, or the configuration itself.
    pub what: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The permission bits of its mode.
    pub mode: u32,
    /// Whom it is open to.
    pub to: Exposure,
}

/// Whom a file is open to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// The members of its group.
    Group,
    /// Every user of the machine.
    Others,
    /// Both.
    GroupAndOthers,
}

/// The configuration file, root key and private keys that are open to others. A key must not be open to a group either,
/// unless the group is root's or one that this process is in: a secret that is mounted for a service often is.
pub fn exposed_files(file: &Path, config: &Config) -> Vec<ExposedFile> {
    let keys = [("tls.key", config.tls.key.as_path()), ("cluster.tls.key", &config.cluster.key)];
    let root = match &config.seal {
        SealConfig::File(path) => Some(("seal.file", path.as_path())),
        SealConfig::Env(_) => None,
    };
    let trusted = trusted_groups();
    let of_keys = keys.into_iter().chain(root).filter_map(|(what, path)| exposed(what, path, Some(&trusted)));
    exposed("the configuration", file, None).into_iter().chain(of_keys).collect()
}

/// Whom a file is open to, if anyone; groups count only where it is said which are trusted. What reads a
/// file reports one that cannot be looked at.
fn exposed(what: &'static str, path: &Path, trusted: Option<&[u32]>) -> Option<ExposedFile> {
    // Devices such as /dev/null belong to the system.
    let found = path.metadata().ok().filter(Metadata::is_file)?;
    let mode = found.mode() & 0o777;
    let to_group = mode & GROUP != 0 && trusted.is_some_and(|groups| !groups.contains(&found.gid()));
    let to = match (to_group, mode & OTHERS != 0) {
        (false, false) => return None,
        (true, false) => Exposure::Group,
        (false, true) => Exposure::Others,
        (true, true) => Exposure::GroupAndOthers,
    };
    Some(ExposedFile { what, path: path.to_owned(), mode, to })
}

/// Root's group, and those of this process.
fn trusted_groups() -> Vec<u32> {
    let further = getgroups().unwrap_or_default();
    [0, getegid().as_raw()].into_iter().chain(further.into_iter().map(rustix::process::Gid::as_raw)).collect()
}

impl fmt::Display for ExposedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, path, mode, to } = self;
        let (whom, change) = match to {
            Exposure::Group => ("its group", "g="),
            Exposure::Others => ("every user of this machine", "o="),
            Exposure::GroupAndOthers => ("its group and every user of this machine", "go="),
        };
        let path = path.display();
        write!(f, "{what}: {path} is open to {whom} (mode {mode:04o}): run `chmod {change} {path}`")
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_exposed_to_others_and_to_groups_that_nobody_trusts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.key");
        fs::write(&path, "").unwrap();
        let ours = [path.metadata().unwrap().gid()];
        let nobody: &[u32] = &[];
        let cases = [
            (0o600, Some(nobody), None),
            (0o400, Some(nobody), None),
            (0o640, None, None),
            (0o640, Some(&ours[..]), None),
            (0o640, Some(nobody), Some((Exposure::Group, "g="))),
            (0o620, Some(nobody), Some((Exposure::Group, "g="))),
            (0o604, Some(nobody), Some((Exposure::Others, "o="))),
            (0o602, None, Some((Exposure::Others, "o="))),
            (0o644, None, Some((Exposure::Others, "o="))),
            (0o644, Some(&ours[..]), Some((Exposure::Others, "o="))),
            (0o644, Some(nobody), Some((Exposure::GroupAndOthers, "go="))),
        ];
        for (mode, trusted, expected) in cases {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let found = exposed("tls.key", &path, trusted);
            assert_eq!(found.as_ref().map(|found| found.to), expected.map(|(to, _)| to), "{mode:o} {trusted:?}");
            if let (Some(found), Some((_, change))) = (found, expected) {
                let (shown, path) = (found.to_string(), path.display());
                assert!(shown.starts_with(&format!("tls.key: {path} is open to ")), "{shown}");
                assert!(shown.ends_with(&format!("(mode {mode:04o}): run `chmod {change} {path}`")), "{shown}");
            }
        }
        assert_eq!(exposed("tls.key", &folder.path().join("missing"), None), None);
        // `chmod` on it would break the machine.
        assert_eq!(exposed("tls.key", Path::new("/dev/null"), Some(nobody)), None);
    }
}
