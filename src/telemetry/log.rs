//! Structured logs on the standard error, with a filter that SIGHUP can change.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{self as lines, MakeWriter};
use tracing_subscriber::layer::{Context, Filter, Layer};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Registry, prelude::*, reload};

use super::error_log::{ErrorLayer, ErrorLog};
use crate::clock;
use crate::config::{LogConfig, LogFormat};

/// The log of this process.
pub struct Logging {
    errors: Arc<ErrorLog>,
    filter: reload::Handle<ConsoleFilter, Registry>,
}

/// Why the log could not be started or changed.
#[derive(Debug, Error)]
pub enum LogError {
    /// This part of the configured level is neither a level nor a target with one.
    #[error(
        "log.level: `{0}` is neither a level nor `target=level`: write `info` or `info,keyraft=debug`, for example"
    )]
    Level(String),
    /// The process already has a log.
    #[error("this process already has a log")]
    Started,
}

impl Logging {
    /// Starts the log of this process.
    ///
    /// # Errors
    /// The level does not parse, or the log was started before.
    pub fn start(config: &LogConfig) -> Result<Self, LogError> {
        let (subscriber, logging) = subscriber(config, io::stderr, io::stderr().is_terminal())?;
        subscriber.try_init().map_err(|_| LogError::Started)?;
        Ok(logging)
    }

    /// Takes over the level, and whether the log shows errors. The format stays until a restart.
    ///
    /// # Errors
    /// The level does not parse. Then nothing changes.
    pub fn reload(&self, config: &LogConfig) -> Result<(), LogError> {
        let filter = ConsoleFilter::new(config)?;
        // This fails only if the log's subscriber is gone, and then there is nothing left to filter.
        let _ = self.filter.reload(filter);
        Ok(())
    }

    /// Returns the error log, which receives errors even if the console does not show them.
    pub fn errors(&self) -> &Arc<ErrorLog> {
        &self.errors
    }
}

/// Decides what the console shows: by level and target, and errors only with `log.error` on, as in KES.
struct ConsoleFilter {
    targets: Targets,
    errors: bool,
}

impl ConsoleFilter {
    fn new(config: &LogConfig) -> Result<Self, LogError> {
        Ok(Self { targets: targets(&config.level)?, errors: config.error })
    }

    fn shows(&self, metadata: &Metadata<'_>) -> bool {
        let silenced = !self.errors && metadata.is_event() && *metadata.level() == Level::ERROR;
        !silenced && self.targets.would_enable(metadata.target(), metadata.level())
    }
}

impl<S> Filter<S> for ConsoleFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.shows(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.shows(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Filter::<S>::max_level_hint(&self.targets)
    }
}

/// Parses a filter such as `info,keyraft=debug`. A word alone must be a level. The library would take a misspelt level
/// for a target, and then show nothing else.
fn targets(level: &str) -> Result<Targets, LogError> {
    let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    let is_directive = |part: &&str| match part.split_once('=') {
        Some((target, level)) => !target.is_empty() && is_level(level),
        None => is_level(part),
    };
    match level.split(',').find(|part| !is_directive(part)) {
        Some(part) => Err(LogError::Level(part.to_owned())),
        None => {
            let targets: Targets = level.parse().map_err(|_| LogError::Level(level.to_owned()))?;
            Ok(if level.contains("openraft=") { targets } else { quietened(targets) })
        }
    }
}

/// Silences the libraries below consensus and storage, except at level debug or trace. They log every vote and every
/// flush, and several of their layers log the same failed disk as an error. Keyraft logs what an operator needs, once.
fn quietened(targets: Targets) -> Targets {
    let shown = targets.default_level().unwrap_or(LevelFilter::OFF);
    let most = if shown >= LevelFilter::DEBUG { shown } else { LevelFilter::OFF };
    ["openraft", "raft_log", "chunked_wal", "sled"]
        .into_iter()
        .fold(targets, |targets, name| targets.with_target(name, most))
}

fn subscriber<W>(
    config: &LogConfig,
    writer: W,
    colour: bool,
) -> Result<(impl Subscriber + Send + Sync, Logging), LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let errors = Arc::new(ErrorLog::default());
    let (filter, handle) = reload::Layer::new(ConsoleFilter::new(config)?);
    let subscriber = tracing_subscriber::registry()
        .with(console(config.format, writer, colour).with_filter(filter))
        .with(ErrorLayer(Arc::clone(&errors)).with_filter(quietened(Targets::new().with_default(LevelFilter::ERROR))));
    Ok((subscriber, Logging { errors, filter: handle }))
}

fn console<S, W>(format: LogFormat, writer: W, colour: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = lines::layer().with_writer(writer).with_timer(WallTime);
    match format {
        LogFormat::Text => layer.with_ansi(colour).boxed(),
        LogFormat::Json => layer.with_ansi(false).json().flatten_event(true).boxed(),
    }
}

struct WallTime;

impl FormatTime for WallTime {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        out.write_str(&clock::rfc3339(Some(clock::unix_ns())))
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct Console(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Console {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn config(level: &str, error: bool, format: LogFormat) -> LogConfig {
        LogConfig { error, audit: false, level: level.to_owned(), format }
    }

    /// Returns what the console shows while `trace` runs.
    fn shown(config: &LogConfig, trace: impl FnOnce(&Logging)) -> String {
        let console = Console::default();
        let writer = console.clone();
        let (subscriber, logging) = subscriber(config, move || writer.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, || trace(&logging));
        String::from_utf8(std::mem::take(&mut *console.0.lock())).unwrap()
    }

    #[test]
    fn the_level_filters_and_can_be_changed() {
        let text = shown(&config("info", true, LogFormat::Text), |logging| {
            tracing::debug!("one");
            tracing::info!("two");
            logging.reload(&config("debug", true, LogFormat::Text)).unwrap();
            tracing::debug!("three");
            logging.reload(&config("warn,keyraft=nonsense", true, LogFormat::Text)).unwrap_err();
            tracing::debug!("four");
        });
        let told: Vec<_> = ["one", "two", "three", "four"].into_iter().filter(|word| text.contains(word)).collect();
        assert_eq!(told, ["two", "three", "four"], "{text}");
    }

    #[test]
    fn errors_that_are_not_shown_are_still_counted() {
        let text = shown(&config("info", false, LogFormat::Text), |logging| {
            tracing::error!("hidden");
            tracing::warn!("shown");
            assert_eq!(logging.errors().events(), 1);
        });
        assert!(text.contains("shown") && !text.contains("hidden"), "{text}");
    }

    #[test]
    fn a_json_line_is_one_object_with_its_fields() {
        let text = shown(&config("info", true, LogFormat::Json), |_| {
            tracing::info!(request_id = "00fe", "line\nbreak");
        });
        let value: Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!((&value["level"], &value["message"]), (&"INFO".into(), &"line\nbreak".into()));
        assert_eq!(value["request_id"], "00fe");
    }

    #[test]
    fn an_invalid_level_is_refused() {
        for (level, part) in [("inof", "inof"), ("info,keyraft=loud", "keyraft=loud"), ("", ""), ("info,", "")] {
            assert!(matches!(targets(level), Err(LogError::Level(bad)) if bad == part), "{level}");
        }
        assert!(targets("warn,keyraft=debug,openraft=off").is_ok());
    }
}
