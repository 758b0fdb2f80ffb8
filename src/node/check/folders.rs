//! The data folder and the audit file: whether they can be used, and whether there is room.

use std::io;
use std::path::Path;

use rustix::fs::{Access, access, statvfs};

use super::Report;
use crate::config::{Config, SyslogAddress};

/// With less room than this a node cannot work.
const LEAST_ROOM: u64 = 64 << 20;
/// With less room than this, and what the log may take, it will not work for long.
const LITTLE_ROOM: u64 = 1 << 30;

/// Checks the folders and files that the node writes.
pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    let data = &config.cluster.data;
    if let Err(error) = usable_folder(data) {
        report.problem("cluster.data", format!("{} cannot be used: {error}", data.display()));
    }
    room(config, report);
    if let Some(file) = &config.audit.file
        && let Err(error) = usable_file(&file.path)
    {
        report.problem("audit.file.path", format!("{} cannot be written: {error}", file.path.display()));
    }
    if let Some(syslog) = &config.audit.syslog
        && let SyslogAddress::Unix(path) = &syslog.address
        && !path.exists()
    {
        let message = format!("{} does not exist: is a syslog server running?", path.display());
        report_sink(config, report, &message);
    }
}

/// A sink that takes no records keeps the node from serving only where records are required.
pub(super) fn report_sink(config: &Config, report: &mut Report<'_>, message: &str) {
    if config.audit.required {
        report.problem("audit.syslog.address", message);
    } else {
        report.warn("audit.syslog.address", message);
    }
}

/// Whether this user can work in the folder, or make it.
fn usable_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?);
    }
    // Nothing but a folder may stand there, not even a link to nothing.
    if folder.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let above = nearest(folder);
    if !above.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(access(above, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Whether this user can append to the file, or make it.
fn usable_file(file: &Path) -> io::Result<()> {
    if file.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if file.exists() {
        return Ok(access(file, Access::READ_OK | Access::WRITE_OK)?);
    }
    Ok(access(parent(file), Access::WRITE_OK | Access::EXEC_OK)?)
}

/// The nearest folder above that exists.
fn nearest(folder: &Path) -> &Path {
    let above = parent(folder);
    if above.exists() || above == folder { above } else { nearest(above) }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

fn room(config: &Config, report: &mut Report<'_>) {
    let data = &config.cluster.data;
    let place = if data.exists() { data } else { nearest(data) };
    let Ok(system) = statvfs(place) else { return };
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    let little = LITTLE_ROOM.saturating_add(config.cluster.snapshot.log_bytes.saturating_mul(2));
    let message = format!("the file system of {} has {} MiB left", data.display(), free >> 20);
    if free < LEAST_ROOM {
        report.problem("cluster.data", format!("{message}, and a node needs {} MiB at least", LEAST_ROOM >> 20));
    } else if free < little {
        report.warn("cluster.data", format!("{message}: make room, or choose another place for the data"));
    }
}
