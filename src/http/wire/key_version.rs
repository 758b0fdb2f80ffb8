//! Versions of a key as requests name them: `v1`, `v2` and so on.

use std::borrow::Cow;

use super::json::non_empty;

/// The number for a text that is not a version: no key has it, since versions count from 1.
const NO_VERSION: u32 = 0;

/// The number of a version such as `v1`. The key decides whether it has that version. `None` if the
/// request does not name a version.
pub fn number(field: Option<&Cow<'_, str>>) -> Option<u32> {
    non_empty(field).map(|text| {
        let digits = text.strip_prefix('v').filter(|digits| !digits.starts_with(['0', '+']));
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(NO_VERSION)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_v_and_a_number_from_one() {
        let parsed = |text: &'static str| number(Some(&Cow::Borrowed(text)));
        assert_eq!(number(None), None);
        assert_eq!(parsed(""), None);
        assert_eq!(parsed("v1"), Some(1));
        assert_eq!(parsed("v4294967295"), Some(u32::MAX));
        for bad in ["v0", "v", "1", "V1", "v01", "v+1", "v-1", "v1 ", "v4294967296", "latest"] {
            assert_eq!(parsed(bad), Some(NO_VERSION), "{bad}");
        }
    }
}
