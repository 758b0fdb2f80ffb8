//! The simulated device below the log: a flush takes virtual time, and a crash loses what no flush has made durable.
//!
//! The write-ahead log still writes its files, on the real disk. The device notes how long they were at the end of the last
//! flush. When a log opens, everything behind that may be gone, or end anywhere.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::time::Duration;

use parking_lot::Mutex;
use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::{Callback, RaftLog, Types};

use crate::crypto::random;

/// How long a flush takes at least, and how much more at most, in milliseconds.
const FLUSH_MS: (u64, u64) = (1, 3);

/// The lengths of the files of a log.
type Lengths = BTreeMap<OsString, u64>;

/// What is durable of each log in this process.
static DURABLE: Mutex<BTreeMap<PathBuf, Lengths>> = Mutex::new(BTreeMap::new());

/// What the thread of the write-ahead log calls after a flush.
pub(in crate::store) struct DeviceCallback<C>(SyncSender<io::Result<()>>, PhantomData<fn(C)>);

/// The device of one log.
pub(in crate::store) struct LogDevice<C>(Arc<Inner<C>>);

struct Inner<C> {
    folder: PathBuf,
    under_way: Mutex<UnderWay<C>>,
}

struct UnderWay<C> {
    /// How many flushes have begun.
    begun: u64,
    /// What is durable when the flush ends, how it ends, and who learns of it.
    flush: Option<(Lengths, io::Result<()>, C)>,
}

impl<C: Callback + Send + 'static> LogDevice<C> {
    /// The device of this log, all of which is durable.
    pub fn new(log: &RaftLog<impl Types>) -> Self {
        let folder = PathBuf::from(&log.config().wal.dir);
        // Its thread may have something of the opening to do still.
        drop(log.wait_worker_idle());
        note_durable(&folder, lengths(&folder).unwrap_or_default());
        Self(Arc::new(Inner { folder, under_way: Mutex::new(UnderWay { begun: 0, flush: None }) }))
    }

    /// Begins to make everything durable that the log has now. A task calls `callback` at the end.
    pub fn begin(&self, log: &mut RaftLog<impl Types<Callback = DeviceCallback<C>>>, callback: C) -> io::Result<()> {
        let (sender, receiver) = mpsc::sync_channel(1);
        log.flush(true, Some(DeviceCallback(sender, PhantomData)))?;
        let result = receiver.recv().map_err(io::Error::other)?;
        // After the flush, the thread removes purged files.
        log.wait_worker_idle()?;
        let number = {
            let mut under_way = self.0.under_way.lock();
            under_way.flush = Some((lengths(&self.0.folder)?, result, callback));
            under_way.begun += 1;
            under_way.begun
        };
        let inner = Arc::clone(&self.0);
        let duration = Duration::from_millis(FLUSH_MS.0 + u64::from(random::bytes::<1>()[0]) % (FLUSH_MS.1 + 1));
        tokio::spawn(async move {
            tokio::time::sleep(duration).await;
            inner.end(number);
        });
        Ok(())
    }

    /// Lets all flushes end for which this thread is about to wait: nothing else would run meanwhile.
    pub fn before_waiting(&self) {
        loop {
            let under_way = self.0.under_way.lock();
            let (number, is_any) = (under_way.begun, under_way.flush.is_some());
            drop(under_way);
            if !is_any {
                return;
            }
            // This may begin the next one.
            self.0.end(number);
        }
    }
}

impl<C: Callback> Inner<C> {
    /// Ends the flush with this number, unless it has ended before.
    fn end(&self, number: u64) {
        let ended = {
            let mut under_way = self.under_way.lock();
            if under_way.begun == number { under_way.flush.take() } else { None }
        };
        let Some((lengths, result, callback)) = ended else { return };
        if result.is_ok() {
            note_durable(&self.folder, lengths);
        }
        callback.send(result);
    }
}

impl<C: 'static> Callback for DeviceCallback<C> {
    fn send(self, result: io::Result<()>) {
        // The device waits for this.
        let _ = SyncSender::send(&self.0, result);
    }
}

/// Cuts the files in this folder back to what is durable, or to any length between that and what they have.
pub(in crate::store) fn before_opening(folder: &Path) -> io::Result<()> {
    let Some(durable) = DURABLE.lock().get(folder).cloned() else { return Ok(()) };
    for (name, length) in lengths(folder)? {
        let path = folder.join(&name);
        let Some(durable) = durable.get(&name) else {
            fs::remove_file(path)?;
            continue;
        };
        let undurable = length.saturating_sub(*durable);
        let kept = u64::from_be_bytes(random::bytes()) % (undurable + 1);
        if undurable > 0 {
            tracing::debug!(undurable, kept, "the crash of this node cuts the log");
            OpenOptions::new().write(true).open(path)?.set_len(durable + kept)?;
        }
    }
    Ok(())
}

fn note_durable(folder: &Path, lengths: Lengths) {
    DURABLE.lock().insert(folder.to_owned(), lengths);
}

fn lengths(folder: &Path) -> io::Result<Lengths> {
    let files = fs::read_dir(folder)?.filter_map(|entry| {
        let entry = entry.ok()?;
        let is_log = entry.path().extension().is_some_and(|end| end == "wal");
        is_log.then(|| Ok((entry.file_name(), entry.metadata()?.len())))
    });
    files.collect()
}
