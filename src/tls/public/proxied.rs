//! The certificate that a TLS proxy forwards in a header, as URL-escaped PEM (wire contract, "Identity and TLS").

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;

use crate::tls::certificate::identity::CertificateError;

/// Why a forwarded certificate does not identify a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ForwardedError {
    /// The header is not a PEM certificate in URL encoding.
    #[error("tls: the forwarded client certificate cannot be read")]
    Unreadable,
    /// The certificate does not chain to a trusted root, is out of date, or is that of a node.
    #[error("tls: the forwarded client certificate is not trusted")]
    Untrusted,
    /// The chain does not identify a client.
    #[error("{}", no_identity(.0))]
    NoIdentity(CertificateError),
}

/// Reads the certificates in the header; at least one.
pub fn chain(header: &[u8]) -> Result<Vec<CertificateDer<'static>>, ForwardedError> {
    let pem = with_spaces(unescape(header).ok_or(ForwardedError::Unreadable)?);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    chain.ok().filter(|chain| !chain.is_empty()).ok_or(ForwardedError::Unreadable)
}

/// Restores the spaces of the first and last line, which a proxy may have escaped as `+`, as in a form.
fn with_spaces(mut pem: Vec<u8>) -> Vec<u8> {
    const ESCAPED: [&[u8]; 2] = [b"BEGIN+CERTIFICATE", b"END+CERTIFICATE"];
    for escaped in ESCAPED {
        let places = pem.windows(escaped.len()).enumerate().filter(|(_, window)| *window == escaped);
        let places: Vec<_> = places.map(|(at, _)| at + escaped.len() - "+CERTIFICATE".len()).collect();
        places.into_iter().for_each(|at| pem[at] = b' ');
    }
    pem
}

/// Undoes percent-encoding. A `+` stays, because base64 uses it.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let (byte, after) = match (first, tail) {
            (b'%', [high, low, after @ ..]) => (hex_byte(*high, *low)?, after),
            (b'%', _) => return None,
            (other, after) => (*other, after),
        };
        bytes.push(byte);
        rest = after;
    }
    Some(bytes)
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let mut byte = [0];
    hex::decode_to_slice([high, low], &mut byte).ok()?;
    Some(byte[0])
}

fn no_identity(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Several => "tls: received more than one client certificate",
        CertificateError::Authority | CertificateError::Malformed => "tls: client certificate is required",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Identity;
    use crate::tls::certificate::identity::identity_of;
    use crate::tls::testing::{Leaf, TestAuthority};

    fn identity(header: &[u8]) -> Result<Identity, ForwardedError> {
        identity_of(&chain(header)?).map_err(ForwardedError::NoIdentity)
    }

    fn escaped(pem: &str) -> String {
        pem.bytes().fold(String::new(), |text, byte| match byte {
            b'\n' | b' ' | b'+' | b'/' | b'=' => text + &format!("%{byte:02X}"),
            byte => text + &char::from(byte).to_string(),
        })
    }

    #[test]
    fn a_forwarded_certificate_has_its_identity() {
        let client = Leaf::self_signed();
        let escaped = escaped(&client.pem());
        assert_eq!(identity(escaped.as_bytes()), Ok(client.identity()));
        let as_in_forms = escaped.replace("%20", "+");
        assert_ne!(as_in_forms, escaped);
        assert_eq!(identity(as_in_forms.as_bytes()), Ok(client.identity()));
    }

    #[test]
    fn the_header_must_hold_exactly_one_client_certificate() {
        for bad in ["", "x", "%", "%zz", "-----BEGIN CERTIFICATE-----", "%00%ff"] {
            assert_eq!(identity(bad.as_bytes()), Err(ForwardedError::Unreadable), "{bad}");
        }
        let authority = TestAuthority::new();
        let two = escaped(&(authority.client().pem() + &authority.client().pem()));
        assert_eq!(identity(two.as_bytes()), Err(ForwardedError::NoIdentity(CertificateError::Several)));
    }
}
