//! The wire contract, against real nodes over TLS: the answers recorded from a real KES, and a case for every line that
//! they miss. `compat/README.md` says how to write cases.

#[path = "compat/case.rs"]
mod case;
#[path = "compat/clients.rs"]
mod clients;
#[path = "compat/compare.rs"]
mod compare;
#[path = "compat/description.rs"]
mod description;
#[path = "compat/play.rs"]
mod play;
#[expect(dead_code, reason = "this binary uses a part of what the tests share")]
mod support;
#[path = "compat/variables.rs"]
mod variables;

use std::fs;

use keyraft::config::{Config, RouteConfig};
use serde::Deserialize;
use serde_json::json;

use case::{Group, Setting};
use clients::Clients;
use play::{Mode, Report};
use support::certificates::Certificates;
use support::cluster::TestCluster;
use support::http::{Http, Request};
use support::{http, settings};

const SETTINGS: [Setting; 4] = [Setting::Plain, Setting::Open, Setting::Proxy, Setting::Verified];

#[tokio::test(flavor = "multi_thread")]
async fn recorded_answers_on_one_node() {
    play_all(&case::recorded(), 1, Mode::AsWritten).await.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn contract_cases_on_one_node() {
    play_all(&case::contract(), 1, Mode::AsWritten).await.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_answers_through_a_follower() {
    play_all(&case::recorded(), 3, Mode::AsWritten).await.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn contract_cases_through_a_follower() {
    play_all(&case::contract(), 3, Mode::AsWritten).await.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_cases_over_http2() {
    let groups: Vec<_> = case::recorded().into_iter().chain(case::contract()).collect();
    play_all(&groups, 1, Mode::OverHttp2).await.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_ciphertexts_decrypt() {
    let vectors = Vectors::read();
    assert_eq!(vectors.ciphertexts.len(), 30);
    let server = Server::start(1, Setting::Plain).await;
    for (cipher, key) in &vectors.keys {
        let body = json!({"key": key, "cipher": cipher}).to_string();
        assert_eq!(server.put(&format!("/v1/key/import/vectors-{cipher}"), &body).await.status, 200);
    }
    let mut failed = Vec::new();
    for (index, vector) in vectors.ciphertexts.iter().enumerate() {
        let body = json!({"ciphertext": vector.ciphertext, "context": vector.context}).to_string();
        let answer = server.put(&format!("/v1/key/decrypt/vectors-{}", vector.cipher), &body).await;
        if answer.json() != json!({"plaintext": vector.plaintext}) {
            failed.push(format!(
                "#{} {} {}: {} {}",
                index + 1,
                vector.cipher,
                vector.form,
                answer.status,
                answer.text()
            ));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Plays every group on a cluster with its setting: on the only node, or through a follower of several nodes.
async fn play_all(groups: &[Group], nodes: usize, mode: Mode) -> Report {
    let mut report = Report::default();
    for setting in SETTINGS {
        let groups: Vec<_> = groups.iter().filter(|group| group.node == setting).collect();
        if !groups.is_empty() {
            let server = Server::start(nodes, setting).await;
            let endpoint = server.cluster.endpoint(server.number);
            report = report.and(play::play(&groups, &endpoint, &server.clients, mode).await);
        }
    }
    report
}

/// A cluster, the node that the cases ask, and the clients.
struct Server {
    cluster: TestCluster,
    number: usize,
    clients: Clients,
}

impl Server {
    async fn start(nodes: usize, setting: Setting) -> Self {
        let cluster =
            TestCluster::start(nodes, &clients::admin(), |config, files| adjust(setting, config, files)).await;
        let number = if nodes == 1 { 0 } else { cluster.follower().await };
        let clients = Clients::new(&cluster.certificates().clients);
        Self { cluster, number, clients }
    }

    async fn put(&self, target: &str, body: &str) -> http::Response {
        let request = Request::new("PUT", target, Some(body));
        let endpoint = self.cluster.endpoint(self.number);
        http::send(&endpoint, &self.clients.client("admin"), Http::One, &request).await.expect("the node answers")
    }
}

fn adjust(setting: Setting, config: &mut Config, files: &Certificates) {
    let open = RouteConfig { skip_auth: true, timeout: None };
    config.cluster.tls = Some(files.peer_tls(&config.cluster.name));
    match setting {
        Setting::Plain => {}
        Setting::Open => {
            let paths = ["/v1/ready", "/v1/status", "/v1/metrics", "/v1/api"];
            config.api.extend(paths.map(|path| (path.to_owned(), open)));
        }
        Setting::Proxy => {
            config.tls.proxies = vec![settings::identity(settings::OPS)];
            config.tls.proxy_header = Some("X-Tls-Client-Cert".into());
        }
        Setting::Verified => {
            config.tls.verify_clients = true;
            config.tls.ca = Some(files.file("client-ca.crt"));
        }
    }
}

/// Ciphertexts that a real KES decrypts, and the keys they were made with.
#[derive(Deserialize)]
struct Vectors {
    keys: std::collections::BTreeMap<String, String>,
    ciphertexts: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    cipher: String,
    form: String,
    context: String,
    plaintext: String,
    ciphertext: String,
}

impl Vectors {
    fn read() -> Self {
        let text =
            fs::read_to_string(case::folder().join("../vectors/ciphertexts.json")).expect("the file is readable");
        serde_json::from_str(&text).expect("the file is well-formed")
    }
}
