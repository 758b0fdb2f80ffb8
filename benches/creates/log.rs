//! The log alone: how many entries a second it makes durable.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use futures::future::join_all;
use keyraft::crypto::{Cipher, IntegrityKeys};
use keyraft::policy::{ActionKind, Actor, Author, Identity, KeyAction};
use keyraft::state::{ClusterId, Command, CreationId, IncarnationId, KeyRecord, Operation, RequestId};
use keyraft::store::{LogId, LogStore, Owner, StoreId, StoreKeys};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// The bytes of an entry before its command: format, kind and level.
const FRAME_BYTES: usize = 2;
const WARM_UP: Duration = Duration::from_millis(500);

/// How many entries a second the writers append. Each writer waits until its entry is durable before it appends the next.
pub async fn appends_a_second(dir: &Path, writers: usize, time: Duration) -> std::io::Result<f64> {
    let log = open(dir)?;
    let next = Arc::new(Mutex::new(0));
    let begin = Instant::now() + WARM_UP;
    let appending = (0..writers).map(|_| tokio::spawn(append_until(log.clone(), Arc::clone(&next), begin, time)));
    let counts: Vec<_> = join_all(appending).await;
    log.close();
    std::fs::remove_dir_all(dir)?;
    let count = counts.into_iter().map(|count| count.map_err(std::io::Error::other)?).sum::<std::io::Result<u32>>()?;
    Ok(f64::from(count) / time.as_secs_f64())
}

/// A new log, as a node has it that has never taken part.
fn open(dir: &Path) -> std::io::Result<LogStore> {
    let (cluster, incarnation) = (ClusterId([1; 16]), IncarnationId([2; 16]));
    let keys = StoreKeys { cluster, incarnation, integrity: IntegrityKeys::generate() };
    let owner = Owner { store_id: StoreId([3; 16]), node_id: 1 };
    LogStore::create(dir, owner, &keys, None).map_err(std::io::Error::other)
}

async fn append_until(log: LogStore, next: Arc<Mutex<u64>>, begin: Instant, time: Duration) -> std::io::Result<u32> {
    let payload = payload();
    let mut count = 0;
    while begin.elapsed() < time {
        let (sender, durable) = oneshot::channel();
        {
            // The log wants entries without a gap, so the lock covers number and append.
            let mut next = next.lock();
            let id = LogId { term: 1, node: 1, index: *next };
            log.append([(id, payload.clone())], Box::new(move |result| drop(sender.send(result))))?;
            *next += 1;
        }
        durable.await.map_err(std::io::Error::other)??;
        count += u32::from(Instant::now() >= begin);
    }
    Ok(count)
}

/// An entry like that of a create.
fn payload() -> Bytes {
    let (name, identity) = ("bench-00000000-000-000000", Identity::from_bytes([7; 32]));
    let record = KeyRecord {
        creation_id: CreationId([7; 16]),
        version: 1,
        cipher: Cipher::Aes256,
        disabled: false,
        ring_version: 1,
        author: Author { created_at: Some(1 << 60), created_by: Some(identity) },
        last_used: None,
        delete_at: None,
        sealed: vec![7; 110],
    };
    let command = Command {
        time_ns: 1 << 60,
        actor: Actor::Client { identity, file_admin: true },
        action: Some(ActionKind::Key(KeyAction::Create)),
        file_names_admin: true,
        operation: Operation::CreateKey { name: name.to_owned(), record: record.encode().into() },
    };
    let mut payload = BytesMut::zeroed(FRAME_BYTES);
    payload.put(command.encode(1, RequestId([7; 16]), 1 << 20).bytes().clone());
    payload.freeze()
}
