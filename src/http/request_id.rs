//! The id of a request: the same in its answer, in the log, and in every form of the audit trail.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::{HeaderName, HeaderValue};

/// The header of an answer that has the id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static(NAME);
/// The header's name as it is written.
pub const NAME: &str = "keyraft-request-id";

/// Where ids come from; its clones draw from the same source.
#[derive(Clone)]
pub struct RequestIds(Arc<AtomicU64>);

impl RequestIds {
    /// The id of one more request.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Relaxed)
    }
}

impl Default for RequestIds {
    /// They begin elsewhere in each process, so that they seldom meet in one log.
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(RandomState::new().build_hasher().finish())))
    }
}

/// An id as the log and the audit trail write it too: `{id:016x}`.
pub fn digits(id: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    hex::encode_to_slice(id.to_be_bytes(), &mut digits).expect("8 bytes have 16 digits");
    digits
}

/// The header's value.
pub fn value(id: u64) -> HeaderValue {
    let mut value = HeaderValue::from_bytes(&digits(id)).expect("digits are a header's value");
    // No two answers have the same one: HTTP/2 must not make room in its table of headers for each.
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
