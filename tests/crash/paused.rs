//! A paused node: a revocation waits until its lease is over, and the node never does what was revoked meanwhile.

use keyraft::clock;

use crate::support::http::{Framing, Request};
use crate::support::http1;
use crate::support::processes::Processes;
use crate::support::status;

/// Requests that lie in the sockets of a paused node before the revocation, and as many after it.
const REQUESTS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_node_never_uses_a_key_whose_deletion_was_acknowledged() {
    let processes = Processes::start_with(&[("offline:", "0s"), ("audit:", "on")]).await;
    for pauses_leader in [false, true] {
        let leader = leader(&processes).await;
        let paused = if pauses_leader { leader } else { (leader + 1) % 3 };
        assert_never_uses_what_was_deleted(&processes, paused).await;
        status::assert_equal_digests(&processes.data_folders()).await;
    }
}

async fn assert_never_uses_what_was_deleted(processes: &Processes, paused: usize) {
    let (user, asked) = (processes.admin(), (paused + 1) % 3);
    let name = format!("key-{paused}");
    user.create(asked, &name).await.expect("the key is new");
    // The opened key is in its cache.
    user.generate(paused, &name).await.expect("the key is there");
    let mut streams = Vec::new();
    for _ in 0..2 * REQUESTS {
        streams.push(user.connect(paused).await);
    }
    let request =
        Request { framing: Framing::Length, ..Request::new("PUT", &format!("/v1/key/generate/{name}"), Some("{}")) };
    let held_until_s = user.metric(paused, "keyraft_lease_until_seconds").await;
    processes.pause(paused).await;
    for stream in &mut streams[..REQUESTS] {
        http1::begin(stream, &request).await.expect("the socket takes it");
    }
    user.delete(asked, &name).await.expect("the key is there");
    let acknowledged_ns = clock::boot_ns();
    for stream in &mut streams[REQUESTS..] {
        http1::begin(stream, &request).await.expect("the socket takes it");
    }
    processes.go_on(paused);
    for mut stream in streams {
        if let Ok(answer) = http1::finish(&mut stream).await {
            assert!(matches!(answer.status, 404 | 503), "it uses a deleted key: {} {}", answer.status, answer.text());
        }
    }
    let acknowledged_s = std::time::Duration::from_nanos(acknowledged_ns.unsigned_abs()).as_secs_f64();
    assert!(acknowledged_s >= held_until_s, "acknowledged at {acknowledged_s}, under a lease until {held_until_s}");
    status::wait_for_state(&processes.data(paused), "serving").await;
    let gone = async || user.generate(paused, &name).await.err().filter(|refusal| refusal.status == Some(404));
    status::wait_for("the node to serve", &[], gone).await;
    let (path, named) = (format!("/v1/key/delete/{name}"), format!(r#""not_applied":["node-{}"]"#, paused + 1));
    let audited = async || processes.log(asked).lines().find(|line| line.contains(&path)).map(str::to_owned);
    let record = status::wait_for("the audit record", &[], audited).await;
    assert!(record.contains(&named), "{record}");
}

async fn leader(processes: &Processes) -> usize {
    let data = processes.data_folders();
    let agreed = async || {
        let seen = status::of_all(&data).await.ok()?;
        let leader = seen.first()?["leader"].as_u64()?;
        seen.iter().all(|status| status["leader"] == leader).then_some(leader)
    };
    let id = status::wait_for("a leader", &data, agreed).await;
    usize::try_from(id).expect("ids are small") - 1
}
