//! The audit file has exactly one record of each of 1,000 hostile requests, with its path, client and status as they
//! were. No request writes a line of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use futures::stream::{self, StreamExt};
use keyraft::config::AuditFileConfig;
use serde_json::Value;

use super::authorisation::cases::Chance;
use super::cluster;
use crate::support::api_key::ApiKey;
use crate::support::connection::{Client, Endpoint};
use crate::support::http::{self, Framing, Http, Request};
use crate::support::http1;
use crate::support::settings::{ADMIN, ADMIN_KEY, APP, APP_KEY, OPS, OPS_KEY};

const SEED: u64 = 1_000;
const REQUESTS: usize = 1_000;
/// How many requests run at a time.
const WIDE: usize = 16;
const CLIENTS: [(&str, &str); 3] = [(ADMIN_KEY, ADMIN), (APP_KEY, APP), (OPS_KEY, OPS)];

/// Texts that would forge a record, split a line, steer a terminal or end a string, if the node wrote them as they
/// came.
const POISON: [&str; 14] = [
    "%0a{%22time%22:%222026-01-01T00:00:00Z%22,%22request%22:{%22ip%22:%22%22,%22path%22:%22/forged%22}}%0a",
    "%0d%0a%0d%0aHTTP/1.1%20200%20OK",
    "%1b[2J%1b]0;owned%07",
    "%22,%22identity%22:%22nobody%22,%22x%22:%22",
    "%5c%5c%22%5c",
    "%e2%80%a8{}%e2%80%a9",
    "%c2%85%c2%9b31m",
    "%00",
    "%ff%fe",
    "%zz%",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%252e%252e%252f%250a",
    "$(reboot)%60id%60${jndi:ldap://x}",
    "%F0%9F%94%91%e2%80%ae%e2%81%a6%e2%80%8f%d8%9c%ef%bb%bf",
];

/// A hostile request, and how much of it the client sends.
struct Hostile {
    client: usize,
    request: Request,
    version: Http,
    /// Whether the client leaves in the middle of the body.
    leaves: bool,
}

impl Hostile {
    fn shown(&self) -> String {
        let beginning: String = self.request.target.chars().take(100).collect();
        format!("{} {beginning}… over {:?}, leaves: {}", self.request.method, self.version, self.leaves)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_a_thousand_hostile_requests_has_its_one_record() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("audit.log");
    let file = AuditFileConfig { path: path.clone(), max_size: 1 << 30, max_age: std::time::Duration::MAX, keep: 1 };
    let mut node = cluster(1, |config| config.audit.file = Some(file.clone())).await;
    let clients = CLIENTS.map(|(key, _)| Client::new(Some(ApiKey::parse(key).credential())));
    let endpoint = node.endpoint(0);
    let mut chance = Chance(SEED);
    let requests: Vec<_> = (0..REQUESTS).map(|number| hostile(&mut chance, number)).collect();
    let statuses: Vec<_> = stream::iter(&requests)
        .map(|hostile| attack(&endpoint, &clients[hostile.client], hostile))
        .buffered(WIDE)
        .collect()
        .await;
    node.stop(0).await;
    let mut records = records(&path);
    for (number, (hostile, status)) in requests.iter().zip(&statuses).enumerate() {
        let found = records.remove(&number).unwrap_or_default();
        assert_eq!(found.len(), 1, "seed {SEED}: {}", hostile.shown());
        let (request, code) = (&found[0]["request"], &found[0]["response"]["code"]);
        assert_eq!(request["identity"], CLIENTS[hostile.client].1, "{}", hostile.shown());
        assert_eq!(request["ip"], "127.0.0.1");
        if let Some(status) = status {
            assert_eq!(code, *status, "{}", hostile.shown());
        }
    }
    assert!(records.is_empty(), "seed {SEED}: records without a request: {records:?}");
}

fn hostile(chance: &mut Chance, number: usize) -> Hostile {
    let routes = ["key/create", "key/import", "key/generate", "key/decrypt", "key/bulk/decrypt", "key/delete"];
    let others = ["policy/write", "policy/assign", "identity/create", "key/list", "nowhere", "log/audit", "status"];
    let route = chance.one_of(&[&routes[..], &others[..]].concat());
    let poison = chance.one_of(&POISON).repeat(chance.one_of(&[1, 1, 1, 80]));
    let target = format!("/v1/{route}/h{number:04}-{poison}");
    let method = chance.one_of(&["GET", "PUT", "PUT", "POST", "DELETE", "HEAD", "X-EVIL", "options"]);
    let body = chance.one_of(&[
        "".to_owned(),
        "{\"context\":\"\n\"}".to_owned(),
        "[".repeat(20_000),
        "\0\u{1b}[31m".to_owned(),
        "x".repeat(1_100_000),
        "{\"key\":\"".to_owned(),
    ]);
    let framing = chance.one_of(&[Framing::Length, Framing::Chunked]);
    let forged =
        [("X-Forwarded-For", "192.0.2.66"), ("Kes-Enclave", "\\\"},{"), ("X-Request-Id", "a\tb"), ("Cookie", "")];
    let (name, value) = chance.one_of(&forged);
    let headers = vec![(name.to_owned(), value.to_owned())];
    let leaves = chance.percent(5);
    let version = if leaves || chance.percent(70) { Http::One } else { Http::Two };
    let request = Request { method: method.into(), target, headers, body: body.into(), framing };
    Hostile { client: chance.below(CLIENTS.len()), request, version, leaves }
}

/// The status of the answer. `None` if the client left or the server closed the connection.
async fn attack(endpoint: &Endpoint, client: &Client, hostile: &Hostile) -> Option<u16> {
    if !hostile.leaves {
        return http::send(endpoint, client, hostile.version, &hostile.request).await.ok().map(|answer| answer.status);
    }
    let mut stream = client.connect(endpoint, Http::One).await.expect("the node listens");
    let length = ("Content-Length".to_owned(), "1000".to_owned());
    let headers = vec![length];
    let begun = Request { headers, body: Vec::new(), framing: Framing::None, ..hostile.request.clone() };
    http1::begin(&mut stream, &begun).await.expect("the connection holds");
    None
}

/// The records by the number in their path. Fails on a path that no request had.
fn records(path: &Path) -> BTreeMap<usize, Vec<Value>> {
    let text = fs::read(path).expect("the file is readable");
    let control = text.iter().find(|byte| byte.is_ascii_control() && **byte != b'\n');
    assert_eq!(control, None, "the file has no raw control character");
    let text = String::from_utf8(text).expect("the file is text");
    let turn = text.find(
        |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'),
    );
    assert_eq!(turn, None, "the file has no character that changes the direction of text");
    let mut records = BTreeMap::<_, Vec<Value>>::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let Some(path) = record["request"]["path"].as_str() else { continue };
        if path == "/v1/ready" {
            continue;
        }
        let number = path.split("/h").filter_map(|rest| rest.get(..4)?.parse().ok()).next();
        records.entry(number.unwrap_or_else(|| panic!("no request has this path: {line}"))).or_default().push(record);
    }
    records
}
