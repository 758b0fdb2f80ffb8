//! Files with secrets that too many users of the machine can read or change.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{getegid, geteuid, getgroups};

use super::peer_tls;
use crate::config::{Config, SealConfig};

/// The id of the user root, and of its group.
const ROOT: u32 = 0;
const GROUP: u32 = 0o070;
const OTHERS: u32 = 0o007;

/// A file that too many users can read or change. Its display says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExposedFile {
    /// The setting that names the file, or the configuration itself.
    pub what: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The permission bits of its mode.
    pub mode: u32,
    /// Who can read or change it.
    pub to: Exposure,
    /// The group of this process, if the process reads the file only because every user can.
    pub needed_by: Option<u32>,
}

/// Who can read or change a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// The members of its group.
    Group,
    /// Every user of the machine.
    Others,
    /// The members of its group, and every user of the machine.
    GroupAndOthers,
}

/// Returns which of the configuration file, the root key, the bootstrap key and the private keys are open to others. A key must not be
/// open to a group either, unless it is the group of root or one of this process. A secret that is mounted for a
/// service often has such a group.
pub fn exposed_files(file: &Path, config: &Config) -> Vec<ExposedFile> {
    let own_key = peer_tls::key_file(&config.cluster.data);
    let for_peers = match &config.cluster.tls {
        Some(files) => ("cluster.tls.key", files.key.as_path()),
        None => ("cluster.data", own_key.as_path()),
    };
    let keys = [("tls.key", config.tls.key.as_path()), for_peers];
    let root = match &config.seal {
        SealConfig::File(path) => Some(("seal.file", path.as_path())),
        SealConfig::Env(_) => None,
    };
    let bootstrap = config.cluster.bootstrap_key.as_deref().map(|path| ("cluster.bootstrap_key", path));
    let reader = ThisProcess::current();
    let trusted: Vec<_> = reader.groups.iter().copied().chain([ROOT]).collect();
    let of_keys = keys
        .into_iter()
        .chain(root)
        .chain(bootstrap)
        .filter_map(|(what, path)| exposed(what, path, Some(&trusted), &reader));
    exposed("the configuration", file, None, &reader).into_iter().chain(of_keys).collect()
}

/// Returns the file if it is open to others. Its group counts only if `trusted` lists the groups that may read it. It
/// skips a file that it cannot look at, because reading that file reports the error.
fn exposed(what: &'static str, path: &Path, trusted: Option<&[u32]>, reader: &ThisProcess) -> Option<ExposedFile> {
    // Skip devices such as /dev/null, which belong to the system.
    let found = path.metadata().ok().filter(Metadata::is_file)?;
    let mode = found.mode() & 0o777;
    let to_group = mode & GROUP != 0 && trusted.is_some_and(|groups| !groups.contains(&found.gid()));
    let to = match (to_group, mode & OTHERS != 0) {
        (false, false) => return None,
        (true, false) => Exposure::Group,
        (false, true) => Exposure::Others,
        (true, true) => Exposure::GroupAndOthers,
    };
    let needed_by = (mode & OTHERS != 0 && reader.reads_as_others(&found)).then_some(reader.group);
    Some(ExposedFile { what, path: path.to_owned(), mode, to, needed_by })
}

/// The user and the groups of this process.
struct ThisProcess {
    user: u32,
    group: u32,
    /// All groups of the process.
    groups: Vec<u32>,
}

impl ThisProcess {
    fn current() -> Self {
        let group = getegid().as_raw();
        let further = getgroups().unwrap_or_default();
        let groups = [group].into_iter().chain(further.into_iter().map(rustix::process::Gid::as_raw)).collect();
        Self { user: geteuid().as_raw(), group, groups }
    }

    /// Whether the process can read the file only because every user can.
    fn reads_as_others(&self, found: &Metadata) -> bool {
        self.user != ROOT && self.user != found.uid() && !self.groups.contains(&found.gid())
    }
}

impl fmt::Display for ExposedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, path, mode, to, needed_by } = self;
        let (whom, change) = match to {
            Exposure::Group => ("its group", "g="),
            Exposure::Others => ("every user of this machine", "o="),
            Exposure::GroupAndOthers => ("its group and every user of this machine", "go="),
        };
        let path = path.display();
        write!(f, "{what}: {path} is open to {whom} (mode {mode:04o}): run ")?;
        match needed_by {
            None => write!(f, "`chmod {change} {path}`"),
            // Without the change of group, the node could not read the file any more.
            Some(group) => {
                write!(f, "`chgrp {group} {path} && chmod g=r,o= {path}` as root, so that only the node reads it")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_node_can_still_read_a_file_after_the_advice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.key");
        fs::write(&path, "").unwrap();
        let (user, group) = (path.metadata().unwrap().uid(), path.metadata().unwrap().gid());
        let shown = |mode, user, groups: &[u32]| {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let reader = ThisProcess { user, group: 4_000_000, groups: groups.to_vec() };
            exposed("tls.key", &path, Some(groups), &reader).map(|found| found.to_string())
        };
        let (plain, path) = (" run `chmod go= ", path.display().to_string());
        let kept = format!(" run `chgrp 4000000 {path} && chmod g=r,o= {path}` as root");
        assert!(shown(0o644, user + 1, &[]).is_some_and(|text| text.contains(&kept)));
        assert!(shown(0o604, user + 1, &[]).is_some_and(|text| text.contains(&kept)));
        assert!(shown(0o644, user + 1, &[group]).is_some_and(|text| text.contains(" run `chmod o= ")));
        assert!(shown(0o644, user, &[]).is_some_and(|text| text.contains(plain)) || user == ROOT);
        assert!(shown(0o644, ROOT, &[]).is_some_and(|text| text.contains(plain)));
        assert!(shown(0o640, user + 1, &[]).is_some_and(|text| text.contains(" run `chmod g= ")));
    }

    #[test]
    fn a_file_is_exposed_to_other_users_and_untrusted_groups() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.key");
        fs::write(&path, "").unwrap();
        let ours = [path.metadata().unwrap().gid()];
        let nobody: &[u32] = &[];
        let reader = ThisProcess::current();
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
            let found = exposed("tls.key", &path, trusted, &reader);
            assert_eq!(found.as_ref().map(|found| found.to), expected.map(|(to, _)| to), "{mode:o} {trusted:?}");
            if let (Some(found), Some((_, change))) = (found, expected) {
                let (shown, path) = (found.to_string(), path.display());
                assert!(shown.starts_with(&format!("tls.key: {path} is open to ")), "{shown}");
                assert!(shown.ends_with(&format!("(mode {mode:04o}): run `chmod {change} {path}`")), "{shown}");
            }
        }
        assert_eq!(exposed("tls.key", &folder.path().join("missing"), None, &reader), None);
        // The advice must not be `chmod` on a device: that would break the machine.
        assert_eq!(exposed("tls.key", Path::new("/dev/null"), Some(nobody), &reader), None);
    }
}
