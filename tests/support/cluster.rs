//! A cluster of real nodes in this process, in a folder that is removed with it.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use keyraft::config::Config;
use keyraft::http::Api;
use keyraft::node::{Node, NodeError};
use serde_json::Value;
use tempfile::TempDir;

use super::api_key::ApiKey;
use super::certificates::Certificates;
use super::connection::{Client, Endpoint};
use super::http::{self, Http, Request};
use super::settings;
use super::status;
use super::user::User;

/// How long a node may take to end. After that it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster. Node `n` is the one with configuration `n`, counted from zero.
pub struct TestCluster {
    nodes: Vec<Option<Node>>,
    configs: Vec<Config>,
    certificates: Certificates,
    admin: Client,
    _folder: TempDir,
}

impl TestCluster {
    /// Starts `count` nodes, each with its configuration as `adjust` leaves it. Waits until all of them serve `admin`,
    /// whom the configuration names.
    pub async fn start(count: usize, admin: &ApiKey, adjust: impl Fn(&mut Config, &Certificates)) -> Self {
        let mut cluster = Self::prepare(count, admin, adjust);
        cluster.start_all().await;
        cluster
    }

    /// The same, with no node started yet.
    pub fn prepare(count: usize, admin: &ApiKey, adjust: impl Fn(&mut Config, &Certificates)) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let certificates = Certificates::create(folder.path());
        let mut configs = settings::configs(&certificates, count);
        for config in &mut configs {
            adjust(config, &certificates);
        }
        let admin = Client::new(Some(admin.issued_by(&certificates.clients)));
        let nodes = (0..count).map(|_| None).collect();
        Self { nodes, configs, certificates, admin, _folder: folder }
    }

    /// Starts every node and waits until all serve.
    pub async fn start_all(&mut self) {
        self.start_nodes(&self.all().collect::<Vec<_>>()).await;
    }

    /// Starts nodes that are not running, together, and waits until they serve.
    pub async fn start_nodes(&mut self, numbers: &[usize]) {
        self.begin_nodes(numbers).await;
        for &number in numbers {
            self.wait_until_serving(number).await;
        }
    }

    /// Starts every node and does not wait until they serve.
    pub async fn begin_all(&mut self) {
        self.begin_nodes(&self.all().collect::<Vec<_>>()).await;
    }

    /// Starts nodes that are not running, together, and does not wait until they serve.
    pub async fn begin_nodes(&mut self, numbers: &[usize]) {
        let started = join_all(numbers.iter().map(|&number| Node::start(self.configs[number].clone()))).await;
        for (&number, node) in numbers.iter().zip(started) {
            let node = node.unwrap_or_else(|error| panic!("node {number} did not start: {error:?}"));
            self.nodes[number] = Some(node);
        }
    }

    /// Stops a node as SIGTERM does.
    pub async fn stop(&mut self, number: usize) {
        let stopped = self.nodes[number].take().expect("the node runs").stop().await;
        stopped.unwrap_or_else(|error| panic!("node {number} did not stop cleanly: {error}"));
    }

    /// Ends a node as a crash does.
    pub async fn kill(&mut self, number: usize) {
        self.nodes[number].take().expect("the node runs").kill().await;
    }

    /// Stops every node that runs, at the same time, as SIGTERM does.
    pub async fn stop_all(&mut self) {
        let stopped = join_all(self.nodes.iter_mut().filter_map(Option::take).map(Node::stop)).await;
        stopped.into_iter().for_each(|stopped| stopped.expect("a node stops cleanly"));
    }

    /// Ends every node that runs as a power cut does.
    pub async fn kill_all(&mut self) {
        join_all(self.nodes.iter_mut().filter_map(Option::take).map(Node::kill)).await;
    }

    /// Lets a sealed node try its seal at once, as SIGHUP does.
    pub fn try_seal(&self, number: usize) {
        self.nodes[number].as_ref().expect("the node runs").try_seal();
    }

    /// Why a node ended by itself. It may be started again afterwards.
    pub async fn ended(&mut self, number: usize) -> NodeError {
        let mut node = self.nodes[number].take().expect("the node runs");
        let ended = tokio::time::timeout(PATIENCE, node.ended()).await;
        // In production its process would end now and close its files.
        node.kill().await;
        ended.expect("the node ends").expect_err("a node that nobody stopped ends with an error")
    }

    /// The API address of a node, and the CA that its certificate must chain to.
    pub fn endpoint(&self, number: usize) -> Endpoint {
        Endpoint { address: self.configs[number].address, roots: Arc::new(self.certificates.roots()) }
    }

    /// The configuration for the next start of a node.
    pub fn config_mut(&mut self, number: usize) -> &mut Config {
        &mut self.configs[number]
    }

    /// The configuration of a node's last start.
    pub fn config(&self, number: usize) -> &Config {
        &self.configs[number]
    }

    /// The API of a node that serves, to call it without a socket.
    pub fn api(&self, number: usize) -> Arc<Api> {
        self.nodes[number].as_ref().and_then(Node::api).expect("the node serves")
    }

    /// A node that runs.
    pub fn node(&self, number: usize) -> &Node {
        self.nodes[number].as_ref().expect("the node runs")
    }

    /// A node's data folder.
    pub fn data(&self, number: usize) -> &Path {
        &self.configs[number].cluster.data
    }

    /// The certificates of its nodes and clients.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// The admin as a client of all nodes.
    pub fn admin(&self) -> User {
        self.user(self.admin.clone())
    }

    /// A client of all nodes with this certificate.
    pub fn user(&self, client: Client) -> User {
        User::new(client, self.all().map(|number| self.endpoint(number)).collect())
    }

    /// The number of the leader, once all running nodes agree on it.
    pub async fn leader(&self) -> usize {
        self.leader_of(&self.running().collect::<Vec<_>>()).await
    }

    /// The number of the leader, once these nodes agree on it.
    pub async fn leader_of(&self, numbers: &[usize]) -> usize {
        let data = self.data_of(numbers);
        self.wait_for("a leader", async || {
            let seen = status::of_all(&data).await.ok()?;
            let leader = seen.first()?["leader"].as_u64()?;
            let agreed = seen.iter().all(|status| status["leader"] == leader);
            seen.iter().find(|status| agreed && status["node"]["id"] == leader).map(|_| leader)
        })
        .await
        .try_into()
        .map(|id: usize| id - 1)
        .expect("ids are small")
    }

    /// The number of a running node that does not lead.
    pub async fn follower(&self) -> usize {
        let leader = self.leader().await;
        self.running().find(|&number| number != leader).expect("a node besides the leader runs")
    }

    /// Waits until the running nodes have applied the same entries, and fails if their states differ then.
    pub async fn assert_equal_digests(&self) {
        status::assert_equal_digests(&self.running_data()).await;
    }

    /// The same for some of the nodes.
    pub async fn assert_equal_digests_of(&self, numbers: &[usize]) {
        status::assert_equal_digests(&self.data_of(numbers)).await;
    }

    /// The status on a running node's local socket, which answers in every state.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn local_status(&self, number: usize) -> io::Result<Value> {
        status::of(self.data(number)).await
    }

    /// Waits until a node reports this state, and returns its status.
    pub async fn wait_for_state(&self, number: usize, state: &str) -> Value {
        status::wait_for_state(self.data(number), state).await
    }

    /// Waits until `look` finds something.
    ///
    /// # Panics
    /// It found nothing for too long.
    pub async fn wait_for<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        status::wait_for(what, &self.running_data(), look).await
    }

    /// The numbers of all nodes.
    pub fn all(&self) -> Range<usize> {
        0..self.nodes.len()
    }

    /// The numbers of all nodes but one, beginning with the one after it.
    pub fn others(&self, number: usize) -> Vec<usize> {
        (1..self.nodes.len()).map(|steps| self.in_turn(number + steps)).collect()
    }

    /// The number of the node whose turn it is in this round, if the nodes take turns.
    pub fn in_turn(&self, round: usize) -> usize {
        round % self.nodes.len()
    }

    /// How many nodes are a quorum.
    pub fn quorum(&self) -> usize {
        self.nodes.len() / 2 + 1
    }

    /// The numbers of the running nodes.
    pub fn running(&self) -> impl Iterator<Item = usize> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.is_some()).map(|(number, _)| number)
    }

    /// Waits until a node answers the admin.
    pub async fn wait_until_serving(&self, number: usize) {
        self.wait_for(&format!("node {number} to serve"), async || {
            let request = Request::new("GET", "/v1/ready", None);
            let answer = http::send(&self.endpoint(number), &self.admin, Http::One, &request).await.ok()?;
            // A node that refuses a client which it no longer knows serves, too.
            (answer.status == 200 || answer.status == 403).then_some(())
        })
        .await;
    }

    fn data_of(&self, numbers: &[usize]) -> Vec<PathBuf> {
        numbers.iter().map(|&number| self.data(number).to_owned()).collect()
    }

    fn running_data(&self) -> Vec<PathBuf> {
        self.running().map(|number| self.data(number).to_owned()).collect()
    }
}
