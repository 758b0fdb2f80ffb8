//! What happens in a run.

use std::path::Path;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::operations::{Answer, Operation};
use crate::trace::Trace;

const NODES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(20);

/// Three nodes start from nothing and make keys. One of them crashes and comes back, and opens what another one sealed.
pub fn run(seed: u64, folder: &Path, trace: &Trace) {
    let mut cluster = Cluster::start(seed, folder, NODES, trace);
    for number in 1..=NODES {
        cluster.wait_until_serving(number, PATIENCE);
    }
    let names: Vec<String> = (0..6).map(|number| format!("key-{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        let node = 1 + number % NODES;
        let created = cluster.call(node, Operation::Create(name.clone()), PATIENCE);
        assert_eq!(created, Some(Answer::Done));
    }
    let Some(Answer::DataKey(plaintext, ciphertext)) = cluster.call(1, Operation::Generate(names[0].clone()), PATIENCE)
    else {
        panic!("no data key")
    };
    let crashed = 1 + usize::try_from(seed).expect("a small seed") % NODES;
    cluster.crash(crashed);
    cluster.pass(Duration::from_secs(1));
    let other = 1 + crashed % NODES;
    let created = cluster.call(other, Operation::Create("meanwhile".to_owned()), PATIENCE);
    assert_eq!(created, Some(Answer::Done));
    cluster.restart(crashed);
    cluster.wait_until_serving(crashed, PATIENCE);
    let opened = cluster.call(crashed, Operation::Decrypt(names[0].clone(), ciphertext), PATIENCE);
    assert_eq!(opened, Some(Answer::Plaintext(plaintext.to_vec())));
    let generated = cluster.call(crashed, Operation::Generate("meanwhile".to_owned()), PATIENCE);
    assert!(matches!(generated, Some(Answer::DataKey(..))), "{generated:?}");
}
