//! The cluster that creates keys: processes on this machine, one for each node.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyraft::client::load::{self, Http, LoadPlan, LoadProgress};
use keyraft::client::{ApiClient, Endpoint};
use keyraft::tls::{Alpn, ClientTls, Credentials, Trust};

/// How long the nodes may take until all of them serve.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const WARM_UP: Duration = Duration::from_secs(1);
/// How far the peer port of a node of `keyraft dev` is above its API port.
const PEER_PORT_OFFSET: u16 = 100;

type Failure = Box<dyn std::error::Error>;

/// Nodes that serve. They end when this value is dropped.
pub struct Cluster {
    nodes: Vec<Node>,
    endpoints: Vec<Endpoint>,
    credentials: Credentials,
    trust: Trust,
}

/// The result of one round.
pub struct Created {
    /// Creates a second.
    pub throughput: f64,
    /// CPU time of all nodes for one create, in microseconds.
    pub cpu_us: f64,
}

impl Cluster {
    /// Starts `count` nodes with the files that `keyraft dev` writes.
    pub async fn start(dir: &Path, count: u16) -> Result<Self, Failure> {
        let (dir, port) = (dir.join("cluster"), free_ports(count)?);
        let (number, first) = (count.to_string(), port.to_string());
        let mut prepare = Command::new(env!("CARGO_BIN_EXE_keyraft"));
        prepare.args(["dev", "--prepare", "--nodes", &number, "--port", &first, "--dir"]).arg(&dir);
        if !prepare.stdout(Stdio::null()).status()?.success() {
            return Err("keyraft dev --prepare failed".into());
        }
        let nodes = (1..=count).map(|number| Node::start(&dir.join(format!("node-{number}/config.yml"))));
        let cluster = Self {
            nodes: nodes.collect::<Result<_, _>>()?,
            endpoints: (port..port + count).map(|port| Endpoint { host: "127.0.0.1".to_owned(), port }).collect(),
            credentials: Credentials::Files { certificate: dir.join("admin.crt"), key: dir.join("admin.key") },
            trust: Trust::Ca(dir.join("ca.crt")),
        };
        cluster.wait_until_ready().await?;
        Ok(cluster)
    }

    async fn wait_until_ready(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + START_TIMEOUT;
        for endpoint in &self.endpoints {
            let tls = ClientTls::new(&self.credentials, &self.trust, Alpn::Either)?;
            let client = ApiClient::new(vec![endpoint.clone()], tls);
            while let Err(error) = client.ready().await {
                if Instant::now() > deadline {
                    return Err(format!("a node does not serve: {error}").into());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// Loads all nodes with creates, and returns how many a second succeeded.
    pub async fn creates_a_second(&self, writers: usize, time: Duration) -> Result<Created, Failure> {
        let plan = LoadPlan {
            endpoints: self.endpoints.clone(),
            credentials: self.credentials.clone(),
            trust: self.trust.clone(),
            http: Http::Two,
            mix: "create".parse()?,
            clients: writers,
            connections: writers.div_ceil(8).max(self.endpoints.len().min(writers)),
            warm_up: WARM_UP,
            duration: time,
            rate: None,
            timeout: Duration::from_secs(10),
            keys: 1,
            keep: true,
            pids: self.nodes.iter().map(|node| node.0.id()).collect(),
        };
        let report = load::run(&plan, Arc::new(LoadProgress::default())).await?;
        if !report.errors.is_empty() || report.unanswered > 0 {
            return Err(format!("failed creates: {:?}", report.errors).into());
        }
        let cpu_us = report.cpu.and_then(|cpu| cpu.server_us_per_request).ok_or("nothing was created")?;
        Ok(Created { throughput: report.throughput, cpu_us })
    }
}

/// A process, which is killed when this value is dropped.
struct Node(Child);

impl Node {
    fn start(config: &Path) -> std::io::Result<Self> {
        Command::new(env!("CARGO_BIN_EXE_keyraft")).args(["server", "--config"]).arg(config).spawn().map(Self)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first of `count` free ports in a row whose peer ports are free too.
fn free_ports(count: u16) -> Result<u16, Failure> {
    let free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut firsts = (12_000..20_000).step_by(usize::from(PEER_PORT_OFFSET) * 2 + 1);
    let first = firsts.find(|first| (*first..first + count).all(|port| free(port) && free(port + PEER_PORT_OFFSET)));
    first.ok_or_else(|| "no free ports found".into())
}
