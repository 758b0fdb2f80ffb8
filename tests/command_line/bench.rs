//! `bench` goes on while nodes fail.

use serde_json::Value;

use crate::shell::Shell;
use crate::support::processes::Processes;

/// Runs a load test, kills a node under load, waits until more keys are made, and interrupts the test.
async fn report_of_a_failover(http: &str) -> Value {
    let mut cluster = Processes::start().await;
    let admin = Shell::of(&cluster);
    let words = ["bench", "--op", "create=20,generate=80", "--clients", "4", "--http", http, "--warm-up", "0s"];
    let bench = admin.begin(&[&words[..], &["--duration", "600s", "--timeout", "2s", "--json"]].concat());
    let at_another = admin.with("MINIO_KES_SERVER", &admin.server_at(2));
    let created = || at_another.json(&["key", "ls", "bench-"])["names"].as_array().unwrap().len();
    while created() < 30 {
        tokio::task::yield_now().await;
    }
    cluster.kill(0);
    let before = created();
    while created() < before + 30 {
        tokio::task::yield_now().await;
    }
    let id = i32::try_from(bench.id()).ok().and_then(rustix::process::Pid::from_raw).expect("it runs");
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("it runs");
    let ended = bench.wait_with_output().expect("it ends");
    assert!(ended.status.success(), "{ended:?}");
    serde_json::from_slice(&ended.stdout).expect("it prints JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_test_goes_on_when_a_node_is_killed() {
    for http in ["1", "2"] {
        let report = report_of_a_failover(http).await;
        let lost = report["errors"]["connection_lost"].as_u64().unwrap_or_default();
        assert!(lost > 0 && report["reconnects"].as_u64().unwrap() > 0, "HTTP/{http}: {report}");
        assert!(report["longest_gap_ms"].as_f64().unwrap() > 0.0, "HTTP/{http}: {report}");
    }
}

#[test]
fn a_load_test_fails_when_no_server_answers() {
    let ended = Shell::of_nobody().run(&["bench", "--op", "status", "--duration", "600s"]);
    assert_eq!((ended.code, ended.output.as_str()), (3, ""), "{ended:?}");
}
