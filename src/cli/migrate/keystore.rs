//! Reads a KES file keystore: a folder in which each file is a key, with the key's name.

use std::fs::{self, DirEntry, File};
use std::io::{self, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::source::{KeySource, SourceKey, Unusable};
use super::stored_key;
use crate::cli::Error;
use crate::file::UnreadableFile;
use crate::policy::KeyName;

/// The largest file that is read. A stored key is far smaller.
const MAX_FILE: u64 = 64 << 10;

/// What an entry of the folder turned out to be.
enum FolderEntry {
    Key(SourceKey),
    Unusable { reason: String, is_suspect: bool },
}

/// Reads every key of the folder.
pub fn read(dir: &Path) -> Result<KeySource, Error> {
    let failed = |source: io::Error| Error::Unread(UnreadableFile::of_io(dir, source));
    let mut source = KeySource::default();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        match inspect(&entry, &name) {
            FolderEntry::Key(key) => source.keys.push(key),
            FolderEntry::Unusable { reason, is_suspect } => source.unusable.push(Unusable { name, reason, is_suspect }),
        }
    }
    source.keys.sort_by(|a, b| a.name.cmp(&b.name));
    source.unusable.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(source)
}

fn inspect(entry: &DirEntry, name: &str) -> FolderEntry {
    let not_a_key = |reason: &str| FolderEntry::Unusable { reason: reason.to_owned(), is_suspect: false };
    let suspect = |reason: String| FolderEntry::Unusable { reason, is_suspect: true };
    if name.starts_with('.') {
        return not_a_key("a hidden file, not a key");
    }
    match fs::metadata(entry.path()) {
        // A link counts as the file that it leads to. Reading a pipe might never end.
        Ok(metadata) if metadata.is_file() => {}
        Ok(metadata) if metadata.is_dir() => return not_a_key("a folder, not a key"),
        Ok(_) => return not_a_key("not a regular file"),
        Err(error) => return suspect(error.to_string()),
    }
    if let Err(error) = KeyName::parse(name) {
        return suspect(error.to_string());
    }
    match contents(&entry.path()) {
        Ok(bytes) => stored_key::decode(name, &bytes).map_or_else(|error| suspect(error.to_string()), FolderEntry::Key),
        Err(error) => suspect(error.to_string()),
    }
}

fn contents(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // The buffer has room for all of it, because one that grows leaves copies of a secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_FILE).unwrap_or_default()));
    let read = File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    if read as u64 == MAX_FILE {
        return Err(io::Error::other("too large for a key"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_the_folder_is_a_key_or_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let key = r#"{"bytes": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}"#;
        for (name, text) in [("b", key), ("a", key), ("not a name", key), ("broken", "!"), (".tmp", key)] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        fs::create_dir(folder.path().join("more")).unwrap();
        fs::write(folder.path().join("more/inside"), key).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            folder.path().join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        std::os::unix::fs::symlink(folder.path().join("a"), folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("astray")).unwrap();
        let source = read(folder.path()).unwrap();
        assert_eq!(source.keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["a", "b", "link"]);
        let unusable: Vec<_> = source.unusable.iter().map(|one| (one.name.as_str(), one.is_suspect)).collect();
        let expected = [
            (".tmp", false),
            ("astray", true),
            ("broken", true),
            ("more", false),
            ("not a name", true),
            ("pipe", false),
        ];
        assert_eq!(unusable, expected);
        assert!(matches!(read(&folder.path().join("none")), Err(Error::Unread(_))));
    }
}
