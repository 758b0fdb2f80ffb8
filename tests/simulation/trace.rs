//! The trace of a run: every event that a node logs, and what the simulation does, each with its virtual time.

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// The file of the trace in the folder of the run.
const FILE: &str = "trace";

/// The trace that is being written.
#[derive(Clone)]
pub struct Trace(Arc<Writer>);

struct Writer {
    file: Mutex<File>,
    /// The folder of the run, whose name differs from run to run.
    folder: String,
}

/// The name of the node that a span of the simulation is about.
struct NodeName(String);

struct Text(String);

impl Trace {
    /// Begins to write what the nodes log to the trace of this folder.
    pub fn start(folder: &Path) -> Self {
        let file = File::create(folder.join(FILE)).expect("the folder of the run is there");
        let trace = Self(Arc::new(Writer { file: Mutex::new(file), folder: folder.display().to_string() }));
        let subscriber = tracing_subscriber::registry().with(trace.clone());
        tracing::subscriber::set_global_default(subscriber).expect("a process has one run");
        trace
    }

    /// Notes what the simulation does.
    pub fn note(&self, at_ms: u128, what: fmt::Arguments<'_>) {
        self.line(&format!("{at_ms} - {what}"));
    }

    fn line(&self, line: &str) {
        let line = line.replace(&self.0.folder, "FOLDER");
        writeln!(self.0.file.lock(), "{line}").expect("the trace can be written");
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Trace {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        let (target, level) = (metadata.target(), metadata.level());
        let is_ours = target.starts_with("keyraft") && *level <= Level::DEBUG;
        let is_consensus = target.starts_with("openraft") && *level <= Level::INFO;
        // The simulation says with a span which node runs. Its events come while its clocks cannot be read.
        is_ours || is_consensus || metadata.is_span() && target.starts_with("turmoil")
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        if attributes.metadata().name() == "node"
            && let Some(span) = context.span(id)
        {
            let mut name = Text(String::new());
            attributes.record(&mut name);
            span.extensions_mut().insert(NodeName(name.0));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let named = context.event_scope(event).into_iter().flatten();
        let node = named.filter_map(|span| span.extensions().get::<NodeName>().map(|name| name.0.clone())).next();
        let at = turmoil::sim_elapsed().unwrap_or_default().as_millis();
        let (level, target) = (event.metadata().level(), event.metadata().target());
        self.line(&format!("{at} {} {level} {target}:{}", node.unwrap_or_default(), text.0));
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

/// The trace of a run that has ended.
pub fn read(folder: &Path) -> String {
    fs::read_to_string(folder.join(FILE)).expect("the run has written its trace")
}

/// Where two traces differ first. `None` if they do not.
pub fn difference(first: &str, second: &str) -> Option<String> {
    let (mut first, mut second) = (first.lines(), second.lines());
    for number in 1.. {
        let (one, other) = (first.next(), second.next());
        if one != other {
            return Some(format!("line {number}\n  {}\n  {}", one.unwrap_or("(end)"), other.unwrap_or("(end)")));
        }
        one?;
    }
    None
}
