//! Runs one node as a process of its own, with its log and its signals.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::open_files::ConnectionBudget;
use super::{Node, NodeError, exposed_files, protect};
use crate::config::{Config, Override, Problems, Warning};
use crate::telemetry::{LogError, Logging};

/// Why the process ends with an error.
#[derive(Debug, Error)]
pub enum RunError {
    /// The configuration has problems.
    #[error(transparent)]
    Config(Problems),
    /// The process cannot start its log.
    #[error(transparent)]
    Log(LogError),
    /// The node cannot run, or has ended.
    #[error("{}{error}", file_of_setting(file, error))]
    Node {
        /// The configuration file.
        file: PathBuf,
        /// Why.
        #[source]
        error: Box<NodeError>,
    },
}

/// A configuration, and the warnings about its file.
type Read = (Config, Vec<Warning>);

/// Runs the node that a configuration file and the command line describe, until a signal stops it.
///
/// # Errors
/// Why it cannot run, or why it ended.
pub fn run(path: &Path, overrides: &[Override]) -> Result<(), RunError> {
    let (config, warnings) = Config::load_with(path, overrides).map_err(RunError::Config)?;
    let ended = |error| RunError::Node { file: path.to_owned(), error: Box::new(error) };
    protect::new_files();
    let logging = Logging::start(&config.log).map_err(RunError::Log)?;
    log_warnings(path, &config, &warnings);
    for given in overrides {
        tracing::info!("{given}");
    }
    if let Err(error) = protect::process() {
        tracing::warn!(%error, "the node cannot turn off core dumps and tracing (ptrace) of its process");
    }
    if let Err(error) = protect::raise_open_files() {
        tracing::warn!(%error, "the node cannot raise its limit of open files");
    }
    match protect::open_files() {
        Ok(files) => ConnectionBudget::of(&config, files).warn_if_lowered(),
        Err(error) => tracing::warn!(%error, "the node cannot read its limit of open files"),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("keyraft")
        .enable_all()
        .build()
        .map_err(|error| ended(error.into()))?;
    runtime.block_on(serve((path, overrides), (config, warnings), &logging)).map_err(ended)
}

/// Logs the warnings about the configuration, and which files with secrets are open to too many users.
fn log_warnings(path: &Path, config: &Config, warnings: &[Warning]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    for exposed in exposed_files(path, config) {
        tracing::warn!("{exposed}");
    }
}

/// Runs the node, and reads the configuration again on SIGHUP, until the node ends or a signal stops it.
async fn serve(source: (&Path, &[Override]), mut last: Read, logging: &Logging) -> Result<(), NodeError> {
    let mut stop = signals([SignalKind::terminate(), SignalKind::interrupt()])?;
    let mut reload = signals([SignalKind::hangup()])?;
    let mut node = Node::start_with(last.0.clone(), Arc::clone(logging.errors()))?;
    loop {
        tokio::select! {
            ended = node.ended() => return ended,
            () = any(&mut stop) => {
                tracing::info!("the node received a signal to stop");
                return node.stop().await;
            }
            () = any(&mut reload) => {
                read_again(source, &mut last, &node, logging);
                node.try_seal();
            }
        }
    }
}

/// Reads the configuration again. On any problem the node keeps the old one.
fn read_again((path, overrides): (&Path, &[Override]), last: &mut Read, node: &Node, logging: &Logging) {
    let read = match Config::load_with(path, overrides) {
        Ok(loaded) => loaded,
        Err(problems) => {
            for problem in &problems.0 {
                tracing::error!("{problem}");
            }
            tracing::error!(
                "the changed configuration has problems, and the node keeps the old one: correct the file and send SIGHUP \
                 again"
            );
            return;
        }
    };
    // A program that renews certificates sends SIGHUP too. The warnings about an unchanged file need no repetition.
    let warnings = if read == *last { &[][..] } else { &read.1 };
    log_warnings(path, &read.0, warnings);
    *last = read;
    let (config, _) = last;
    if let Err(error) = logging.reload(&config.log) {
        tracing::error!(%error, "the node cannot use the new log level and keeps the old one");
    }
    let waiting = node.reconfigure(config.clone());
    tracing::info!(wait_for_a_restart = ?waiting, "the node read the configuration again");
}

fn signals<const N: usize>(kinds: [SignalKind; N]) -> Result<Vec<Signal>, NodeError> {
    kinds.into_iter().map(|kind| signal(kind).map_err(NodeError::Io)).collect()
}

async fn any(signals: &mut [Signal]) {
    let next = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
    futures::future::select_all(next).await;
}

/// Returns the configuration file as the beginning of the text, if the error is about one of its settings.
fn file_of_setting(file: &Path, error: &NodeError) -> String {
    if error.is_of_a_setting() { format!("{}: ", file.display()) } else { String::new() }
}
