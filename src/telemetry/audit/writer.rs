//! The thread that writes what was recorded, to the sinks and to live feeds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use super::sinks::Sinks;
use super::{Audit, PendingChanges, loss_line};
use crate::telemetry::record::{AuditRecord, write_extension, write_record};

/// How long records gather before they are written.
const PERIOD: Duration = Duration::from_millis(5);
/// How long a record that no sink took waits before it is offered again.
const AGAIN: Duration = Duration::from_millis(50);
/// Records that are written together, however many more there are.
const AT_A_TIME: usize = 128;

/// What the thread holds.
pub(super) struct RecordWriter {
    audit: Arc<Audit>,
    sinks: Sinks,
    /// Taken from the queue and not yet written.
    batch: VecDeque<AuditRecord>,
    /// Given up by their requests and not yet told.
    lost: u64,
    number: u64,
    /// The sinks are new, and were offered nothing yet: one that cannot be opened shows before the first request.
    untried: bool,
}

impl RecordWriter {
    pub(super) fn new(audit: Arc<Audit>, sinks: Sinks) -> Self {
        Self { audit, sinks, batch: VecDeque::new(), lost: 0, number: 0, untried: true }
    }

    /// Writes until told to stop; how many records are left unwritten then.
    pub(super) fn run(mut self) -> u64 {
        loop {
            // Looked at before the queue, so that all that came before it is still written.
            let stopping = self.audit.stopping.load(Relaxed);
            if self.audit.killed.load(Relaxed) {
                return self.batch.len() as u64 + self.lost;
            }
            self.audit.note_writing(true);
            self.follow_orders();
            self.audit.note_writing(false);
            if self.batch.is_empty() {
                self.take();
            }
            let (had_some, told) = (!self.batch.is_empty() || self.lost > 0, self.tell());
            self.audit.note(told);
            self.audit.note_writing(true);
            self.sinks.tick(&self.audit.sinks);
            self.audit.note_writing(false);
            match (stopping, told) {
                (true, true) if !had_some => break,
                (true, false) => break,
                (true, true) => {}
                (false, false) => thread::park_timeout(AGAIN),
                (false, true) => {
                    if !had_some {
                        self.audit.queue.sleep_while_empty(self.sinks.due());
                    }
                    thread::park_timeout(PERIOD);
                }
            }
        }
        self.sinks.close();
        self.batch.len() as u64 + self.lost
    }

    fn follow_orders(&mut self) {
        let PendingChanges { sinks, key } = std::mem::take(&mut *self.audit.orders.lock());
        if let Some(wanted) = sinks {
            self.sinks.reconfigure(wanted, &self.audit.sinks);
            self.untried = true;
        }
        if let Some(key) = key {
            self.sinks.sign_with(key);
        }
    }

    fn take(&mut self) {
        let mut taken = Vec::from(std::mem::take(&mut self.batch));
        self.audit.queue.take(&mut taken);
        taken.sort_by_key(|record| record.time_ns);
        self.batch = taken.into();
        self.lost += self.audit.queue.take_abandoned();
    }

    /// Tells of what was taken, wherever somebody looks; false when it must be told again.
    fn tell(&mut self) -> bool {
        if self.untried && !self.sinks.is_empty() && !self.offer(&[]) {
            return false;
        }
        self.untried = false;
        while !self.batch.is_empty() {
            let count = self.batch.len().min(AT_A_TIME);
            if !self.write(count) {
                return false;
            }
            self.number += count as u64;
            self.audit.feed.publish(self.batch.drain(..count));
            self.audit.queue.release(count);
        }
        self.tell_loss()
    }

    /// Writes the first of the batch; false when they must be written again.
    fn write(&mut self, count: usize) -> bool {
        if self.sinks.is_empty() {
            return !self.audit.required.load(Relaxed);
        }
        let (mut text, mut ends) = (String::new(), Vec::with_capacity(count));
        for (number, record) in (self.number + 1..).zip(self.batch.range(..count)) {
            write_record(&mut text, record);
            write_extension(&mut text, number, record);
            ends.push(text.len());
        }
        let starts = [0].iter().chain(&ends);
        let lines: Vec<_> = starts.zip(&ends).map(|(start, end)| &text[*start..*end]).collect();
        self.offer(&lines)
    }

    fn tell_loss(&mut self) -> bool {
        if self.lost == 0 {
            return true;
        }
        if !self.sinks.is_empty() && !self.offer(&[&loss_line(self.lost)]) {
            return false;
        }
        tracing::warn!(lost = self.lost, "requests were given up while they waited to be audited");
        self.audit.feed.publish_loss(self.lost);
        self.audit.lost.fetch_add(self.lost, Relaxed);
        self.number += std::mem::take(&mut self.lost);
        true
    }

    /// Offers lines to the sinks; false when they must be offered again.
    fn offer(&mut self, lines: &[&str]) -> bool {
        self.audit.note_writing(true);
        let taken = self.sinks.tell(lines, &self.audit.sinks);
        self.audit.note_writing(false);
        if !taken && !self.audit.required.load(Relaxed) {
            self.audit.unwritten.fetch_add(lines.len() as u64, Relaxed);
            return true;
        }
        taken
    }
}
