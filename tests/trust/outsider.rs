//! A process outside of the cluster, in a data folder that somebody took from a node.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use tempfile::TempDir;

use crate::support::processes::{Processes, free_ports};
use crate::support::status;

/// The process. Dropping this ends it.
pub struct Outsider {
    child: Option<Child>,
    data: PathBuf,
    folder: TempDir,
}

impl Outsider {
    /// Starts the binary with the configuration of a node, but on addresses of its own, in this data folder, and with a root
    /// key file of this content. With `None`, the file is missing.
    pub fn start(processes: &Processes, number: usize, data: &Path, root_key: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (config, seal) = (folder.path().join("config.yml"), folder.path().join("root.key"));
        if let Some(root_key) = root_key {
            fs::write(&seal, root_key).expect("the folder is writable");
        }
        let text = fs::read_to_string(processes.config_file(number)).expect("the file is there");
        let port = free_ports(1);
        let own = |line: &str| match line.trim_start().split(':').next() {
            Some("address") => format!("address: \"127.0.0.1:{port}\""),
            Some("listen") => format!("  listen: \"127.0.0.1:{}\"", port + 100),
            Some("data") => format!("  data: \"{}\"", data.display()),
            Some("file") => format!("  file: \"{}\"", seal.display()),
            _ => line.to_owned(),
        };
        fs::write(&config, text.lines().map(own).collect::<Vec<_>>().join("\n")).expect("the folder is writable");
        let log = OpenOptions::new().append(true).create(true).open(folder.path().join("log")).expect("a log");
        let same = log.try_clone().expect("a file can be shared");
        let mut server = Command::new(env!("CARGO_BIN_EXE_keyraft"));
        server.args(["server", "--config"]).arg(config).stdout(log).stderr(same);
        Self { child: Some(server.spawn().expect("the binary runs")), data: data.to_owned(), folder }
    }

    /// Its data folder, in which it answers on its local socket.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits until it has logged a line with all of these words.
    pub async fn wait_for_log(&self, words: &[&str]) {
        let has = async || has_line(&self.log(), words).then_some(());
        status::wait_for(&format!("the outsider to log {words:?}"), &[], has).await;
    }

    /// Waits until it ends by itself. Returns whether it ended well.
    pub async fn ended(&mut self) -> bool {
        let mut child = self.child.take().expect("it runs");
        tokio::task::spawn_blocking(move || child.wait().expect("it is ours").success()).await.expect("waiting goes on")
    }
}

/// Whether a log has a line with all of these words.
pub fn has_line(log: &str, words: &[&str]) -> bool {
    log.lines().any(|line| words.iter().all(|word| line.contains(word)))
}

impl Drop for Outsider {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            println!("the outsider:\n{}", self.log());
        }
    }
}
