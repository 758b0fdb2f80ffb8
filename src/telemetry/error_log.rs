//! The error log: every event at level ERROR, counted and fed to live listeners (wire contract, "Streams, metrics and
//! status").

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::feed::{Feed, LineFormat};
use super::record::{cut, write_json_string};

/// The longest message kept, in bytes.
const MAX_MESSAGE: usize = 8 * 1024;

/// Counts error events and publishes each as `{"message": …}`.
pub struct ErrorLog {
    events: AtomicU64,
    feed: Feed<String>,
}

impl Default for ErrorLog {
    fn default() -> Self {
        let form = LineFormat { event: |message: &String| line(message), loss };
        Self { events: AtomicU64::new(0), feed: Feed::new(form) }
    }
}

impl ErrorLog {
    /// Error events so far.
    pub fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }

    /// The live feed of error events.
    pub fn feed(&self) -> &Feed<String> {
        &self.feed
    }
}

/// Receives every error event that the process traces.
pub(super) struct ErrorLayer(pub(super) std::sync::Arc<ErrorLog>);

impl<S: Subscriber> Layer<S> for ErrorLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() != Level::ERROR {
            return;
        }
        self.0.events.fetch_add(1, Relaxed);
        let mut message = Message::default();
        event.record(&mut message);
        self.0.feed.publish(std::iter::once(cut(message.text + &message.fields, MAX_MESSAGE)));
    }
}

/// The text of an event, and its other fields.
#[derive(Default)]
struct Message {
    text: String,
    fields: String,
}

impl Visit for Message {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}

impl Message {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let written = match field.name() {
            "message" => self.text.write_fmt(value),
            name => write!(self.fields, " {name}={value}"),
        };
        written.expect("writing to a string cannot fail");
    }
}

fn loss(lost: u64) -> String {
    line(&format!("{lost} events lost"))
}

fn line(message: &str) -> String {
    let mut out = String::from(r#"{"message":"#);
    write_json_string(&mut out, message).expect("writing to a string cannot fail");
    out + "}"
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing_subscriber::prelude::*;

    use super::*;

    #[tokio::test]
    async fn error_events_are_counted_and_fed_and_others_are_not() {
        let log = Arc::new(ErrorLog::default());
        let subscriber = tracing_subscriber::registry().with(ErrorLayer(Arc::clone(&log)));
        let mut listener = tracing::subscriber::with_default(subscriber, || {
            tracing::error!("before anybody listens");
            let listener = log.feed().listen(1);
            tracing::warn!("no error");
            tracing::error!(peer = "node-2", term = 7, "cannot \"reach\"\n{}", "it");
            listener
        });
        assert_eq!(log.events(), 2);
        assert_eq!(listener.next().await.unwrap(), "{\"message\":\"before anybody listens\"}\n");
        let expected = "{\"message\":\"cannot \\\"reach\\\"\\u000ait peer=node-2 term=7\"}\n";
        assert_eq!(listener.next().await.unwrap(), expected);
    }

    #[test]
    fn the_error_log_reports_lost_events() {
        assert_eq!(loss(3), r#"{"message":"3 events lost"}"#);
    }
}
