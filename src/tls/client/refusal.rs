//! Why a TLS connection was refused, as far as a person can do something about it.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};

/// What one side did not like about the other's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The server's certificate does not chain to a trusted root.
    Untrusted,
    /// It does, but is for other names.
    WrongName,
    /// It has expired, or is not valid yet.
    Expired,
    /// The server asked for a client certificate and got none, or one it does not accept.
    ClientCertificate,
}

impl Refusal {
    /// Finds the refusal at the root of an error, when there is one.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        let mut tls_without_reason = false;
        while let Some(error) = next {
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                return Self::classify(tls);
            }
            let io = error.downcast_ref::<io::Error>();
            tls_without_reason |= io.is_some_and(|io| io.kind() == io::ErrorKind::InvalidData);
            // An `io::Error` does not name the error it wraps as its source, but that one's source.
            next = match io.and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        // h2 keeps only the kind of an error that ends a connection. Once the handshake is over for the client, a
        // server of TLS 1.3 has one reason left to end it with an alert: the client's certificate.
        tls_without_reason.then_some(Self::ClientCertificate)
    }

    fn classify(error: &rustls::Error) -> Option<Self> {
        use CertificateError as Bad;
        match error {
            rustls::Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
                Some(Self::WrongName)
            }
            rustls::Error::InvalidCertificate(
                Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. },
            ) => Some(Self::Expired),
            rustls::Error::InvalidCertificate(_) => Some(Self::Untrusted),
            rustls::Error::AlertReceived(alert) => about_certificate(*alert).then_some(Self::ClientCertificate),
            _ => None,
        }
    }
}

fn about_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::UnsupportedCertificate
            | Alert::AccessDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_found_inside_an_io_error() {
        let wrapped = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let untrusted = wrapped(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert_eq!(Refusal::of(&untrusted), Some(Refusal::Untrusted));
        let refused = wrapped(rustls::Error::AlertReceived(AlertDescription::CertificateRequired));
        assert_eq!(Refusal::of(&io::Error::other(refused)), Some(Refusal::ClientCertificate));
        assert_eq!(Refusal::of(&io::Error::from(io::ErrorKind::ConnectionRefused)), None);
    }
}
