//! After a crash at any step, the same nodes begin one cluster.

use keyraft::failpoint::Failpoint;

use super::{POINTS, assert_one_cluster, start_crashing};

/// Lets these nodes crash at each point in turn. Returns at which of them one did.
async fn crash_at_each_point(crashing: &[usize]) -> Vec<&'static str> {
    let mut reached = Vec::new();
    for (step, point) in POINTS.into_iter().enumerate() {
        let (mut processes, crashed) = start_crashing(crashing, point).await;
        let what = format!("{} on {crashing:?}, crashed: {crashed:?}", point.name());
        println!("{what}");
        if !crashed.is_empty() {
            reached.push(point.name());
            // Those that crashed, all that should have, or also a node that went on meanwhile.
            let others = if step % 2 == 0 { crashing.to_vec() } else { vec![0, 1, 2] };
            others.into_iter().for_each(|number| processes.end_if_running(number));
            (0..3).filter(|number| crashed.contains(number)).for_each(|number| processes.end_if_running(number));
            processes.begin_all();
        }
        assert_one_cluster(&processes, &what).await;
    }
    reached
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_begins_although_its_first_node_crashes_at_any_step() {
    let reached = crash_at_each_point(&[0]).await;
    let steps = ["founding", "founding-document-noted", "founding-document-handed-over", "founding-begun-noted"];
    assert!(steps.iter().all(|step| reached.contains(step)), "{reached:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_begins_although_another_node_crashes_at_any_step() {
    let reached = crash_at_each_point(&[1]).await;
    let steps = ["founding-document-received", "founding-document-noted", "founding-store-noted"];
    assert!(steps.iter().all(|step| reached.contains(step)), "{reached:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_begins_although_every_node_crashes_at_any_step() {
    let reached = crash_at_each_point(&[0, 1, 2]).await;
    assert_eq!(reached, POINTS.map(Failpoint::name));
}
