//! Reads whole files that a setting or an argument names. It never waits for a path that leads to something without an
//! end.

use std::fmt;
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_setfl, major, minor};
use rustix::termios::isatty;
use thiserror::Error;
use zeroize::Zeroizing;

/// The largest file that it reads: larger than any certificate, key or configuration.
pub const MAX_BYTES: u64 = 16 << 20;

/// Who names the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A setting. Keyraft reads the file again and again, so it must be a regular one.
    BySetting,
    /// An argument of a command. It may be a pipe or a terminal too, as in `keyraft check <(…)`.
    ByArgument,
}

/// A file that cannot be read. Its display names the file, the reason, and what to do.
#[derive(Debug, Error)]
#[error("cannot read {}{}: {why}{}", path.display(), looked_in(path), home_advice(path))]
pub struct UnreadableFile {
    /// The file.
    pub path: PathBuf,
    /// Why it cannot be read.
    #[source]
    pub why: UnreadableReason,
}

/// Why a file cannot be read.
#[derive(Debug, Error)]
pub enum UnreadableReason {
    /// The system refused to read it.
    #[error("{}{}", .0, advice(.0.kind()))]
    Io(#[from] io::Error),
    /// It is a link to a path that does not exist.
    #[error("it is a link to {}, which does not exist; correct the link", .0.display())]
    LeadsNowhere(PathBuf),
    /// It is not a regular file.
    #[error("it is {0}; name a regular file")]
    Kind(FileKind),
    /// It is a pipe that ended before the first byte.
    #[error("it is a pipe, and nothing was written into it; name a regular file")]
    EmptyPipe,
    /// It has more than [`MAX_BYTES`].
    #[error("it has more than {} MiB; name another file", MAX_BYTES >> 20)]
    TooLarge,
}

/// What a path can lead to in place of a regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A folder.
    Folder,
    /// A pipe, with or without a name.
    Pipe,
    /// A socket.
    Socket,
    /// A device, such as `/dev/zero`.
    Device,
}

/// Reads a whole file, and never waits for one that has no end. `/dev/null` is an empty file.
///
/// # Errors
/// The file does not exist, this process may not read it, or it is not a file.
pub fn read(path: &Path, named: Named) -> Result<Zeroizing<Vec<u8>>, UnreadableFile> {
    read_limited(path, named, MAX_BYTES).map_err(|why| UnreadableFile { path: path.to_owned(), why })
}

fn read_limited(path: &Path, named: Named, limit: u64) -> Result<Zeroizing<Vec<u8>>, UnreadableReason> {
    // Look before opening, because opening some devices has effects. This follows links, also those in `/dev/fd`.
    let found = path.metadata().map_err(|error| not_found(path, error))?;
    check_kind(&found, named)?;
    // Without this flag, `open` would wait for a writer of a pipe.
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let opened = file.metadata()?;
    check_kind(&opened, named)?;
    if is_null(&opened) {
        return Ok(Zeroizing::default());
    }
    let is_pipe = opened.file_type().is_fifo();
    if opened.file_type().is_char_device() && !isatty(&file) {
        return Err(UnreadableReason::Kind(FileKind::Device));
    }
    if !opened.is_file() {
        fcntl_setfl(&file, OFlags::empty()).map_err(io::Error::from)?;
    }
    let content = up_to(file, opened.len(), limit)?;
    if is_pipe && content.is_empty() { Err(UnreadableReason::EmptyPipe) } else { Ok(content) }
}

fn up_to(file: File, expected: u64, limit: u64) -> Result<Zeroizing<Vec<u8>>, UnreadableReason> {
    let room = usize::try_from(expected.min(limit)).unwrap_or_default().saturating_add(1);
    // Allocate once: a vector that grows leaves copies of a secret behind.
    let mut content = Zeroizing::new(Vec::with_capacity(room));
    file.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > limit { Err(UnreadableReason::TooLarge) } else { Ok(content) }
}

fn not_found(path: &Path, error: io::Error) -> UnreadableReason {
    match path.read_link() {
        Ok(target) if error.kind() == io::ErrorKind::NotFound => UnreadableReason::LeadsNowhere(target),
        _ => UnreadableReason::Io(error),
    }
}

fn check_kind(found: &Metadata, named: Named) -> Result<(), UnreadableReason> {
    let Some(kind) = FileKind::of(found.file_type()) else { return Ok(()) };
    let may_be_read = match kind {
        FileKind::Folder | FileKind::Socket => false,
        // A terminal is a device, and only an open one shows whether it is a terminal.
        FileKind::Pipe => named == Named::ByArgument,
        FileKind::Device => is_null(found) || (named == Named::ByArgument && found.file_type().is_char_device()),
    };
    if may_be_read { Ok(()) } else { Err(UnreadableReason::Kind(kind)) }
}

impl FileKind {
    /// Returns the kind, if it is not a regular file.
    fn of(file_type: FileType) -> Option<Self> {
        if file_type.is_dir() {
            Some(Self::Folder)
        } else if file_type.is_fifo() {
            Some(Self::Pipe)
        } else if file_type.is_socket() {
            Some(Self::Socket)
        } else if file_type.is_file() {
            None
        } else {
            Some(Self::Device)
        }
    }
}

/// Whether it is `/dev/null`, by the numbers of that device in Linux.
fn is_null(found: &Metadata) -> bool {
    let device = found.rdev();
    found.file_type().is_char_device() && (major(device), minor(device)) == (1, 3)
}

impl UnreadableFile {
    /// The system refused to read the file.
    pub fn of_io(path: &Path, error: io::Error) -> Self {
        Self { path: path.to_owned(), why: UnreadableReason::Io(error) }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "a folder",
            Self::Pipe => "a pipe",
            Self::Socket => "a socket",
            Self::Device => "a device",
        })
    }
}

fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound => "; put the file there, or correct the path",
        io::ErrorKind::PermissionDenied => "; let the user of this process read it, and enter the folders above it",
        io::ErrorKind::NotADirectory => "; correct the path",
        _ => "",
    }
}

/// Says where the process looked for a relative path.
fn looked_in(path: &Path) -> String {
    let folder = path.is_relative().then(|| std::env::current_dir().ok()).flatten();
    folder.map(|folder| format!(" in the working directory {}", folder.display())).unwrap_or_default()
}

fn home_advice(path: &Path) -> &'static str {
    if path.starts_with("~") {
        "; only a shell replaces `~`, so write the whole path, or begin it with ${HOME}"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::{Command, Stdio};

    use super::*;

    const BOTH: [Named; 2] = [Named::BySetting, Named::ByArgument];

    fn says(path: &Path, named: Named) -> String {
        read(path, named).expect_err("it cannot be read").to_string()
    }

    #[test]
    fn a_regular_file_is_read_also_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&path, "content").unwrap();
        symlink("file", &link).unwrap();
        for named in BOTH {
            assert_eq!(**read(&path, named).unwrap(), *b"content");
            assert_eq!(**read(&link, named).unwrap(), *b"content");
            assert!(read(Path::new("/dev/null"), named).unwrap().is_empty());
        }
    }

    #[test]
    fn reading_never_waits_for_a_file_without_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, socket) = (folder.path().join("pipe"), folder.path().join("socket"));
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        for named in BOTH {
            assert!(says(folder.path(), named).ends_with(": it is a folder; name a regular file"));
            assert!(says(&socket, named).ends_with(": it is a socket; name a regular file"));
            for device in ["/dev/zero", "/dev/urandom", "/dev/full"] {
                assert!(says(Path::new(device), named).ends_with(": it is a device; name a regular file"), "{device}");
            }
        }
        assert!(says(&pipe, Named::BySetting).ends_with(": it is a pipe; name a regular file"));
        assert!(says(&pipe, Named::ByArgument).ends_with("nothing was written into it; name a regular file"));
    }

    #[test]
    fn an_argument_may_be_a_pipe_that_is_written_slowly() {
        let mut writer = Command::new("sh");
        writer.args(["-c", "sleep 0.1; printf one; sleep 0.1; printf two"]).stdout(Stdio::piped());
        let mut writer = writer.spawn().unwrap();
        let pipe = writer.stdout.take().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&pipe));
        assert_eq!(**read(Path::new(&path), Named::ByArgument).unwrap(), *b"onetwo");
        writer.wait().unwrap();
    }

    #[test]
    fn the_error_for_a_missing_or_endless_file_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        let missing = says(&path, Named::BySetting);
        assert!(missing.contains("No such file") && missing.ends_with("put the file there, or correct the path"));
        symlink("/nowhere", &link).unwrap();
        assert!(
            says(&link, Named::BySetting).ends_with("it is a link to /nowhere, which does not exist; correct the link")
        );
        let relative = says(Path::new("no.such.file"), Named::BySetting);
        assert!(relative.starts_with("cannot read no.such.file in the working directory /"), "{relative}");
        let tilde = says(Path::new("~/root.key"), Named::BySetting);
        assert!(
            tilde.ends_with("; only a shell replaces `~`, so write the whole path, or begin it with ${HOME}"),
            "{tilde}"
        );
        std::fs::write(&path, "12345").unwrap();
        assert!(read_limited(&path, Named::BySetting, 5).is_ok());
        let large = read_limited(&path, Named::BySetting, 4).expect_err("one byte more than the limit");
        assert!(large.to_string().starts_with("it has more than "), "{large}");
    }
}
