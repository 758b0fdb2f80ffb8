//! No record is lost or repeated while the disk of the audit file, or of the head note, is full.

use std::process::Command;

use rlimit::Resource;

use super::*;
use crate::telemetry::audit::chain_tests::{TestTrail, write};

/// Room for a record or an `opened` line, but not for a checkpoint.
const ROOM: u64 = 300;

fn length(trail: &TestTrail) -> u64 {
    fs::metadata(trail.path()).unwrap().len()
}

/// Limits the size of every file of this process.
fn limit(trail: &TestTrail, room: Option<u64>) {
    let most = room.map_or(u64::MAX, |room| length(trail) + room);
    Resource::FSIZE.set(most, u64::MAX).unwrap();
}

/// Checks that a trail without faults holds each of these records once.
#[track_caller]
fn assert_written(trail: &TestTrail, records: u32) -> String {
    trail.assert_whole();
    let text = String::from_utf8(trail.text()).unwrap();
    for n in 0..records {
        assert_eq!(text.matches(&format!("\"path\":\"/{n}\"")).count(), 1, "{text}");
    }
    text
}

#[test]
fn a_checkpoint_without_room_loses_and_repeats_no_record() {
    const AGAIN: &str = "KEYRAFT_TEST_WITHOUT_ROOM";
    if std::env::var_os(AGAIN).is_none() {
        // Run in a process of its own, because the limit is one of processes. Ignore the signal, so that the write
        // fails.
        let name = "a_checkpoint_without_room_loses_and_repeats_no_record";
        let test = format!("{}::{name}", module_path!().split_once("::").unwrap().1);
        let mut again = Command::new("sh");
        again.args(["-c", r#"trap "" XFSZ; exec "$0" --exact "$1""#]).arg(std::env::current_exe().unwrap()).arg(test);
        let ended = again.env(AGAIN, "1").output().unwrap();
        assert!(ended.status.success() && String::from_utf8_lossy(&ended.stdout).contains("1 passed"), "{ended:?}");
        return;
    }
    let trail = TestTrail::new();
    let mut file = trail.open();
    write(&mut file, 0);
    limit(&trail, Some(ROOM));
    file.open.as_mut().unwrap().unsigned = CHECKPOINT_AT_ONCE;
    write(&mut file, 1);
    assert!(file.open.is_none(), "it could not be signed");
    limit(&trail, Some(ROOM));
    let before = length(&trail);
    for _ in 0..3 {
        assert!(file.write(["{\"time\":\"\"}"].into_iter()).is_err(), "its beginning cannot be signed");
        assert_eq!(length(&trail), before);
    }
    limit(&trail, None);
    write(&mut file, 2);
    file.close();
    assert_written(&trail, 3);
}

#[test]
fn a_failed_head_note_loses_no_record() {
    let trail = TestTrail::new();
    let gone = trail.path().with_file_name("gone");
    let mut file = AuditFile::new(trail.config.clone(), "node-1", gone, Some(Arc::clone(&trail.key)));
    for n in 0..3 {
        write(&mut file, n);
        file.open.as_mut().unwrap().unsigned = CHECKPOINT_AT_ONCE;
        file.tick().unwrap();
    }
    file.close();
    let text = assert_written(&trail, 3);
    assert_eq!((text.matches("\"opened\"").count(), text.matches("\"checkpoint\"").count()), (1, 4), "{text}");
}
