//! After the faults end, every node serves again within a bounded time, with everything that was acknowledged.

use std::time::Duration;

use keyraft::kms::Error;

use crate::clients::Clients;
use crate::cluster::Cluster;
use crate::operations::{Answer, Operation};

/// How long a cluster may take. A connection whose bytes were lost ends after two pings of ten seconds.
const RECOVERY: Duration = Duration::from_secs(60);

/// # Panics
/// A node does not serve, or lacks a key, or has one that was deleted, or two nodes disagree.
pub fn check(cluster: &mut Cluster<'_>, clients: &mut Clients) {
    for node in cluster.numbers() {
        cluster.wait_until_serving(node, RECOVERY);
    }
    for node in cluster.numbers() {
        let created = clients.ask_until_answered(cluster, node, &Operation::Create(format!("last-{node}")), RECOVERY);
        // An attempt whose answer did not come may have made it.
        assert!(
            matches!(created, Answer::Created),
            "INVARIANT every node serves again: node {node} answers {created:?}"
        );
    }
    for (name, facts) in clients.history().0.clone() {
        let mut exists = Vec::new();
        for node in cluster.numbers() {
            let generate = Operation::Generate(name.clone());
            let answer = clients.ask_until_answered(cluster, node, &generate, RECOVERY);
            exists.push(!matches!(answer, Answer::Failed(Error::KeyNotFound)));
            for key in facts.data_keys.iter().filter(|_| exists.last() == Some(&true)) {
                let decrypt = Operation::Decrypt(name.clone(), key.clone());
                clients.ask_until_answered(cluster, node, &decrypt, RECOVERY);
            }
        }
        assert!(exists.windows(2).all(|two| two[0] == two[1]), "INVARIANT nodes agree: {name}: {exists:?}, {facts:?}");
        let is_there = exists[0];
        assert!(
            is_there || facts.created_ms.is_none() || facts.to_be_deleted,
            "INVARIANT a key exists: {name}: {facts:?}"
        );
        assert!(!is_there || facts.deleted.is_none(), "INVARIANT a deletion never comes back: {name}: {facts:?}");
    }
}
