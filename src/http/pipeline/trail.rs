//! The trail of one request: counted and audited at its end, whatever that is.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures::FutureExt;

use crate::clock;
use crate::kms::Behind;
use crate::policy::Identity;
use crate::telemetry::{Audit, AuditRecord, HttpMetrics, NotApplied, Unrecorded};

/// The status on record when the client left before its answer; no client ever sees it.
const CLIENT_GONE: u16 = 499;
/// The status on record when this program failed.
const FAILED: u16 = 500;

/// A request on its way; ends with [`Trail::finish`], or when it is dropped because the client is gone.
pub struct Trail<'a> {
    audit: &'a Audit,
    metrics: &'a HttpMetrics,
    started: Instant,
    record: Option<AuditRecord>,
}

impl<'a> Trail<'a> {
    /// Begins the trail of a request for `path` from `ip`.
    pub fn begin(
        audit: &'a Audit,
        metrics: &'a HttpMetrics,
        request_id: u64,
        ip: Option<IpAddr>,
        path: String,
    ) -> Self {
        metrics.started();
        let record = AuditRecord {
            time_ns: clock::unix_ns(),
            ip,
            path,
            identity: None,
            file_admin: false,
            isolated: false,
            not_applied: None,
            status: CLIENT_GONE,
            took: Duration::ZERO,
            request_id,
        };
        Self { audit, metrics, started: Instant::now(), record: Some(record) }
    }

    /// Notes who asks.
    pub fn identified(&mut self, identity: Option<Identity>, file_admin: Option<Identity>) {
        if let Some(record) = &mut self.record {
            record.identity = identity;
            record.file_admin = identity.is_some() && identity == file_admin;
        }
    }

    /// Notes whether the node held no lease.
    pub fn isolated(&mut self, isolated: bool) {
        if let Some(record) = &mut self.record {
            record.isolated = isolated;
        }
    }

    /// Notes the nodes that had not applied the revocation that was asked for.
    pub fn revoked(&mut self, Behind(names): Behind) {
        if let Some(record) = &mut self.record {
            record.not_applied = (!names.is_empty()).then(|| Box::new(NotApplied(names)));
        }
    }

    /// The number of the request, in this process.
    pub fn request_id(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.request_id)
    }

    /// When it began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The path on record.
    pub fn path(&self) -> &str {
        self.record.as_ref().map_or("", |record| &record.path)
    }

    /// Ends it with the status of its answer; waits while the audit queue is full.
    ///
    /// # Errors
    /// It could not be recorded, and must not be answered as it was.
    pub async fn finish(mut self, status: u16) -> Result<(), Unrecorded> {
        let Some(record) = self.close(status) else { return Ok(()) };
        match self.audit.try_record(record) {
            Ok(()) => Ok(()),
            Err(record) => Box::pin(self.audit.record(record)).await,
        }
    }

    fn close(&mut self, status: u16) -> Option<AuditRecord> {
        let took = self.started.elapsed();
        let record = self.record.take()?;
        self.metrics.finished(status, took);
        Some(AuditRecord { status, took, ..record })
    }
}

impl Drop for Trail<'_> {
    fn drop(&mut self) {
        let status = if std::thread::panicking() { FAILED } else { CLIENT_GONE };
        if let Some(record) = self.close(status) {
            // Nobody is left to wait for room in the queue: without any, the record is told of as lost.
            let _ = self.audit.record(record).now_or_never();
        }
    }
}
