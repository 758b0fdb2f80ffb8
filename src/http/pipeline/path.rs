//! Decodes the path of a request, once. The route table, the policy check and the audit trail see the result (wire
//! contract, "Bodies and headers").

/// The path has a `%` that does not begin two hexadecimal digits, or does not decode to UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPath;

/// Undoes percent-encoding. A `+`, dots and double slashes stay as they are.
///
/// # Errors
/// A `%` lacks two hexadecimal digits after it, or the result is not UTF-8.
pub fn decode(raw: &str) -> Result<String, BadPath> {
    if !raw.contains('%') {
        return Ok(raw.to_owned());
    }
    String::from_utf8(unescape(raw.as_bytes())?).map_err(|_| BadPath)
}

fn unescape(raw: &[u8]) -> Result<Vec<u8>, BadPath> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter();
    while let Some(&byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next())? << 4 | digit(bytes.next())?,
            other => other,
        });
    }
    Ok(decoded)
}

fn digit(byte: Option<&u8>) -> Result<u8, BadPath> {
    let value = byte.and_then(|byte| char::from(*byte).to_digit(16)).ok_or(BadPath)?;
    u8::try_from(value).map_err(|_| BadPath)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_once() {
        for (raw, decoded) in [
            ("/v1/key/create/a", "/v1/key/create/a"),
            ("/v1/key/list/a%2A", "/v1/key/list/a*"),
            ("/v1/key/create/a%2fb%2Fc", "/v1/key/create/a/b/c"),
            ("/v1/key/create/%2e%2e", "/v1/key/create/.."),
            ("/v1/key/create/%C3%A4", "/v1/key/create/ä"),
            ("/v1/key/create/a%2541", "/v1/key/create/a%41"),
            ("/v1/key/create/a+b%00", "/v1/key/create/a+b\0"),
            ("%2Fversion", "/version"),
            ("", ""),
        ] {
            assert_eq!(decode(raw).as_deref(), Ok(decoded), "{raw}");
        }
    }

    #[test]
    fn bad_escapes_and_bad_utf8_are_refused() {
        for bad in ["%", "/a%", "/a%2", "/a%zz", "/a%2g", "/%ff", "/%C3", "/a%+1"] {
            assert_eq!(decode(bad), Err(BadPath), "{bad}");
        }
    }
}
