//! A node crashes at any step of the first start, and its data folder is lost. Then the cluster begins anyway, or the other
//! nodes serve without it, or nothing is served and the nodes say what to do.

use std::fs;

use serde_json::Value;

use super::support::processes::Processes;
use super::support::status;
use super::{POINTS, assert_one_cluster, clusters, serving, start_crashing};

/// What became of the nodes.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Begun,
    /// Two nodes serve, and the third says that it must not come back.
    WithoutIt,
    /// Nothing is served, and a node says that all folders of the new cluster can be erased.
    Erase,
}

async fn waits(processes: &Processes, number: usize) -> String {
    let status = status::of(&processes.data(number)).await;
    status
        .ok()
        .and_then(|status| status["waiting_for"].as_array().cloned())
        .map_or_else(String::new, |waits| waits.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "))
}

async fn outcome(processes: &Processes, lost: usize) -> Option<Outcome> {
    let serving = serving(processes).await;
    let mut waiting = Vec::new();
    for number in 0..3 {
        waiting.push(waits(processes, number).await);
    }
    match serving.len() {
        3 => Some(Outcome::Begun),
        2 if waiting[lost].contains("Never put back a copy or a backup") => Some(Outcome::WithoutIt),
        0 => {
            let words = ["start every node", "erase the data folders"];
            let advises = |wait: &String| words.iter().all(|word| wait.contains(word));
            let all_wait = waiting.iter().all(|wait| !wait.is_empty());
            (all_wait && waiting.iter().any(advises)).then_some(Outcome::Erase)
        }
        _ => None,
    }
}

async fn lose_at_each_point(lost: usize) {
    let mut outcomes = Vec::new();
    for point in POINTS {
        let (mut processes, crashed) = start_crashing(&[lost], point).await;
        if crashed.is_empty() {
            continue;
        }
        processes.end_if_running(lost);
        fs::remove_dir_all(processes.data(lost)).expect("the folder is there");
        processes.begin(lost);
        let what = format!("{} on node {}", point.name(), lost + 1);
        let found = status::wait_for(&what, &processes.data_folders(), async || outcome(&processes, lost).await).await;
        println!("{what}: {found:?}");
        match found {
            Outcome::Begun => assert_one_cluster(&processes, &what).await,
            Outcome::WithoutIt => assert!(clusters(&processes, &[0, 1, 2]).len() == 1, "{what}"),
            Outcome::Erase => {
                (0..3).for_each(|number| processes.end(number));
                processes.data_folders().iter().for_each(|data| fs::remove_dir_all(data).expect("the folder is there"));
                processes.begin_all();
                assert_one_cluster(&processes, &what).await;
            }
        }
        outcomes.push(found);
    }
    assert!(outcomes.contains(&Outcome::Begun) && outcomes.contains(&Outcome::WithoutIt), "{outcomes:?}");
    assert!(outcomes.contains(&Outcome::Erase), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_node_can_lose_its_folder_at_any_step() {
    lose_at_each_point(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_can_lose_its_folder_at_any_step() {
    lose_at_each_point(1).await;
}
