//! The lines of an audit file that are not records of requests, before they get their place in the chain.

use crate::clock;
use crate::crypto::VerifyingKey;
use crate::telemetry::audit::chain;
use crate::telemetry::record::write_json_string;

/// The line with which a node begins to write. `after` says what happened before, and `begins` whether the file held no
/// line.
pub fn opened(time_ns: i64, node: &str, after: &str, begins: bool, version: &str) -> String {
    let mut name = String::new();
    write_json_string(&mut name, node).expect("writing to a string cannot fail");
    let fields = format!(r#""node":{name},"after":"{after}","begins":{begins},"version":"{version}""#);
    line(time_ns, "opened", &fields)
}

/// The line that records torn bytes before it.
pub fn torn(time_ns: i64, torn: &[u8]) -> String {
    let hash = hex::encode(chain::hash(torn));
    line(time_ns, "torn", &format!(r#""bytes":{},"sha256":"{hash}""#, torn.len()))
}

/// The line that records that the file does not end as the node had left it.
pub fn broken(time_ns: i64, expected: u64, found: u64) -> String {
    line(time_ns, "broken", &format!(r#""expected":{expected},"found":{found}"#))
}

/// A checkpoint, without its signature.
pub fn checkpoint(time_ns: i64, key: VerifyingKey) -> String {
    line(time_ns, "checkpoint", &format!(r#""key":"{key}""#))
}

fn line(time_ns: i64, what: &str, fields: &str) -> String {
    format!(r#"{{"time":"{}","{what}":{{{fields}}}}}"#, clock::rfc3339(Some(time_ns)))
}
