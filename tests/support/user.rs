//! What clients do with keys, through one node or through the first that answers.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::connection::{Client, Endpoint};
use super::http::{self, Http, Request};

/// How often a client goes round the nodes, every [`PAUSE`]. After that the cluster counts as down.
const ROUNDS: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(20);

/// A client of several nodes.
#[derive(Clone)]
pub struct User {
    client: Client,
    endpoints: Vec<Endpoint>,
}

/// A data key as a client holds it.
#[derive(Debug, Clone)]
pub struct DataKey {
    /// The key it is sealed under.
    pub name: String,
    /// Its bytes in base64.
    pub plaintext: String,
    /// The sealed bytes in base64.
    pub ciphertext: String,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer. `None` without an answer, when the outcome is unknown.
    pub status: Option<u16>,
    /// The message of the answer, or why none came.
    pub message: String,
}

impl Refusal {
    /// Whether the answer has this status and message.
    pub fn is(&self, status: u16, message: &str) -> bool {
        self.status == Some(status) && self.message == message
    }

    /// Whether another node may do better, because this one did not answer or answered that it cannot.
    pub fn moves_on(&self) -> bool {
        self.status.is_none_or(|status| status == 503)
    }
}

impl User {
    /// A client of these nodes.
    pub fn new(client: Client, endpoints: Vec<Endpoint>) -> Self {
        Self { client, endpoints }
    }

    /// Sends a request to one node. Returns the JSON of its answer, or null if the answer has an empty body.
    ///
    /// # Errors
    /// The answer is not 200, or none came.
    pub async fn ask(&self, node: usize, method: &str, target: &str, body: Option<&Value>) -> Result<Value, Refusal> {
        let body = body.map(Value::to_string);
        let request = Request::new(method, target, body.as_deref());
        match http::send(&self.endpoints[node], &self.client, Http::One, &request).await {
            Ok(answer) if answer.status == 200 => Ok(answer.json()),
            Ok(answer) => {
                let message = answer.json()["message"].as_str().map_or_else(|| answer.text(), str::to_owned);
                Err(Refusal { status: Some(answer.status), message })
            }
            Err(error) => Err(Refusal { status: None, message: error.to_string() }),
        }
    }

    /// Creates a key.
    ///
    /// # Errors
    /// See [`User::ask`].
    pub async fn create(&self, node: usize, name: &str) -> Result<(), Refusal> {
        self.ask(node, "PUT", &format!("/v1/key/create/{name}"), None).await.map(drop)
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// See [`User::ask`].
    pub async fn delete(&self, node: usize, name: &str) -> Result<(), Refusal> {
        self.ask(node, "DELETE", &format!("/v1/key/delete/{name}"), None).await.map(drop)
    }

    /// Makes a data key.
    ///
    /// # Errors
    /// See [`User::ask`].
    pub async fn generate(&self, node: usize, name: &str) -> Result<DataKey, Refusal> {
        let answer = self.ask(node, "PUT", &format!("/v1/key/generate/{name}"), Some(&json!({}))).await?;
        let text = |field: &str| answer[field].as_str().expect("a data key has both parts").to_owned();
        Ok(DataKey { name: name.to_owned(), plaintext: text("plaintext"), ciphertext: text("ciphertext") })
    }

    /// Opens a data key. Returns its bytes in base64.
    ///
    /// # Errors
    /// See [`User::ask`].
    pub async fn decrypt(&self, node: usize, key: &DataKey) -> Result<String, Refusal> {
        let body = json!({ "ciphertext": key.ciphertext });
        let answer = self.ask(node, "PUT", &format!("/v1/key/decrypt/{}", key.name), Some(&body)).await?;
        Ok(answer["plaintext"].as_str().expect("a decryption has a plaintext").to_owned())
    }

    /// The value of a cluster metric on a node.
    pub async fn metric(&self, node: usize, name: &str) -> f64 {
        let request = Request::new("GET", "/v1/cluster/metrics", None);
        let answer = http::send(&self.endpoints[node], &self.client, Http::One, &request).await.expect("it answers");
        let text = answer.text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("node {node} has no metric {name}:\n{text}"))
    }

    /// A connection to a node, for HTTP/1.1.
    pub async fn connect(&self, node: usize) -> TlsStream<TcpStream> {
        self.client.connect(&self.endpoints[node], Http::One).await.expect("the node serves")
    }

    /// Creates keys through all nodes in turn, and makes a data key of each.
    pub async fn create_many(&self, prefix: &str, count: usize) -> Vec<DataKey> {
        use futures::StreamExt;
        let created = futures::stream::iter(0..count).map(|number| async move {
            let (node, name) = (number % self.endpoints.len(), format!("{prefix}-{number}"));
            self.create(node, &name).await.unwrap_or_else(|refusal| panic!("{name} on node {node}: {refusal:?}"));
            self.generate(node, &name).await.unwrap_or_else(|refusal| panic!("{name} on node {node}: {refusal:?}"))
        });
        created.buffered(16).collect().await
    }

    /// Creates a key through this node, which may have to find a leader first.
    pub async fn create_through(&self, node: usize, name: &str) {
        let mut unknown = false;
        for _ in 0..ROUNDS {
            match self.create(node, name).await {
                Ok(()) => return,
                // An earlier attempt created it, and its answer did not come.
                Err(refusal) if unknown && refusal.is(400, "key already exists") => return,
                Err(refusal) if refusal.moves_on() => unknown = true,
                Err(refusal) => panic!("{name} was not created through node {node}: {refusal:?}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("node {node} does not create {name}");
    }

    /// Creates a key through the first node that answers, beginning with `first`. If an answer did not come and the key
    /// exists then, it counts as created.
    pub async fn create_somewhere(&self, first: usize, name: &str) {
        let mut unknown = false;
        for attempt in 0..ROUNDS * self.endpoints.len() {
            match self.create(self.in_turn(first, attempt), name).await {
                Ok(()) => return,
                Err(refusal) if unknown && refusal.is(400, "key already exists") => return,
                Err(refusal) if refusal.moves_on() => unknown = true,
                Err(refusal) => panic!("{name} was not created: {refusal:?}"),
            }
            self.pause_after_a_round(attempt).await;
        }
        panic!("no node would create {name}");
    }

    /// Makes a data key of an existing key through the first node that answers, beginning with `first`.
    pub async fn generate_somewhere(&self, first: usize, name: &str) -> DataKey {
        for attempt in 0..ROUNDS * self.endpoints.len() {
            match self.generate(self.in_turn(first, attempt), name).await {
                Ok(key) => return key,
                Err(refusal) => assert!(refusal.moves_on(), "{name} makes no data key: {refusal:?}"),
            }
            self.pause_after_a_round(attempt).await;
        }
        panic!("no node makes a data key of {name}");
    }

    /// Opens a data key through the first node that answers, beginning with `first`.
    ///
    /// # Panics
    /// No node answers in one round, because a client should not have to wait for a known key. Or one has other bytes.
    pub async fn decrypt_somewhere(&self, first: usize, key: &DataKey) {
        let mut refusals = Vec::new();
        for attempt in 0..self.endpoints.len() {
            match self.decrypt(self.in_turn(first, attempt), key).await {
                Ok(plaintext) => return assert_eq!(plaintext, key.plaintext, "{} has other bytes", key.name),
                Err(refusal) => refusals.push(refusal),
            }
        }
        panic!("no node decrypts under {}: {refusals:?}", key.name);
    }

    /// Fails unless the node opens each of the data keys.
    pub async fn assert_decrypts(&self, node: usize, keys: &[DataKey]) {
        use futures::StreamExt;
        let wrong = futures::stream::iter(keys).map(async |key| match self.decrypt(node, key).await {
            Ok(plaintext) if plaintext == key.plaintext => None,
            other => Some((key.name.clone(), other)),
        });
        let wrong: Vec<_> = wrong.buffered(16).filter_map(std::future::ready).collect().await;
        assert!(wrong.is_empty(), "node {node} does not open data keys of {} keys: {wrong:#?}", wrong.len());
    }

    fn in_turn(&self, first: usize, attempt: usize) -> usize {
        (first + attempt) % self.endpoints.len()
    }

    async fn pause_after_a_round(&self, attempt: usize) {
        if (attempt + 1).is_multiple_of(self.endpoints.len()) {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
