//! Makes the folder of a cluster, once, and later opens it unchanged.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::layout::{BorrowedFrom, Layout, Origin};
use super::{DevError, env_file, node_config};
use crate::cli::Output;
use crate::config::{Borrowed, render};
use crate::crypto::RootKey;
use crate::policy::Identity;
use crate::tls::{ApiKey, Authority};

const DEFAULT_PORT: u16 = 7373;
const DEFAULT_NODES: u16 = 3;
const DEFAULT_KEY_NAME: &str = "minio-default-key";

/// File mode of secrets, and of everything that leads to them.
const SECRET: u32 = 0o600;
/// File mode of what anyone may read.
const PUBLIC: u32 = 0o644;

/// The options of the command line. An option that is not given is as in the folder, or else the default.
pub struct DevOptions {
    /// The folder.
    pub dir: PathBuf,
    /// Port of the first node's API.
    pub port: Option<u16>,
    /// How many nodes.
    pub nodes: Option<u16>,
    /// The KES configuration to borrow from.
    pub config: Option<PathBuf>,
    /// Prints the warnings about that file.
    pub output: Output,
}

/// Opens the cluster in the folder, or makes it if the folder is missing or empty.
pub fn open_or_make(options: &DevOptions) -> Result<Layout, DevError> {
    let dir = std::path::absolute(&options.dir).map_err(file_error(&options.dir))?;
    let config = options.config.as_deref().map(fingerprint).transpose()?;
    match fs::read(Layout::origin_file(&dir)) {
        Ok(json) => open(dir, &json, options, config.as_ref()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(dir, options, config),
        Err(error) => Err(file_error(&Layout::origin_file(&dir))(error)),
    }
}

fn open(dir: PathBuf, json: &[u8], options: &DevOptions, config: Option<&BorrowedFrom>) -> Result<Layout, DevError> {
    let Ok(origin) = serde_json::from_slice::<Origin>(json) else { return Err(DevError::NotOurs(dir)) };
    let compare = |option, actual: String, wanted: String| {
        if actual == wanted { Ok(()) } else { Err(DevError::Differs { dir: dir.clone(), option, actual, wanted }) }
    };
    if let Some(port) = options.port {
        compare("--port", origin.port.to_string(), port.to_string())?;
    }
    if let Some(nodes) = options.nodes {
        compare("--nodes", origin.nodes.to_string(), nodes.to_string())?;
    }
    if let Some(wanted) = config {
        let actual = origin.config.as_ref().map_or_else(|| "(none)".to_owned(), shown);
        compare("--config", actual, shown(wanted))?;
    }
    Ok(Layout::new(dir, origin))
}

fn shown(from: &BorrowedFrom) -> String {
    format!("{} with content {}…", from.path.display(), &from.sha256[..8])
}

/// Writes everything into a folder beside it first, and renames that at the end. So half a cluster never exists.
fn make(dir: PathBuf, options: &DevOptions, config: Option<BorrowedFrom>) -> Result<Layout, DevError> {
    if fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(DevError::NotOurs(dir));
    }
    let borrowed = config.as_ref().map(|from| borrow(&from.path, options.output)).transpose()?;
    let origin = Origin {
        port: options.port.unwrap_or(DEFAULT_PORT),
        nodes: options.nodes.unwrap_or(DEFAULT_NODES),
        key_name: borrowed.as_ref().and_then(|b| b.keys.first().cloned()).unwrap_or(DEFAULT_KEY_NAME.to_owned()),
        config,
    };
    let layout = Layout::new(dir.clone(), origin);
    if !layout.fits_sockets() {
        return Err(DevError::TooDeep(dir));
    }
    let mut unfinished = dir.clone().into_os_string();
    unfinished.push(format!(".unfinished-{}", std::process::id()));
    let staging = layout.moved_to(unfinished.into());
    let written =
        write_all(&layout, &staging, borrowed).and_then(|()| fs::rename(staging.dir(), &dir).map_err(file_error(&dir)));
    if written.is_err() {
        let _ = fs::remove_dir_all(staging.dir());
    }
    written.map(|()| layout)
}

/// Writes the files of the cluster `layout` into the folder of `staging`.
fn write_all(layout: &Layout, staging: &Layout, borrowed: Option<Borrowed>) -> Result<(), DevError> {
    make_dir(staging.dir())?;
    let api = Authority::new("Keyraft development")?;
    write(&staging.ca(), PUBLIC, &api.certificate_pem)?;
    write(&staging.root_key(), SECRET, &RootKey::random().to_base64())?;
    let api_key = if borrowed.is_none() { Some(write_admin(staging)?) } else { None };
    write(&staging.environment(), SECRET, &env_file::render(layout, api_key.as_ref()))?;
    let admin = match &borrowed {
        Some(borrowed) => borrowed.admin,
        None => api_key.as_ref().map(ApiKey::identity),
    };
    let borrowed = borrowed.unwrap_or_else(node_config::nothing_borrowed);
    for number in layout.numbers() {
        write_certificate(staging, number, &api)?;
        write_config(layout, staging, number, admin, &borrowed)?;
    }
    let origin = serde_json::to_string_pretty(layout.origin()).expect("an origin is plain data");
    write(&Layout::origin_file(staging.dir()), PUBLIC, &origin)
}

/// Makes the admin's API key, and writes the certificate that belongs to it.
fn write_admin(staging: &Layout) -> Result<ApiKey, DevError> {
    let api_key = ApiKey::generate()?;
    let pem = api_key.certificate()?;
    write(&staging.admin_certificate(), PUBLIC, &pem.certificate_pem)?;
    write(&staging.admin_key(), SECRET, &pem.key_pem)?;
    Ok(api_key)
}

fn write_certificate(staging: &Layout, number: u16, api: &Authority) -> Result<(), DevError> {
    let (dir, name) = (staging.node_dir(number), staging.node_name(number));
    make_dir(&dir)?;
    make_dir(&staging.node_data(number))?;
    let issued = api.issue_api(&name)?;
    write(&dir.join("api.crt"), PUBLIC, &issued.certificate_pem)?;
    write(&dir.join("api.key"), SECRET, &issued.key_pem)
}

fn write_config(
    layout: &Layout,
    staging: &Layout,
    number: u16,
    admin: Option<Identity>,
    borrowed: &Borrowed,
) -> Result<(), DevError> {
    let config = node_config::of_node(layout, number, admin, borrowed);
    write(&staging.node_config(number), SECRET, &render(&config))
}

fn borrow(path: &Path, output: Output) -> Result<Borrowed, DevError> {
    let (mut borrowed, warnings) = Borrowed::load(path).map_err(DevError::Borrowed)?;
    // A node may run in another working directory, where a relative path would lead elsewhere.
    borrowed.ca = borrowed.ca.map(|ca| std::path::absolute(&ca).map_err(file_error(&ca))).transpose()?;
    for warning in warnings {
        output.warn_of(&warning);
    }
    Ok(borrowed)
}

fn fingerprint(path: &Path) -> Result<BorrowedFrom, DevError> {
    let unread = |source| DevError::Unread { path: path.to_owned(), source };
    let (absolute, bytes) = (std::path::absolute(path).map_err(unread)?, fs::read(path).map_err(unread)?);
    Ok(BorrowedFrom { path: absolute, sha256: hex::encode(Sha256::digest(bytes)) })
}

fn make_dir(path: &Path) -> Result<(), DevError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(file_error(path))
}

/// Writes a new file, and returns once it is on disk.
fn write(path: &Path, mode: u32, text: &str) -> Result<(), DevError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all())).map_err(file_error(path))
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> DevError + use<> {
    let path = path.to_owned();
    move |source| DevError::File { path, source }
}

#[cfg(test)]
mod tests;
