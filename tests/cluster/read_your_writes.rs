//! A key that was created through one node exists at once on every other node.

use futures::StreamExt;

use super::nodes;
use crate::support::cluster::TestCluster;

const KEYS: usize = 150;
const AT_A_TIME: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_created_key_can_be_used_on_every_node_at_once() {
    let cluster = nodes().await;
    let works = futures::stream::iter(0..KEYS).map(|number| create_here_and_use_there(&cluster, number));
    works.buffer_unordered(AT_A_TIME).collect::<()>().await;
    cluster.assert_equal_digests().await;
}

/// The nodes take turns at creating and using, so that each pair of them occurs.
async fn create_here_and_use_there(cluster: &TestCluster, number: usize) {
    let (user, nodes) = (cluster.admin(), cluster.all().len());
    let (here, there, elsewhere) = (number % nodes, number / nodes % nodes, number / nodes / nodes % nodes);
    let name = format!("key-{number}");
    user.create(here, &name).await.expect("the key is new");
    let described = user.ask(there, "GET", &format!("/v1/key/describe/{name}"), None).await.expect("the key is there");
    assert_eq!(described["name"], name);
    let key = user.generate(there, &name).await.expect("the key is there");
    assert_eq!(user.decrypt(elsewhere, &key).await.as_ref(), Ok(&key.plaintext));
    user.delete(elsewhere, &name).await.expect("the key is there");
    let gone = user.ask(here, "GET", &format!("/v1/key/describe/{name}"), None).await.expect_err("the key is gone");
    assert!(gone.is(404, "key does not exist"), "{gone:?}");
    user.create(there, &name).await.expect("the name is free again");
}
