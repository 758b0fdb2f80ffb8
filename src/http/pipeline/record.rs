//! The record of one request: its metrics and its audit record, written when it ends, however it ends.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures::FutureExt;

use crate::clock;
use crate::kms::Behind;
use crate::policy::Identity;
use crate::telemetry::{Audit, AuditRecord, HttpMetrics, NotApplied, Unrecorded};

/// The recorded status when the client left before its answer. No client ever sees it.
const CLIENT_GONE: u16 = 499;
/// The recorded status when a handler panicked.
const PANICKED: u16 = 500;

/// The record of a request that has begun. It ends with [`RequestRecord::finish`], or when it is dropped because the
/// client left.
pub struct RequestRecord<'a> {
    audit: &'a Audit,
    metrics: &'a HttpMetrics,
    started: Instant,
    record: Option<AuditRecord>,
}

impl<'a> RequestRecord<'a> {
    /// Begins the record of a request for `path` from `ip`.
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

    /// Notes who sent the request.
    pub fn set_identity(&mut self, identity: Option<Identity>, file_admin: Option<Identity>) {
        if let Some(record) = &mut self.record {
            record.identity = identity;
            record.file_admin = identity.is_some() && identity == file_admin;
        }
    }

    /// Notes whether the node held no lease.
    pub fn set_isolated(&mut self, isolated: bool) {
        if let Some(record) = &mut self.record {
            record.isolated = isolated;
        }
    }

    /// Notes the nodes that had not applied the request's revocation.
    pub fn set_not_applied(&mut self, Behind(names): Behind) {
        if let Some(record) = &mut self.record {
            record.not_applied = (!names.is_empty()).then(|| Box::new(NotApplied(names)));
        }
    }

    /// The id of the request.
    pub fn request_id(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.request_id)
    }

    /// When the request began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The recorded path.
    pub fn path(&self) -> &str {
        self.record.as_ref().map_or("", |record| &record.path)
    }

    /// Ends the record with the status of the answer. Waits while the audit queue is full.
    ///
    /// # Errors
    /// The audit trail did not take the record, so the client must not get the answer.
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

impl Drop for RequestRecord<'_> {
    fn drop(&mut self) {
        let status = if std::thread::panicking() { PANICKED } else { CLIENT_GONE };
        if let Some(record) = self.close(status) {
            // A drop cannot wait for room in the queue. If the queue is full, the audit trail reports the record as
            // lost.
            let _ = self.audit.record(record).now_or_never();
        }
    }
}
