//! The audit record of one request, and its line (wire contract, "Streams, metrics and status").

use std::fmt::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use crate::clock;
use crate::policy::Identity;

/// The longest path in a record, in bytes. Every route with a name fits several times, and a hostile path cannot fill
/// the memory.
const MAX_PATH: usize = 1024;

/// The record of one answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// When the request arrived, as Unix time in nanoseconds.
    pub time_ns: i64,
    /// The client's address, if known.
    pub ip: Option<IpAddr>,
    /// The decoded path, or the raw one if it cannot be decoded.
    pub path: String,
    /// Who sent the request. `None` without a certificate.
    pub identity: Option<Identity>,
    /// Whether the client is the admin that this node's configuration file names.
    pub file_admin: bool,
    /// Whether the node had lost its lease then, so that it may have missed a revocation.
    pub isolated: bool,
    /// The nodes that had not applied a revocation when the node acknowledged it.
    pub not_applied: Option<Box<NotApplied>>,
    /// The status of the answer.
    pub status: u16,
    /// The time from the request's arrival to its answer.
    pub took: Duration,
    /// The id of the request, which the node's log has too.
    pub request_id: u64,
}

/// The names of nodes that had not applied a revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotApplied(pub Vec<String>);

impl AuditRecord {
    /// Cuts a path that is longer than any route, so that a full queue stays small.
    pub(super) fn bounded(mut self) -> Self {
        self.path = cut(self.path, MAX_PATH);
        self
    }
}

/// Cuts a text that is longer than `most` bytes, and marks the cut with `…`.
pub(super) fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rfind(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

/// Appends the record as one line, without `\n`.
pub(super) fn write_record(out: &mut String, record: &AuditRecord) {
    let time = clock::rfc3339(Some(record.time_ns));
    let ip = OrEmpty(record.ip.map(|ip| ip.to_canonical()));
    let (path, identity) = (JsonString(&record.path), OrEmpty(record.identity));
    let (code, took_ns) = (record.status, record.took.as_nanos());
    let request = format_args!(r#"{{"ip":"{ip}","path":{path},"identity":"{identity}"}}"#);
    append(
        out,
        format_args!(r#"{{"time":"{time}","request":{request},"response":{{"code":{code},"time":{took_ns}}}}}"#),
    );
}

/// Appends the line that reports `lost` records.
pub(super) fn write_loss(out: &mut String, time_ns: i64, lost: u64) {
    let time = clock::rfc3339(Some(time_ns));
    let request = r#"{"ip":"","path":"","identity":""}"#;
    append(
        out,
        format_args!(r#"{{"time":"{time}","request":{request},"response":{{"code":0,"time":0}},"lost":{lost}}}"#),
    );
}

/// Adds the id of the request to the line at the end of `out`, for live streams. Console and sinks have it in the same
/// place.
fn write_request_id(out: &mut String, record: &AuditRecord) {
    out.pop();
    append(out, format_args!(r#","keyraft":{{"request_id":"{:016x}"}}}}"#, record.request_id));
}

/// Returns the line of a record for live streams, without `\n`.
pub(super) fn stream_line(record: &AuditRecord) -> String {
    let mut line = String::new();
    write_record(&mut line, record);
    write_request_id(&mut line, record);
    line
}

/// Returns the line that reports `lost` records, without `\n`.
pub(super) fn loss_line(lost: u64) -> String {
    let mut line = String::new();
    write_loss(&mut line, clock::unix_ns(), lost);
    line
}

/// Adds a field to the line at the end of `out`, for the console and the sinks: the record's number on this node,
/// without gaps since it started, and what the shape of the wire contract cannot hold.
pub(super) fn write_extension(out: &mut String, number: u64, record: &AuditRecord) {
    out.pop();
    let (request_id, file_admin, isolated) = (record.request_id, record.file_admin, record.isolated);
    let fields = format_args!(
        r#""number":{number},"request_id":"{request_id:016x}","file_admin":{file_admin},"isolated":{isolated}"#
    );
    append(out, format_args!(r#","keyraft":{{{fields}"#));
    if let Some(NotApplied(names)) = record.not_applied.as_deref() {
        for (at, name) in names.iter().enumerate() {
            let opening = if at == 0 { r#","not_applied":["# } else { "," };
            append(out, format_args!("{opening}{}", JsonString(name)));
        }
        out.push(']');
    }
    out.push_str("}}");
}

/// Appends a JSON string that stays on one line on every terminal, even for a hostile text.
pub(super) fn write_json_string(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(out, "\\{c}")?,
            // JSON alone would not ask for this.
            c if controls_terminal(c) => write!(out, "\\u{:04x}", u32::from(c))?,
            c => out.write_char(c)?,
        }
    }
    out.write_char('"')
}

/// Whether a character controls a terminal or a reader instead of being shown: control characters (C1 too), line ends
/// of some readers, and changes of the direction of the text.
pub(super) fn controls_terminal(c: char) -> bool {
    let lines = matches!(c, '\u{2028}' | '\u{2029}');
    let directions =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || lines || directions
}

fn append(out: &mut String, text: fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string cannot fail");
}

struct JsonString<'a>(&'a str);

impl fmt::Display for JsonString<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_json_string(f, self.0)
    }
}

struct OrEmpty<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for OrEmpty<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |value| value.fmt(f))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(in crate::telemetry) fn record(path: &str) -> AuditRecord {
        AuditRecord {
            time_ns: 1_646_128_800_000_000_000,
            ip: Some("192.0.2.7".parse().unwrap()),
            path: path.to_owned(),
            identity: Some(Identity::from_bytes([0xab; 32])),
            file_admin: true,
            isolated: false,
            not_applied: None,
            status: 200,
            took: Duration::from_micros(7),
            request_id: 0xfe,
        }
    }

    fn line(record: &AuditRecord) -> String {
        let mut out = String::new();
        write_record(&mut out, record);
        out
    }

    #[test]
    fn a_record_has_the_shape_of_the_contract() {
        assert_eq!(
            line(&record("/v1/key/create/my-key")),
            format!(
                r#"{{"time":"2022-03-01T10:00:00Z","request":{{"ip":"192.0.2.7","path":"/v1/key/create/my-key","identity":"{}"}},"response":{{"code":200,"time":7000}}}}"#,
                "ab".repeat(32)
            )
        );
    }

    #[test]
    fn an_unknown_field_is_an_empty_string() {
        let record = AuditRecord { ip: None, identity: None, ..record("/") };
        let value: Value = serde_json::from_str(&line(&record)).unwrap();
        assert_eq!(value["request"], json!({"ip": "", "path": "/", "identity": ""}));
    }

    #[test]
    fn an_address_is_shown_in_its_own_family() {
        let record = AuditRecord { ip: Some("::ffff:192.0.2.7".parse().unwrap()), ..record("/") };
        assert!(line(&record).contains(r#""ip":"192.0.2.7""#));
    }

    #[test]
    fn no_path_can_end_its_line_or_its_string() {
        let hostile = [
            "/v1/\n{\"time\":\"\"}",
            "/\r\n/",
            "/\"},\"response\":{\"code\":200}",
            "/\\\"",
            "/\0\u{1b}[2J\u{7f}",
            "/\u{85}\u{9b}1m\u{2028}\u{2029}",
            "/\u{202a}\u{202e}txt.\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}",
            "/ä€😀",
        ];
        for path in hostile {
            let line = line(&record(path));
            assert!(line.chars().all(|c| c.is_ascii_graphic() || matches!(c, ' ' | 'ä' | '€' | '😀')), "{path:?}");
            let value: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(value["request"]["path"], path);
            assert_eq!(value["response"], json!({"code": 200, "time": 7_000}));
        }
    }

    #[test]
    fn a_path_longer_than_any_route_is_cut() {
        let cut = record(&"ä".repeat(40_000)).bounded().path;
        assert!(cut.len() <= MAX_PATH + '…'.len_utf8() && cut.capacity() <= 2 * MAX_PATH && cut.ends_with('…'));
        assert_eq!(record("/v1/status").bounded(), record("/v1/status"));
    }

    #[test]
    fn a_loss_has_the_shape_of_a_record_and_a_count() {
        let mut out = String::new();
        write_loss(&mut out, 0, 7);
        let expected = json!({
            "time": "1970-01-01T00:00:00Z",
            "request": {"ip": "", "path": "", "identity": ""},
            "response": {"code": 0, "time": 0},
            "lost": 7
        });
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), expected);
    }

    #[test]
    fn the_console_shows_a_record_and_our_own_fields() {
        let record = record("/");
        let mut out = line(&record);
        write_extension(&mut out, 3, &record);
        let mut value: Value = serde_json::from_str(&out).unwrap();
        let ours = value.as_object_mut().unwrap().remove("keyraft").unwrap();
        assert_eq!(ours, json!({"number": 3, "request_id": "00000000000000fe", "file_admin": true, "isolated": false}));
        assert_eq!(value, serde_json::from_str::<Value>(&line(&record)).unwrap());
    }

    #[test]
    fn a_stream_shows_a_record_and_the_id_of_its_request() {
        let record = record("/");
        let mut out = line(&record);
        write_request_id(&mut out, &record);
        let mut value: Value = serde_json::from_str(&out).unwrap();
        let ours = value.as_object_mut().unwrap().remove("keyraft").unwrap();
        assert_eq!(ours, json!({"request_id": "00000000000000fe"}));
        assert_eq!(value, serde_json::from_str::<Value>(&line(&record)).unwrap());
    }

    #[test]
    fn the_console_names_those_who_did_not_apply_a_revocation() {
        let names = NotApplied(vec!["node-2".to_owned(), "\"".to_owned()]);
        let record = AuditRecord { not_applied: Some(Box::new(names)), ..record("/") };
        let mut out = line(&record);
        write_extension(&mut out, 1, &record);
        let value: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["keyraft"]["not_applied"], json!(["node-2", "\""]));
    }
}
