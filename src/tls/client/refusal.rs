//! Why a TLS connection was refused, as far as a person can do something about it.

use std::error::Error;
use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};

use crate::clock;

/// What one side did not like about the other's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateRefusal {
    /// No trusted root issued the server's certificate, and it is not a trusted one itself.
    Untrusted,
    /// It is for other names.
    WrongName,
    /// It names no host at all.
    NoName,
    /// It has expired, or is not valid yet.
    Expired,
    /// Its extended key usages do not let a server use it.
    NotForServers,
    /// The server asked for a client certificate and got none, or one it does not accept.
    ClientCertificate,
}

impl CertificateRefusal {
    /// Finds the refusal at the root of an error, when there is one.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        match find(error) {
            RootCause::Tls(error) => Self::classify(error),
            // h2 keeps only the kind of an error that ends a connection. Once the handshake is over for the client, a
            // server of TLS 1.3 has one reason left to end it with an alert: the client's certificate.
            RootCause::WithoutReason => Some(Self::ClientCertificate),
            RootCause::Other => None,
        }
    }

    /// What is wrong with the server's certificate, in words, where the error at the root says so in a jargon.
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

/// What an error comes from.
enum RootCause<'a> {
    Tls(&'a rustls::Error),
    /// From TLS, and nothing more is known.
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
        // An `io::Error` does not name the error it wraps as its source, but that one's source.
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
