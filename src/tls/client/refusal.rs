//! Finds out why one side refused the other's certificate, where a person can do something about it.

use std::error::Error;
use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};

use crate::clock;

/// Why one side of a connection refused the other's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateRefusal {
    /// No trusted CA issued the server's certificate, and the certificate itself is not trusted either.
    Untrusted,
    /// The server's certificate is for other names.
    WrongName,
    /// The server's certificate does not name a host.
    NoName,
    /// The server's certificate has expired, or is not valid yet.
    Expired,
    /// The extended key usages do not let a server use the certificate.
    NotForServers,
    /// The server asked for a client certificate and got none, or one it does not accept.
    ClientCertificate,
}

impl CertificateRefusal {
    /// Finds the refusal among the causes of an error.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        match find(error) {
            RootCause::Tls(error) => Self::classify(error),
            // h2 keeps only the kind of an error that ends a connection. Once the client has done its part of the
            // handshake, a server of TLS 1.3 sends an alert for one reason only: the client's certificate.
            RootCause::WithoutReason => Some(Self::ClientCertificate),
            RootCause::Other => None,
        }
    }

    /// Says in plain words what is wrong with the server's certificate, if the text of rustls would not.
    pub fn words(error: &(dyn Error + 'static)) -> Option<String> {
        use CertificateError as Bad;
        let RootCause::Tls(rustls::Error::InvalidCertificate(error)) = find(error) else { return None };
        match error {
            Bad::UnknownIssuer => Some("no trusted CA issued the server's certificate".to_owned()),
            Bad::ExpiredContext { not_after, .. } => {
                Some(format!("the server's certificate expired at {}", at(*not_after)))
            }
            Bad::NotValidYetContext { not_before, .. } => {
                Some(format!("the server's certificate is not valid before {}", at(*not_before)))
            }
            Bad::NotValidForNameContext { presented, .. } if presented.is_empty() => Some(
                "the server's certificate names no host (it has no subjectAltName; a common name does not count)"
                    .to_owned(),
            ),
            Bad::InvalidPurpose => {
                Some("the server's certificate is not for servers (its extended key usages lack serverAuth)".to_owned())
            }
            _ => None,
        }
    }

    fn classify(error: &rustls::Error) -> Option<Self> {
        use CertificateError as Bad;
        match error {
            rustls::Error::InvalidCertificate(Bad::NotValidForNameContext { presented, .. })
                if presented.is_empty() =>
            {
                Some(Self::NoName)
            }
            rustls::Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
                Some(Self::WrongName)
            }
            rustls::Error::InvalidCertificate(
                Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. },
            ) => Some(Self::Expired),
            rustls::Error::InvalidCertificate(Bad::InvalidPurpose) => Some(Self::NotForServers),
            rustls::Error::InvalidCertificate(_) => Some(Self::Untrusted),
            rustls::Error::AlertReceived(alert) => about_certificate(*alert).then_some(Self::ClientCertificate),
            _ => None,
        }
    }
}

/// The first cause of an error.
enum RootCause<'a> {
    Tls(&'a rustls::Error),
    /// TLS, for a reason that was lost on the way.
    WithoutReason,
    Other,
}

fn find<'a>(error: &'a (dyn Error + 'static)) -> RootCause<'a> {
    let mut next = Some(error);
    let mut tls_without_reason = false;
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return RootCause::Tls(tls);
        }
        let io = error.downcast_ref::<io::Error>();
        tls_without_reason |= io.is_some_and(|io| io.kind() == io::ErrorKind::InvalidData);
        // `io::Error::source` skips the error that it wraps, and returns the source of that one.
        next = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    if tls_without_reason { RootCause::WithoutReason } else { RootCause::Other }
}

fn at(time: UnixTime) -> String {
    let nanos = i64::try_from(time.as_secs()).ok().and_then(|seconds| seconds.checked_mul(1_000_000_000));
    clock::rfc3339(nanos)
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
        assert_eq!(CertificateRefusal::of(&untrusted), Some(CertificateRefusal::Untrusted));
        let refused = wrapped(rustls::Error::AlertReceived(AlertDescription::CertificateRequired));
        assert_eq!(CertificateRefusal::of(&io::Error::other(refused)), Some(CertificateRefusal::ClientCertificate));
        assert_eq!(CertificateRefusal::of(&io::Error::from(io::ErrorKind::ConnectionRefused)), None);
    }
}
