//! A leader whose disk stalls hands leadership over, and all nodes go on.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::processes::Processes;
use crate::support::status;

/// How long each flush takes while the disk stalls.
const DELAY: Duration = Duration::from_secs(60);

/// A disk that does not finish flushes. Dropping it lets the disk go on.
struct Stall(Child);

impl Stall {
    /// Delays each flush of this process. `None` where strace cannot do that.
    async fn of(process: u32, output: PathBuf) -> Option<Self> {
        let delay = format!("inject=fdatasync,fsync:delay_enter={}", DELAY.as_micros());
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-e", "trace=fdatasync,fsync", "-e", &delay, "-p", &process.to_string(), "-o"]);
        let child = strace.arg(output).stderr(Stdio::null()).spawn().ok()?;
        let mut stall = Self(child);
        let status = format!("/proc/{process}/status");
        for _ in 0..500 {
            // strace ends at once where it may not trace.
            if stall.0.try_wait().expect("it is ours").is_some() {
                return None;
            }
            let status = fs::read_to_string(&status).expect("the process runs");
            if status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0")) {
                return Some(stall);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("strace does not attach");
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).expect("a process has an id");
        // On this signal strace lets the process go on without it. It may have ended by itself.
        let _ = kill_process(pid, Signal::TERM);
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_disk_stalls_hands_leadership_over_and_every_node_decrypts() {
    let processes = Processes::start().await;
    let admin = processes.admin();
    let leader = processes.leader().await;
    let (asked, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let mut keys = admin.create_many("before", 3).await;
    let Some(stall) = Stall::of(processes.id(leader), processes.data(leader).join("strace")).await else {
        println!("SKIPPED: strace is missing here, or may not trace");
        return;
    };
    admin.create_through(asked, "at-the-stall").await;
    processes.wait_for_log(leader, &["the disk of cluster.data stalls"]).await;
    processes.wait_for_log(leader, &["hands leadership over", "its disk stalls"]).await;
    let (data, leader_id) = (processes.data_folders(), u64::try_from(leader).expect("it is small") + 1);
    let agreed = async || {
        let seen = [status::of(&data[asked]).await.ok()?, status::of(&data[other]).await.ok()?];
        let new = seen[0]["leader"].as_u64()?;
        (new != leader_id && seen[1]["leader"].as_u64() == Some(new)).then_some(())
    };
    status::wait_for("another leader", &data, agreed).await;
    admin.create_through(other, "during-the-stall").await;
    keys.push(admin.generate(asked, "during-the-stall").await.expect("the key is there"));
    for node in [asked, other] {
        admin.assert_decrypts(node, &keys).await;
    }
    admin.assert_decrypts(leader, &keys[..3]).await;
    drop(stall);
    admin.create_through(leader, "after-the-stall").await;
    admin.assert_decrypts(leader, &keys).await;
    status::assert_equal_digests(&data).await;
}
