//! The sinks of audit records: file, syslog and console. Each may fail and come back.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::file::AuditFile;
use super::syslog::Syslog;
use crate::config::{AuditConfig, Config};
use crate::crypto::SigningKey;
use crate::telemetry::record::loss_line;

/// The time between two attempts at a sink that failed.
const RETRY: Duration = Duration::from_millis(500);

/// The sinks that the configuration asks for.
#[derive(Debug, Clone)]
pub struct SinkSettings {
    /// Whether the console is a sink.
    pub console: bool,
    /// The other sinks.
    pub config: AuditConfig,
    /// This node's name.
    pub node: String,
    /// Its data folder.
    pub folder: PathBuf,
}

/// The sinks, in the order in which they get a record. Those that can block come last.
pub struct Sinks {
    wanted: SinkSettings,
    key: Option<Arc<SigningKey>>,
    file: SinkSlot<AuditFile>,
    syslog: SinkSlot<Syslog>,
    console: SinkSlot<Box<dyn Write + Send>>,
    /// The standard output, or a stand-in of a test, while the console is not a sink.
    spare_console: Option<Box<dyn Write + Send>>,
}

/// The counters of one sink.
#[derive(Debug, Default)]
pub struct SinkCounters {
    /// Whether the configuration asks for the sink.
    pub wanted: AtomicBool,
    /// Whether the sink failed and has not come back.
    pub down: AtomicBool,
    /// How often the sink failed.
    pub failures: AtomicU64,
    /// Records that the sink missed.
    pub lost: AtomicU64,
}

/// The counts of one sink at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkFigures {
    /// Its name.
    pub name: &'static str,
    /// Whether the sink takes records.
    pub up: bool,
    /// How often the sink failed.
    pub failures: u64,
    /// Records that the sink missed.
    pub lost: u64,
}

/// The counters of all sinks.
#[derive(Debug, Default)]
pub struct AllSinkCounters {
    /// The counters of the file.
    pub file: SinkCounters,
    /// The counters of syslog.
    pub syslog: SinkCounters,
    /// The counters of the console.
    pub console: SinkCounters,
}

/// A sink, if the configuration asks for it, and its outage.
struct SinkSlot<S> {
    name: &'static str,
    /// The file or the server, as the configuration names it, for the log.
    to: String,
    sink: Option<S>,
    outage: Option<SinkOutage>,
}

struct SinkOutage {
    retry_at: Instant,
    /// Records that the sink missed since it failed. It gets their number when it comes back.
    lost: u64,
}

impl SinkSettings {
    /// Takes the sinks from a configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            console: config.log.audit,
            config: config.audit.clone(),
            node: config.cluster.name.clone(),
            folder: config.cluster.data.clone(),
        }
    }
}

impl SinkCounters {
    /// Returns the counts at this moment.
    pub fn figures(&self, name: &'static str) -> SinkFigures {
        let (up, failures, lost) = (!self.down.load(Relaxed), self.failures.load(Relaxed), self.lost.load(Relaxed));
        SinkFigures { name, up, failures, lost }
    }
}

impl Sinks {
    /// Makes the sinks, and does not open them yet.
    pub fn new(console: Box<dyn Write + Send>, wanted: SinkSettings, figures: &AllSinkCounters) -> Self {
        let mut sinks = Self {
            file: SinkSlot::none("file"),
            syslog: SinkSlot::none("syslog"),
            console: SinkSlot::none("console"),
            spare_console: Some(console),
            key: None,
            wanted: SinkSettings { console: false, config: AuditConfig::default(), ..wanted.clone() },
        };
        sinks.reconfigure(wanted, figures);
        sinks
    }

    /// Takes over other sinks. Those that stay the same stay open.
    pub fn reconfigure(&mut self, wanted: SinkSettings, figures: &AllSinkCounters) {
        let config = &wanted.config;
        match (&mut self.file.sink, &config.file) {
            (Some(file), Some(config)) => file.reconfigure(config.clone(), &wanted.folder),
            (None, Some(config)) => {
                let key = self.key.clone();
                self.file.sink = Some(AuditFile::new(config.clone(), &wanted.node, wanted.folder.clone(), key));
            }
            (old, None) => old.take().into_iter().for_each(|mut file| file.close()),
        }
        if let Some(file) = &mut self.file.sink {
            file.keep_room(config.required);
        }
        if self.syslog.sink.as_ref().map(Syslog::config) != config.syslog.as_ref() {
            self.syslog.sink = config.syslog.clone().map(|config| Syslog::new(config, &wanted.node));
        }
        if wanted.console != self.console.sink.is_some() {
            std::mem::swap(&mut self.console.sink, &mut self.spare_console);
        }
        self.file.to = config.file.as_ref().map(|file| file.path.display().to_string()).unwrap_or_default();
        self.syslog.to = config.syslog.as_ref().map(|syslog| syslog.address.to_string()).unwrap_or_default();
        for (is_wanted, figures) in [
            (self.file.retry_now(), &figures.file),
            (self.syslog.retry_now(), &figures.syslog),
            (self.console.retry_now(), &figures.console),
        ] {
            figures.wanted.store(is_wanted, Relaxed);
            figures.down.store(false, Relaxed);
        }
        self.wanted = wanted;
    }

    /// Whether the configuration asks for no sink at all.
    pub fn is_empty(&self) -> bool {
        self.file.sink.is_none() && self.syslog.sink.is_none() && self.console.sink.is_none()
    }

    /// Signs checkpoints of the file from now on.
    pub fn sign_with(&mut self, key: SigningKey) {
        let key = Arc::new(key);
        self.key = Some(Arc::clone(&key));
        if let Some(file) = &mut self.file.sink {
            file.sign_with(key);
        }
    }

    /// Writes lines to every sink. Returns whether at least one took them. If none did and `required` is set, the
    /// caller will offer the lines again, so they do not count as lost.
    pub fn write(&mut self, lines: &[&str], figures: &AllSinkCounters) -> bool {
        let each = || lines.iter().copied();
        let required = self.wanted.config.required;
        let took = [
            self.file.offer(&figures.file, |file, loss| file.write(loss.into_iter().chain(each()))),
            self.syslog.offer(&figures.syslog, |syslog, loss| syslog.write(loss.into_iter().chain(each()))),
            self.console.offer(&figures.console, |console, loss| print(console, loss.into_iter().chain(each()))),
        ];
        let taken = took.contains(&true);
        if taken || !required {
            let count = lines.len() as u64;
            self.file.lose(took[0], count, &figures.file);
            self.syslog.lose(took[1], count, &figures.syslog);
            self.console.lose(took[2], count, &figures.console);
        }
        taken
    }

    /// Returns when [`Sinks::tick`] has something to do.
    pub fn due(&self) -> Option<Instant> {
        self.file.sink.as_ref().and_then(AuditFile::due)
    }

    /// Writes a checkpoint if one is due.
    pub fn tick(&mut self, figures: &AllSinkCounters) {
        if self.due().is_some_and(|due| due <= Instant::now()) {
            self.file.offer(&figures.file, |file, _| file.tick());
        }
    }

    /// Closes the sinks.
    pub fn close(&mut self) {
        self.file.sink.iter_mut().for_each(AuditFile::close);
    }
}

impl<S> SinkSlot<S> {
    fn none(name: &'static str) -> Self {
        Self { name, to: "standard output".to_owned(), sink: None, outage: None }
    }

    /// Allows an attempt at once, because the new configuration may end the outage. Returns whether the sink is wanted.
    fn retry_now(&mut self) -> bool {
        if let Some(outage) = &mut self.outage {
            outage.retry_at = Instant::now();
        }
        self.sink.is_some()
    }

    /// Lets the sink write, unless it failed a moment ago. Returns whether it wrote. A sink that comes back first gets
    /// the number of records that it missed.
    fn offer(&mut self, figures: &SinkCounters, write: impl FnOnce(&mut S, Option<&str>) -> io::Result<()>) -> bool {
        let Some(sink) = &mut self.sink else { return false };
        if self.outage.as_ref().is_some_and(|outage| outage.retry_at > Instant::now()) {
            return false;
        }
        let loss = self.outage.as_ref().filter(|outage| outage.lost > 0).map(|outage| loss_line(outage.lost));
        match write(sink, loss.as_deref()) {
            Ok(()) => {
                if let Some(SinkOutage { lost, .. }) = self.outage.take() {
                    tracing::warn!(sink = self.name, lost, "the audit sink takes records again");
                    figures.down.store(false, Relaxed);
                }
                true
            }
            Err(error) => {
                self.fail(&error, figures);
                false
            }
        }
    }

    /// Counts a failure, logs the first one of an outage, and sets the time of the next attempt.
    fn fail(&mut self, error: &io::Error, figures: &SinkCounters) {
        let retry_at = Instant::now() + RETRY;
        figures.failures.fetch_add(1, Relaxed);
        figures.down.store(true, Relaxed);
        match &mut self.outage {
            Some(outage) => outage.retry_at = retry_at,
            None => {
                tracing::error!(
                    sink = self.name,
                    to = self.to,
                    %error,
                    "the audit sink does not take records; the node tries again twice a second"
                );
                self.outage = Some(SinkOutage { retry_at, lost: 0 });
            }
        }
    }

    /// Counts records as lost for this sink, unless it took them.
    fn lose(&mut self, took: bool, count: u64, figures: &SinkCounters) {
        if let Some(outage) = self.outage.as_mut().filter(|_| !took && self.sink.is_some()) {
            outage.lost += count;
            figures.lost.fetch_add(count, Relaxed);
        }
    }
}

fn print<'a>(console: &mut Box<dyn Write + Send>, lines: impl Iterator<Item = &'a str>) -> io::Result<()> {
    let mut text = String::new();
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    console.write_all(text.as_bytes())?;
    console.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AuditFileConfig, SyslogConfig};

    #[test]
    fn the_log_names_each_sink_and_its_target() {
        let file = AuditFileConfig {
            path: "/var/log/audit.log".into(),
            max_size: 1 << 20,
            max_age: Duration::from_secs(60),
            keep: 1,
        };
        let config = AuditConfig { required: false, file: Some(file), syslog: Some(SyslogConfig::default()) };
        let wanted = SinkSettings { console: false, config, node: "node-1".to_owned(), folder: PathBuf::new() };
        let sinks = Sinks::new(Box::new(io::sink()), wanted, &AllSinkCounters::default());
        assert_eq!((&*sinks.file.to, &*sinks.syslog.to), ("/var/log/audit.log", "unix:/dev/log"));
        assert_eq!(sinks.console.to, "standard output");
    }
}
