//! The nodes' processes: starts them together, watches them, and drains them when the user stops the command.

mod log_tail;
mod ports;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::DevError;
use super::layout::Layout;
use crate::cli::Output;
use crate::cli::escape::quoted;
use crate::client::local_cluster_status;

/// How long all nodes together may take until they serve. Replaying a full log takes less.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the nodes may take to stop: a little more than their own drain timeout.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(50);

/// Running nodes.
pub struct Nodes {
    layout: Layout,
    /// Process ids of the running nodes, by node number. Ids of ended nodes are removed, because the system reuses them.
    running: BTreeMap<u16, u32>,
    /// One task for each node, which waits for the process to end.
    ends: JoinSet<(u16, ExitStatus)>,
    stop: StopSignals,
    output: Output,
}

/// Starts every node and waits until each serves.
pub async fn start(layout: &Layout, output: Output) -> Result<Nodes, DevError> {
    let taken = ports::taken(layout);
    if !taken.is_empty() {
        return Err(DevError::PortsTaken(taken));
    }
    let stop = StopSignals::new().map_err(DevError::Spawn)?;
    let mut nodes = Nodes { layout: layout.clone(), running: BTreeMap::new(), ends: JoinSet::new(), stop, output };
    let outcome = nodes.spawn_all().await;
    if outcome.is_err() {
        nodes.drain().await;
    }
    outcome.map(|()| nodes)
}

impl Nodes {
    /// The process ids of the running nodes, in the nodes' order.
    pub fn pids(&self) -> Vec<u32> {
        self.running.values().copied().collect()
    }

    /// Reports nodes that end by themselves, and drains the rest on Ctrl-C, SIGTERM or a closed terminal.
    pub async fn watch_until_stopped(&mut self) -> Result<(), DevError> {
        loop {
            tokio::select! {
                () = self.stop.received() => break,
                ended = self.ends.join_next() => match ended {
                    Some(Ok((number, status))) => self.report_end(number, status),
                    Some(Err(_)) => {}
                    None => return Err(DevError::AllEnded),
                },
            }
        }
        self.output.note("Draining the nodes. Press Ctrl-C again to kill them.");
        self.drain().await;
        Ok(())
    }

    async fn spawn_all(&mut self) -> Result<(), DevError> {
        for number in self.layout.numbers() {
            let mut child = spawn(&self.layout, number)?;
            self.running.extend(child.id().map(|id| (number, id)));
            self.ends.spawn(async move { (number, child.wait().await.unwrap_or_default()) });
        }
        let layout = self.layout.clone();
        tokio::select! {
            served = all_serve(&layout) => served,
            () = self.stop.received() => Err(DevError::Interrupted),
            Some(Ok((number, status))) = self.ends.join_next() => {
                self.running.remove(&number);
                let (node, log) = (layout.node_name(number), log_tail::tail(&layout.node_log(number)));
                Err(DevError::EndedEarly { node, status: status.to_string(), log })
            }
        }
    }

    fn report_end(&mut self, number: u16, status: ExitStatus) {
        self.running.remove(&number);
        let (node, file) = (self.layout.node_name(number), self.layout.node_log(number));
        let (end, config) = (log_tail::tail(&file), self.layout.node_config(number).display().to_string());
        self.output.warn(&format!(
            "{node} ended ({status}). The last lines of {}:\n{end}\nTo start it again: keyraft server --config {}",
            file.display(),
            quoted(&config)
        ));
    }

    /// Asks all nodes to stop and waits. After the timeout or a second Ctrl-C it kills those that still run.
    async fn drain(&mut self) {
        self.signal_all(Signal::TERM);
        let ended = all_ended(&mut self.ends, &mut self.running);
        let outcome = tokio::select! {
            outcome = timeout(STOP_TIMEOUT, ended) => outcome.is_ok(),
            () = self.stop.received() => false,
        };
        if !outcome {
            let left: Vec<_> = self.running.keys().map(|number| self.layout.node_name(*number)).collect();
            self.output.warn(&format!("killing the nodes that still run: {}", left.join(", ")));
            self.signal_all(Signal::KILL);
            all_ended(&mut self.ends, &mut self.running).await;
        }
    }

    fn signal_all(&self, signal: Signal) {
        let ids = self.running.values().filter_map(|id| i32::try_from(*id).ok().and_then(Pid::from_raw));
        for id in ids {
            // The only possible error is that the process has just ended, and then nothing is left to do.
            let _ = kill_process(id, signal);
        }
    }
}

async fn all_ended(ends: &mut JoinSet<(u16, ExitStatus)>, running: &mut BTreeMap<u16, u32>) {
    while let Some(ended) = ends.join_next().await {
        if let Ok((number, _)) = ended {
            running.remove(&number);
        }
    }
}

fn spawn(layout: &Layout, number: u16) -> Result<Child, DevError> {
    let path = layout.node_log(number);
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
    let log = log.map_err(|source| DevError::File { path, source })?;
    let program = std::env::current_exe().map_err(DevError::Spawn)?;
    Command::new(program)
        .args(["server", "--config"])
        .arg(layout.node_config(number))
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(DevError::Spawn)?)
        .stderr(log)
        // A process group of its own, so that Ctrl-C in the terminal reaches only this process, which drains the nodes.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(DevError::Spawn)
}

async fn all_serve(layout: &Layout) -> Result<(), DevError> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let mut waiting = Vec::new();
        for number in layout.numbers() {
            let state = state(layout, number).await;
            if state != "serving" {
                waiting.push((layout.node_name(number), state));
            }
        }
        if waiting.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(DevError::NotServing(waiting));
        }
        sleep(POLL).await;
    }
}

async fn state(layout: &Layout, number: u16) -> String {
    match local_cluster_status(&layout.node_data(number)).await {
        Ok(status) => match &status.reason {
            Some(reason) => format!("{} ({reason})", status.state()),
            None => status.state().to_owned(),
        },
        Err(_) => "not answering yet".to_owned(),
    }
}

/// The signals that a user, a service manager or a closed terminal sends to end a program.
struct StopSignals([Signals; 3]);

impl StopSignals {
    fn new() -> std::io::Result<Self> {
        Ok(Self([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?]))
    }

    async fn received(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
