//! Prints events, one on a line, for people or for programs.

use std::time::Duration;

use clap::builder::styling::{AnsiColor, Style};
use serde_json::Value;

use crate::cli::escape::printable;
use crate::cli::output::{DIM, GOOD, STRONG, WARN};
use crate::cli::{Error, Output};
use crate::client::{self, LogStream};

const BAD: Style = AnsiColor::Red.on_default().bold();

/// Prints the events of a stream up to its end. Returns why the connection broke, or `None` if the server ended it.
pub async fn show(events: &mut LogStream, output: Output) -> Result<Option<client::Error>, Error> {
    loop {
        let line = match events.next().await {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(None),
            Err(error) => return Ok(Some(error)),
        };
        match serde_json::from_slice::<Value>(&line) {
            Ok(event) if !output.is_json() => output.line(&shown(&event))?,
            // Programs get every line unchanged, and so does everybody if it is not JSON.
            _ => output.event(&line)?,
        }
    }
}

/// An event for people, on one line.
fn shown(event: &Value) -> String {
    let node = event["node"].as_str().map(|node| format!("{STRONG}{}{STRONG:#}  ", printable(node)));
    let node = node.unwrap_or_default();
    if let Some(message) = event["message"].as_str().or(event["notice"].as_str()) {
        return format!("{node}{}", printable(message));
    }
    let time = event["time"].as_str().map(|time| time.split('.').next().unwrap_or(time)).unwrap_or_default();
    let time = format!("{DIM}{}{DIM:#}", printable(&time.replace('T', " ").replace('Z', "")));
    if let Some(lost) = event["lost"].as_u64() {
        return format!("{time}  {node}{WARN}{lost} events lost{WARN:#}");
    }
    let (request, response) = (&event["request"], &event["response"]);
    let text = |value: &Value| printable(value.as_str().unwrap_or_default());
    let code = response["code"].as_u64().unwrap_or_default();
    let style = style_of(code);
    let took = Duration::from_nanos(response["time"].as_u64().unwrap_or_default());
    let identity = request["identity"].as_str().filter(|identity| !identity.is_empty()).unwrap_or("-");
    let identity: String = printable(identity).chars().take(16).collect();
    format!(
        "{time}  {node}{style}{code:3}{style:#}  {:>9}  {:15}  {identity:16}  {}",
        milliseconds(took),
        text(&request["ip"]),
        text(&request["path"])
    )
}

fn milliseconds(took: Duration) -> String {
    format!("{:.2}ms", took.as_secs_f64() * 1e3)
}

fn style_of(code: u64) -> Style {
    match code {
        0..400 => GOOD,
        400..500 => WARN,
        _ => BAD,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(event: &Value) -> String {
        anstream::adapter::strip_str(&shown(event)).to_string()
    }

    #[test]
    fn an_event_is_one_line_with_any_path_that_a_client_sends() {
        let event = json!({
            "time": "2026-11-24T10:00:00.123456789Z", "node": "node-2",
            "request": {"ip": "192.0.2.7", "path": "/v1/\n\u{1b}[2J\u{9b}1m\u{202e}x", "identity": "ab".repeat(32)},
            "response": {"code": 403, "time": 1_500_000},
        });
        let line = plain(&event);
        assert!(line.starts_with("2026-11-24 10:00:00  node-2  403     1.50ms  192.0.2.7"), "{line}");
        assert!(line.contains("abababababababab  /v1/\\u{a}\\u{1b}[2J\\u{9b}1m\\u{202e}x"), "{line}");
        assert!(!shown(&event).contains('\n'));
    }

    #[test]
    fn losses_and_messages_are_shown() {
        let lost = json!({"time": "2026-11-24T10:00:00Z", "request": {}, "response": {}, "lost": 7});
        assert_eq!(plain(&lost), "2026-11-24 10:00:00  7 events lost");
        assert_eq!(plain(&json!({"message": "no\nend"})), "no\\u{a}end");
        assert_eq!(plain(&json!({"node": "a", "message": "gone"})), "a  gone");
    }
}
