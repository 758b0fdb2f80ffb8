//! The id of a request: the same in its answer, in the log, and in every form of the audit trail.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::{HeaderName, HeaderValue};

/// The header of an answer with the id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static(NAME);
/// The name of that header.
pub const NAME: &str = "keyraft-request-id";

/// The source of ids. Its clones draw from the same source.
#[derive(Clone)]
pub struct RequestIds(Arc<AtomicU64>);

impl RequestIds {
    /// The id of the next request.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Relaxed)
    }
}

impl Default for RequestIds {
    /// Ids begin at a random number in each process, so that the ids of two processes seldom meet in one log.
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(RandomState::new().build_hasher().finish())))
    }
}

/// The digits of an id. The log and the audit trail write the same, as `{id:016x}`.
pub fn digits(id: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    hex::encode_to_slice(id.to_be_bytes(), &mut digits).expect("8 bytes have 16 digits");
    digits
}

/// The header's value.
pub fn value(id: u64) -> HeaderValue {
    let mut value = HeaderValue::from_bytes(&digits(id)).expect("digits are a header's value");
    // No two answers have the same value. Marked as sensitive, it stays out of HTTP/2's table of headers.
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_each_other_and_have_sixteen_digits() {
        let ids = RequestIds::default();
        let first = ids.next();
        assert_eq!(ids.clone().next(), first.wrapping_add(1));
        for id in [0, 0xfe, first, u64::MAX] {
            assert_eq!(value(id), format!("{id:016x}"));
        }
    }
}
