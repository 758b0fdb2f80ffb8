//! When several nodes create one name at a time, exactly one create wins, and all nodes have the same key afterwards.

use futures::future::join_all;

use super::three_nodes;
use crate::support::user::User;

const NAMES: usize = 40;
/// How many creates of one name each node gets.
const EACH: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_create_of_a_name_wins() {
    let cluster = three_nodes().await;
    let user = cluster.admin();
    for names in (0..NAMES).collect::<Vec<_>>().chunks(5) {
        join_all(names.iter().map(|number| contend(&user, format!("key-{number}")))).await;
    }
    cluster.assert_equal_digests().await;
}

async fn contend(user: &User, name: String) {
    let answers = join_all((0..3 * EACH).map(|number| user.create(number % 3, &name))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{name}: {answers:?}");
    for refusal in answers.into_iter().filter_map(Result::err) {
        assert!(refusal.is(400, "key already exists"), "{name}: {refusal:?}");
    }
    let key = user.generate(0, &name).await.expect("the key is there");
    for node in 0..3 {
        assert_eq!(user.decrypt(node, &key).await.as_ref(), Ok(&key.plaintext), "{name} on node {node}");
    }
}
