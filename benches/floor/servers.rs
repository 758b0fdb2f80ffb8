//! The two servers to compare: the floor, and one Keyraft node.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keyraft::client::{ApiClient, Endpoint};
use keyraft::tls::{Alpn, ClientTls, Credentials, Trust};

use super::{FLOOR_FILES, Options};

/// How long a node may take until it serves.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How far the peer port of a node of `keyraft dev` is above its API port.
const PEER_PORT_OFFSET: u16 = 100;

type Failure = Box<dyn std::error::Error>;

/// Both servers. They end when this value is dropped.
pub struct Servers {
    /// The server without logic.
    pub floor: Server,
    /// The Keyraft node.
    pub keyraft: Server,
    _folder: Folder,
}

/// A server under load.
pub struct Server {
    /// Its name in the table.
    pub name: &'static str,
    /// Its host and port.
    pub endpoint: Endpoint,
    /// Its process id.
    pub pid: u32,
    /// The client certificate to show.
    pub credentials: Credentials,
    /// The CA of its certificate.
    pub trust: Trust,
    _process: Option<Process>,
}

/// Starts the floor, and a node unless the options name a running one.
pub async fn start(options: &Options) -> Result<Servers, Failure> {
    let folder = Folder(std::env::temp_dir().join(format!("keyraft-floor-{}", std::process::id())));
    let port = free_port()?;
    prepare(&folder.0, port)?;
    let floor = start_floor(&folder.0)?;
    let keyraft = match named(options)? {
        Some(server) => server,
        None => start_node(&folder.0, port).await?,
    };
    Ok(Servers { floor, keyraft, _folder: folder })
}

fn named(options: &Options) -> Result<Option<Server>, Failure> {
    let (Some(url), Some(ca), Some(certificate), Some(key), Some(pid)) =
        (&options.url, &options.ca, &options.cert, &options.key, options.pid)
    else {
        return Ok(None);
    };
    let credentials = Credentials::Files { certificate: certificate.clone(), key: key.clone() };
    let (endpoint, trust) = (url.parse()?, Trust::Ca(ca.clone()));
    Ok(Some(Server { name: "Keyraft", endpoint, pid, credentials, trust, _process: None }))
}

fn prepare(dir: &Path, port: u16) -> Result<(), Failure> {
    let made = keyraft()
        .args(["dev", "--prepare", "--nodes", "1", "--port", &port.to_string(), "--dir"])
        .arg(dir)
        .stdout(Stdio::null())
        .status()?;
    if made.success() { Ok(()) } else { Err("keyraft dev --prepare failed".into()) }
}

fn start_floor(dir: &Path) -> Result<Server, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut process = Process(command.env(FLOOR_FILES, dir.join("node-1")).stdout(Stdio::piped()).spawn()?);
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().ok_or("the floor has no output")?).read_line(&mut line)?;
    Ok(local("floor", line.trim().parse()?, dir, process))
}

async fn start_node(dir: &Path, port: u16) -> Result<Server, Failure> {
    let process = Process(keyraft().args(["server", "--config"]).arg(dir.join("node-1/config.yml")).spawn()?);
    let mut server = local("Keyraft", port, dir, process);
    let tls = ClientTls::new(&server.credentials, &server.trust, Alpn::Either)?;
    let client = ApiClient::new(vec![server.endpoint.clone()], tls);
    let deadline = Instant::now() + START_TIMEOUT;
    while let Err(error) = client.ready().await {
        let ended = server._process.as_mut().and_then(|process| process.0.try_wait().ok().flatten());
        if ended.is_some() || Instant::now() > deadline {
            return Err(format!("the node does not serve: {error}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(server)
}

fn local(name: &'static str, port: u16, dir: &Path, process: Process) -> Server {
    Server {
        name,
        endpoint: Endpoint { host: "127.0.0.1".to_owned(), port },
        pid: process.0.id(),
        credentials: Credentials::Files { certificate: dir.join("admin.crt"), key: dir.join("admin.key") },
        trust: Trust::Ca(dir.join("ca.crt")),
        _process: Some(process),
    }
}

fn keyraft() -> Command {
    Command::new(env!("CARGO_BIN_EXE_keyraft"))
}

/// A free port whose peer port is free too.
fn free_port() -> Result<u16, Failure> {
    for _ in 0..100 {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let peer = port.checked_add(PEER_PORT_OFFSET).filter(|_| port <= 65_000);
        if peer.is_some_and(|peer| TcpListener::bind(("127.0.0.1", peer)).is_ok()) {
            return Ok(port);
        }
    }
    Err("no two free ports found".into())
}

/// A process, which is killed when this value is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder, which is deleted when this value is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
