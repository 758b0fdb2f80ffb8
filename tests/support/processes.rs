//! A cluster of node processes: the built binary, in a folder that `keyraft dev --prepare` made.

use std::fs::{self, File, OpenOptions};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;

use futures::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

use super::api_key::ApiKey;
use super::connection::{Client, Endpoint};
use super::status;
use super::user::User;

const KEYRAFT: &str = env!("CARGO_BIN_EXE_keyraft");
/// `dev` puts peer ports this far above API ports.
const PEER_PORTS: u16 = 100;

/// The settings of every node, in place of those that `dev` writes. A loaded machine must hold no false elections, and
/// snapshots come early.
const SETTINGS: [(&str, &str); 6] = [
    ("heartbeat:", "100ms"),
    ("election_min:", "400ms"),
    ("election_max:", "800ms"),
    ("log_bytes:", "65536"),
    ("keep_entries:", "50"),
    ("checkpoint_every:", "500ms"),
];

/// The processes. One that does not run is `None`. Dropping this ends them all.
pub struct Processes {
    binary: PathBuf,
    nodes: Vec<Option<Child>>,
    port: u16,
    folder: TempDir,
}

impl Processes {
    /// Prepares three nodes and starts them.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Prepares and starts three nodes with further settings: the beginning of each line, and its value.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_in(&std::env::temp_dir(), &[&SETTINGS[..], settings].concat()).await
    }

    /// Prepares and starts three nodes below a folder, with exactly these settings in place of those that `dev` writes.
    pub async fn start_in(dir: &Path, settings: &[(&str, &str)]) -> Self {
        let mut processes = Self::prepare_in(dir, KEYRAFT.into(), settings);
        processes.start_all().await;
        processes
    }

    /// Prepares three nodes, and does not start them.
    pub fn prepare() -> Self {
        Self::prepare_with(Path::new(KEYRAFT))
    }

    /// Prepares three nodes that run another binary, and does not start them.
    pub fn prepare_with(binary: &Path) -> Self {
        Self::prepare_in(&std::env::temp_dir(), binary.to_owned(), &SETTINGS)
    }

    fn prepare_in(dir: &Path, binary: PathBuf, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir_in(dir).expect("a folder can be made");
        let processes = Self { binary, nodes: vec![None, None, None], port: free_ports(3), folder };
        let mut dev = Command::new(&processes.binary);
        dev.args(["dev", "--prepare", "--dir"]).arg(processes.dir()).args(["--port", &processes.port.to_string()]);
        let output = dev.output().expect("the binary runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for number in 0..3 {
            processes.adjust(number, settings);
        }
        processes
    }

    /// Starts each node that does not run, and waits until all serve.
    pub async fn start_all(&mut self) {
        self.begin_all();
        let data: Vec<_> = self.data_folders();
        join_all(data.iter().map(|data| status::wait_for_state(data, "serving"))).await;
    }

    /// Starts each node that does not run, and does not wait until they serve.
    pub fn begin_all(&mut self) {
        for number in 0..self.nodes.len() {
            if self.nodes[number].is_none() {
                self.begin(number);
            }
        }
    }

    /// Starts a node and does not wait until it serves.
    pub fn begin(&mut self, number: usize) {
        self.spawn(number, Command::new(&self.binary));
    }

    /// Starts a node that may open this many files, and does not wait until it serves.
    pub fn begin_with_files(&mut self, number: usize, files: usize) {
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")]).arg(&self.binary);
        self.spawn(number, limited);
    }

    /// Starts a node with further flags.
    pub fn begin_with_flags(&mut self, number: usize, flags: &str) {
        let mut flagged = Command::new("sh");
        flagged.args(["-c", &format!("exec \"$0\" \"$@\" {flags}")]).arg(&self.binary);
        self.spawn(number, flagged);
    }

    /// Starts a node with a variable in its environment.
    pub fn begin_with_variable(&mut self, number: usize, name: &str, value: &str) {
        let mut server = Command::new(&self.binary);
        server.env(name, value);
        self.spawn(number, server);
    }

    /// Whether a node that was started has ended by itself.
    pub fn has_ended(&mut self, number: usize) -> bool {
        let node = self.nodes[number].as_mut().expect("the node was started");
        node.try_wait().expect("the node is ours").is_some()
    }

    fn spawn(&mut self, number: usize, mut server: Command) {
        let log = OpenOptions::new().append(true).create(true).open(self.log_file(number)).expect("a log can be made");
        let same: File = log.try_clone().expect("a file can be shared");
        server.args(["server", "--config"]).arg(self.config_file(number)).stdout(log).stderr(same);
        self.nodes[number] = Some(server.spawn().expect("the binary runs"));
    }

    /// Kills a node.
    pub fn kill(&mut self, number: usize) {
        let mut node = self.nodes[number].take().expect("the node runs");
        node.kill().expect("the node is ours");
        let status = node.wait().expect("the node is ours");
        assert_eq!(status.signal(), Some(9), "node {number} had ended before: {status}\n{}", self.log(number));
    }

    /// Ends a node that may have ended by itself.
    pub fn end(&mut self, number: usize) {
        let mut node = self.nodes[number].take().expect("the node was started");
        // The node may have ended by itself, and then this fails.
        let _ = node.kill();
        node.wait().expect("the node is ours");
    }

    /// Ends a node if it runs.
    pub fn end_if_running(&mut self, number: usize) {
        if self.nodes[number].is_some() {
            self.end(number);
        }
    }

    /// Stops a node as SIGTERM does, and waits until it has ended.
    pub async fn stop(&mut self, number: usize) {
        self.signal(number, Signal::TERM);
        let status = self.ended(number).await;
        assert!(status.success(), "node {number} did not stop cleanly: {status}\n{}", self.log(number));
    }

    /// Pauses a node, and waits until it has stopped.
    pub async fn pause(&self, number: usize) {
        self.signal(number, Signal::STOP);
        let stat = format!("/proc/{}/stat", self.id(number));
        let paused = async || fs::read_to_string(&stat).ok()?.rsplit(')').next()?.starts_with(" T").then_some(());
        status::wait_for("a pause", &[], paused).await;
    }

    /// Lets a paused node go on.
    pub fn go_on(&self, number: usize) {
        self.signal(number, Signal::CONT);
    }

    /// Sends a node a signal.
    pub fn signal(&self, number: usize, signal: Signal) {
        let pid = i32::try_from(self.id(number)).ok().and_then(Pid::from_raw).expect("a process has an id");
        kill_process(pid, signal).expect("the node is ours");
    }

    /// Waits until a node ends by itself. Returns how.
    pub async fn ended(&mut self, number: usize) -> ExitStatus {
        let mut node = self.nodes[number].take().expect("the node runs");
        tokio::task::spawn_blocking(move || node.wait().expect("the node is ours")).await.expect("waiting goes on")
    }

    /// The number of the leader, once all nodes agree on it.
    pub async fn leader(&self) -> usize {
        let data = self.data_folders();
        let agreed = async || {
            let seen = status::of_all(&data).await.ok()?;
            let leader = seen.first()?["leader"].as_u64()?;
            seen.iter().all(|status| status["leader"] == leader).then_some(leader)
        };
        let id = status::wait_for("a leader", &data, agreed).await;
        usize::try_from(id).expect("ids are small") - 1
    }

    /// The address of a node's API.
    pub fn api_address(&self, number: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port + number))
    }

    /// The address of a node's peer port.
    pub fn peer_address(&self, number: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port + number + PEER_PORTS))
    }

    /// The id of a node's process.
    pub fn id(&self, number: usize) -> u32 {
        self.nodes[number].as_ref().expect("the node runs").id()
    }

    /// The admin as a client of all nodes.
    pub fn admin(&self) -> User {
        let env = fs::read_to_string(self.dir().join("env")).expect("`dev` writes it");
        let key = env.lines().find_map(|line| line.strip_prefix("export MINIO_KES_API_KEY="));
        let client =
            Client::new(Some(ApiKey::parse(key.expect("`dev` makes an admin").trim_matches('\'')).credential()));
        self.user(client)
    }

    /// A client of all nodes with this certificate.
    pub fn user(&self, client: Client) -> User {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.dir().join("ca.crt")).expect("`dev` writes it");
        roots.add(ca).expect("it is an authority");
        let roots = Arc::new(roots);
        let ports = (self.port..).take(self.nodes.len());
        let endpoints =
            ports.map(|port| Endpoint { address: ([127, 0, 0, 1], port).into(), roots: Arc::clone(&roots) });
        User::new(client, endpoints.collect())
    }

    /// The log of a node.
    pub fn log(&self, number: usize) -> String {
        fs::read_to_string(self.log_file(number)).unwrap_or_default()
    }

    /// Whether a node has logged a line with all of these words.
    pub fn has_logged(&self, number: usize, words: &[&str]) -> bool {
        self.log(number).lines().any(|line| words.iter().all(|word| line.contains(word)))
    }

    /// Waits until a node has logged a line with all of these words.
    pub async fn wait_for_log(&self, number: usize, words: &[&str]) {
        let has = async || self.has_logged(number, words).then_some(());
        status::wait_for(&format!("node {number} to log {words:?}"), &[], has).await;
    }

    /// The file of the root key, which all nodes read.
    pub fn root_key(&self) -> PathBuf {
        self.dir().join("root.key")
    }

    /// Replaces a text in the configuration file of a node.
    pub fn replace_in_config(&self, number: usize, text: &str, by: &str) {
        let path = self.config_file(number);
        let config = fs::read_to_string(&path).expect("`dev` writes it");
        assert!(config.contains(text), "no {text} in\n{config}");
        fs::write(path, config.replace(text, by)).expect("the folder is writable");
    }

    /// A node's data folder.
    pub fn data(&self, number: usize) -> PathBuf {
        self.node_dir(number).join("data")
    }

    /// A node's configuration file.
    pub fn config_file(&self, number: usize) -> PathBuf {
        self.node_dir(number).join("config.yml")
    }

    /// The data folders of all nodes.
    pub fn data_folders(&self) -> Vec<PathBuf> {
        (0..self.nodes.len()).map(|number| self.data(number)).collect()
    }

    fn adjust(&self, number: usize, settings: &[(&str, &str)]) {
        let path = self.config_file(number);
        let text = fs::read_to_string(&path).expect("`dev` writes it");
        let mut adjusted = 0;
        let lines = text.lines().map(|line| {
            let rest = line.trim_start();
            let setting = settings.iter().find(|(name, _)| rest.starts_with(name));
            setting.map_or_else(
                || line.to_owned(),
                |(name, value)| {
                    adjusted += 1;
                    let name = name.split(':').next().unwrap_or(name);
                    format!("{}{name}: {value}", &line[..line.len() - rest.len()])
                },
            )
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        assert_eq!(adjusted, settings.len(), "`dev` writes every setting once:\n{text}");
        fs::write(path, text).expect("the folder is writable");
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("dev")
    }

    fn node_dir(&self, number: usize) -> PathBuf {
        self.dir().join(format!("node-{}", number + 1))
    }

    fn log_file(&self, number: usize) -> PathBuf {
        self.node_dir(number).join("keyraft.log")
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for (number, node) in self.nodes.iter_mut().enumerate() {
            if let Some(mut node) = node.take() {
                // The node may have ended by itself.
                let _ = node.kill();
                let _ = node.wait();
            }
            if std::thread::panicking() {
                let log = self.folder.path().join(format!("dev/node-{}/keyraft.log", number + 1));
                println!("{}:\n{}", log.display(), fs::read_to_string(&log).unwrap_or_default());
            }
        }
    }
}

/// The first of `count` consecutive free ports, whose peer ports are free, too. They lie below the range of outgoing
/// connections, which could otherwise take them, and apart from the ports of clusters in one process.
pub fn free_ports(count: u16) -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let free = |port: u16| TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).is_ok();
    loop {
        let offset = u32::from(NEXT.fetch_add(count, Ordering::Relaxed)) + std::process::id().wrapping_mul(16);
        let first = 10_000 + u16::try_from(offset % 9_000).expect("below 9,000");
        if (first..first + count).all(|port| free(port) && free(port + PEER_PORTS)) {
            return first;
        }
    }
}
