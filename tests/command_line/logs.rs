//! `log audit` and `log error`.

use std::fs;
use std::io::{BufRead, BufReader};

use rustix::process::Signal;
use serde_json::Value;

use crate::shell::Shell;
use crate::support::processes::Processes;
use crate::support::status;

/// The events that a command prints, one on a line.
fn events(shell: &Shell, words: &[&str]) -> Vec<Value> {
    let ended = shell.run(words);
    assert_eq!(ended.code, 0, "keyraft {}: {ended:?}", words.join(" "));
    ended.output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn paths(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["request"]["path"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_node_or_all_are_shown_and_followed() {
    let cluster = Processes::start().await;
    let admin = Shell::of(&cluster);
    let (first, second) = (admin.server_at(0), admin.server_at(1));
    admin.json(&["key", "create", "one", "--server", &first]);
    admin.json(&["key", "create", "other", "--server", &second]);

    let shown = events(&admin, &["log", "audit", "--server", &first]);
    assert_eq!(paths(&shown).iter().filter(|path| path.starts_with("/v1/key/create/")).count(), 1, "{shown:?}");
    let last = events(&admin, &["log", "audit", "-n", "1", "--server", &second]);
    assert_eq!(last.len(), 1, "{last:?}");
    let all = events(&admin, &["log", "audit", "--cluster", "--server", &first]);
    for path in ["/v1/key/create/one", "/v1/key/create/other"] {
        let event = all.iter().find(|event| event["request"]["path"] == path).unwrap();
        assert!(event["node"].is_string(), "{event}");
    }

    // `--follow --cluster` shows new events of every node until it is stopped.
    let mut follower = admin.begin(&["log", "audit", "--follow", "--cluster", "--server", &first]);
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let begun = lines.next().unwrap().unwrap();
    assert!(serde_json::from_str::<Value>(&begun).is_ok(), "{begun}");
    admin.json(&["key", "create", "followed", "--server", &second]);
    let found = lines.find(|line| line.as_ref().unwrap().contains("/v1/key/create/followed"));
    assert!(found.unwrap().unwrap().contains(r#""node":"#));
    follower.kill().unwrap();
    follower.wait().unwrap();

    let (_, nobody) = admin.someone(&[]);
    let refused = nobody.run(&["log", "audit"]);
    assert_eq!((refused.code, refused.error.contains("no policy")), (4, true), "{refused:?}");
    let away = admin.run(&["log", "audit", "--server", "127.0.0.1:1,127.0.0.1:2"]);
    assert_eq!(away.code, 3);
    assert!(away.error.contains("127.0.0.1:1: ") && away.error.contains("127.0.0.1:2: "), "{away:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn following_goes_on_at_the_next_server_while_the_caller_may() {
    let mut cluster = Processes::start().await;
    let admin = Shell::of(&cluster);
    let two = format!("{},{}", admin.server_at(0), admin.server_at(1));
    admin.json(&["policy", "create", "listener", "--allow", "/v1/log/audit"]);
    let (identity, listener) = admin.someone(&["--policy", "listener"]);
    let mut follower = listener.begin(&["log", "audit", "--follow", "--server", &two]);
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut messages = BufReader::new(follower.stderr.take().unwrap()).lines();
    lines.next().unwrap().unwrap();

    cluster.kill(0);
    let lost = messages.next().unwrap().unwrap();
    assert!(lost.contains(&format!("the connection to https://{} is lost", admin.server_at(0))), "{lost}");
    assert!(!lost.contains("docs.rs"), "{lost}");
    assert!(messages.next().unwrap().unwrap().contains(&admin.server_at(1)));
    admin.json(&["key", "create", "then", "--server", &admin.server_at(1)]);
    assert!(lines.any(|line| line.unwrap().contains("/v1/key/create/then")));

    admin.json(&["identity", "rm", &identity, "--server", &two]);
    let ended = follower.wait().unwrap();
    assert_eq!(ended.code(), Some(4), "{:?}", messages.collect::<Vec<_>>());

    let mut follower = admin.begin(&["log", "audit", "--follow", "--server", &admin.server_at(1)]);
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    cluster.kill(1);
    let ended = follower.wait_with_output().unwrap();
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(error.contains("events after that are not shown") && !error.contains("is the server running"), "{error}");
    assert_eq!(ended.status.code(), Some(3), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_a_node_are_shown_alone_and_with_those_of_all() {
    let cluster = Processes::start().await;
    let admin = Shell::of(&cluster);
    let (first, second) = (admin.server_at(0), admin.server_at(1));
    let mut follower = admin.begin(&["log", "error", "--follow", "--server", &first]);
    let config = Shell::folder(&cluster).join("node-1/config.yml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\nstrange: section\n")).unwrap();
    cluster.signal(0, Signal::HUP);
    let refused = "the changed configuration has problems, and the node keeps the old one";
    status::wait_for("an error", &[cluster.data(0)], async || cluster.log(0).contains(refused).then_some(())).await;

    let has_error = |events: &[Value]| events.iter().any(|event| event.to_string().contains(refused));
    assert!(has_error(&events(&admin, &["log", "error", "--server", &first])));
    assert!(!has_error(&events(&admin, &["log", "error", "--server", &second])));
    assert!(has_error(&events(&admin, &["log", "error", "--cluster", "--server", &second])));
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(refused)));
    follower.kill().unwrap();
    follower.wait().unwrap();
}
