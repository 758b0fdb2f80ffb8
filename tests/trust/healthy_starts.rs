//! A start in which nothing is wrong logs no warning, so that an operator can take each warning seriously.

use super::support::processes::Processes;
use super::support::status;

/// What a node also logs on a slow machine: it waits, or does not reach a peer, for longer than usual.
const SLOW: [&str; 4] = ["this node waits", "this node lost a peer", "this node lost the quorum", "isolated: "];

/// Fails if a node has logged a warning or an error after these lengths of its log.
fn assert_no_warnings(processes: &Processes, from: &[usize; 3], what: &str) {
    for (number, from) in from.iter().enumerate() {
        let log = processes.log(number)[*from..].to_owned();
        let is_warning = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
        let is_slow = |line: &&str| SLOW.iter().any(|words| line.contains(words));
        let warnings: Vec<_> = log.lines().filter(is_warning).filter(|line| !is_slow(line)).collect();
        assert!(warnings.is_empty(), "{what}: node {number}: {warnings:#?}");
    }
}

fn lengths(processes: &Processes) -> [usize; 3] {
    [0, 1, 2].map(|number| processes.log(number).len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_and_restarts_log_no_warning() {
    let mut processes = Processes::start().await;
    status::assert_equal_digests(&processes.data_folders()).await;
    assert_no_warnings(&processes, &[0; 3], "the first start");
    assert!(processes.has_logged(0, &[" INFO "]), "the log shows the level of each line");
    processes.admin().create_many("key", 3).await;
    for number in 0..3 {
        processes.stop(number).await;
        let from = lengths(&processes);
        processes.start_all().await;
        status::assert_equal_digests(&processes.data_folders()).await;
        assert_no_warnings(&processes, &from, "the restart of one node");
    }
    for number in 0..3 {
        processes.stop(number).await;
    }
    let from = lengths(&processes);
    processes.start_all().await;
    status::assert_equal_digests(&processes.data_folders()).await;
    assert_no_warnings(&processes, &from, "the restart of all nodes");
}
