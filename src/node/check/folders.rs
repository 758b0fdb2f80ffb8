//! Checks that the node can use its data folder and its audit file, and that the disk has room.

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use rustix::fs::{Access, access};

use super::report::CheckReport;
use crate::config::{Config, SyslogAddress};
use crate::disk::{DiskSpace, disk_space};
use crate::node::error::unusable;
use crate::telemetry::check_audit_file;

/// A node cannot work with less room than this.
const LEAST_ROOM: u64 = 64 << 20;
/// The check warns if there is less room than this plus what the log may take.
const LITTLE_ROOM: u64 = 1 << 30;

/// Checks the folders and files that the node writes.
pub(super) fn check(config: &Config, report: &mut CheckReport<'_>) {
    let data = &config.cluster.data;
    if let Err(error) = usable_folder(data) {
        report.problem("cluster.data", unusable(data, &error));
    }
    room(config, report);
    if let Some(file) = &config.audit.file
        && let Err(error) = check_audit_file(&file.path)
    {
        report.problem("audit.file.path", unusable(&file.path, &error));
    }
    if let Some(syslog) = &config.audit.syslog
        && let SyslogAddress::Unix(path) = &syslog.address
        && let Err(why) = is_syslog(path)
    {
        report_sink(config, report, &format!("{} {why}", path.display()));
    }
}

/// Reports a sink that cannot take records. It keeps the node from serving only with `audit.required`.
pub(super) fn report_sink(config: &Config, report: &mut CheckReport<'_>, message: &str) {
    if config.audit.required {
        report.problem("audit.syslog.address", message);
    } else {
        report.warn("audit.syslog.address", message);
    }
}

/// Checks that this user can work in the folder, or create it.
fn usable_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?);
    }
    // Only a folder may stand there, not even a link that leads nowhere.
    if folder.symlink_metadata().is_ok() {
        folder
            .metadata()
            .map_err(|error| io::Error::new(error.kind(), "it is a link to a folder that does not exist"))?;
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let above = nearest(folder);
    if !above.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(access(above, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Checks that a syslog server may listen there. Otherwise says what stands there.
fn is_syslog(path: &Path) -> Result<(), &'static str> {
    match path.metadata() {
        Ok(found) if found.file_type().is_socket() => Ok(()),
        Ok(_) => Err("is not a socket: name the socket of the syslog server, such as /dev/log"),
        Err(_) => Err("does not exist: start the syslog server, or name its socket"),
    }
}

/// Returns the nearest existing folder above.
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

fn room(config: &Config, report: &mut CheckReport<'_>) {
    let data = &config.cluster.data;
    let place = if data.exists() { data } else { nearest(data) };
    let Ok(DiskSpace { free, size }) = disk_space(place) else { return };
    let low = config.cluster.storage.on_disk_of(size).low;
    let little = LITTLE_ROOM.saturating_add(config.cluster.snapshot.log_bytes.saturating_mul(2));
    let message = format!("the file system of {} has {} MiB left", data.display(), free >> 20);
    if free < LEAST_ROOM {
        report.problem(
            "cluster.data",
            format!("{message}, and a node needs {} MiB at least: make room", LEAST_ROOM >> 20),
        );
    } else if free < low {
        let low = low >> 20;
        report.warn("storage.low", format!("{message}, less than {low} MiB: the node would say that it lacks room"));
    } else if free < little {
        report.warn("cluster.data", format!("{message}: make room, or choose another place for the data"));
    }
}
