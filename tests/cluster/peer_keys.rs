//! Each node has a key by which the others know it: made by the node itself, or from its configuration, with or without a
//! CA of all nodes.

use std::fs;
use std::path::PathBuf;

use keyraft::config::PeerTlsConfig;
use keyraft::node::Node;
use rcgen::{CertificateParams, KeyPair};

use super::three_nodes;
use crate::support::api_key::ApiKey;
use crate::support::certificates::{Authority, Credential, for_client, self_signed};
use crate::support::cluster::TestCluster;
use crate::support::connection::Client;
use crate::support::http::{self, Http, Request};
use crate::support::settings::ADMIN_KEY;

fn key_file(cluster: &TestCluster, number: usize) -> PathBuf {
    cluster.data(number).join("peer.key")
}

fn key_of(cluster: &TestCluster, number: usize) -> KeyPair {
    let pem = fs::read_to_string(key_file(cluster, number)).expect("the node made its key");
    KeyPair::from_pem(&pem).expect("a good key")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_keeps_its_key_and_does_not_start_without_it() {
    let mut cluster = three_nodes().await;
    let node = cluster.follower().await;
    let (path, before) = (key_file(&cluster, node), fs::read(key_file(&cluster, node)).expect("the node made it"));
    cluster.stop(node).await;
    cluster.start_nodes(&[node]).await;
    assert_eq!(fs::read(&path).expect("it is there"), before);
    cluster.stop(node).await;
    fs::rename(&path, path.with_extension("moved")).expect("the file is ours");
    let refused = Node::start(cluster.config(node).clone()).await.map(drop).expect_err("the key is missing");
    assert!(refused.to_string().contains("peer.key is missing, and the cluster knows this node by"), "{refused}");
    assert!(!path.exists());
    fs::rename(path.with_extension("moved"), &path).expect("the file is ours");
    cluster.start_nodes(&[node]).await;
    cluster.admin().create(node, "after").await.expect("the node takes part");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_may_show_any_certificate_of_the_key_that_the_cluster_knows() {
    let mut cluster = three_nodes().await;
    let node = cluster.follower().await;
    cluster.stop(node).await;
    let (cert, key) = (cluster.certificates().file("own.crt"), key_file(&cluster, node));
    let own = self_signed(&CertificateParams::default(), &key_of(&cluster, node));
    fs::write(&cert, own.pem()).expect("the folder is writable");
    cluster.config_mut(node).cluster.tls = Some(PeerTlsConfig { cert, key, ca: None });
    cluster.start_nodes(&[node]).await;
    cluster.admin().create(node, "after").await.expect("the node takes part");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_say_that_a_certificate_is_of_another_ca() {
    let admin = ApiKey::parse(ADMIN_KEY);
    let mut cluster = TestCluster::start(3, &admin, |config, files| {
        config.cluster.tls = Some(files.peer_tls(&config.cluster.name));
    })
    .await;
    let node = cluster.follower().await;
    assert!(!key_file(&cluster, node).exists(), "the configuration has a key");
    cluster.stop(node).await;
    let others = Authority::new("another CA");
    let files = cluster.certificates().peer_tls_by(&others, "stranger");
    let ca = cluster.certificates().file("other-ca.crt");
    fs::write(&ca, others.pem()).expect("the folder is writable");
    cluster.config_mut(node).cluster.tls = Some(PeerTlsConfig { ca: Some(ca), ..files });
    cluster.begin_nodes(&[node]).await;
    let name = cluster.config(node).cluster.name.clone();
    for (number, seen) in [(node, "waiting_for"), ((node + 1) % 3, "members")] {
        let look = async || {
            let status = cluster.local_status(number).await.ok()?;
            let said = status[seen].as_array()?.iter().map(ToString::to_string).collect::<Vec<_>>();
            let of_ca =
                |text: &String| text.contains("the CA in cluster.tls.ca of") && text.contains("did not issue it");
            said.iter().any(|text| of_ca(text) && (number == node || text.contains(&name))).then_some(())
        };
        cluster.wait_for(&format!("node {number} to report the certificate"), look).await;
    }
    cluster.admin().create((node + 1) % 3, "meanwhile").await.expect("the others go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_refuses_the_key_of_every_node_whatever_the_certificate() {
    let cluster = three_nodes().await;
    let get = Request::new("GET", "/version", None);
    let asks = async |credential: Credential| {
        http::send(&cluster.endpoint(0), &Client::new(Some(credential)), Http::Two, &get).await
    };
    for node in 0..3 {
        let client = self_signed(&for_client(CertificateParams::default()), &key_of(&cluster, node));
        assert!(asks(client).await.is_err(), "the key of node {node}");
    }
    let stranger = KeyPair::generate().expect("keys can be made");
    let answer = asks(self_signed(&for_client(CertificateParams::default()), &stranger)).await;
    assert_eq!(answer.expect("any other key is a client's").status, 200);
}
