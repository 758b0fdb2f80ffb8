//! Says why a handshake with another node failed, in words for an operator.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

/// Says why the handshake failed. Returns `None` if the error does not come from TLS.
pub fn handshake_failure(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) | Error::NoApplicationProtocol => Some(
            "it does not speak keyraft-peer/1 (ALPN), the protocol between nodes: it runs a version of Keyraft that does \
             not work together with this node's, or its address is not that of a peer port"
                .to_owned(),
        ),
        Error::AlertReceived(alert) => Some(format!("it refuses this node's certificate: {}", meaning(*alert))),
        Error::InvalidCertificate(error) => Some(format!("this node refuses its certificate: {}", fault(error))),
        Error::InvalidMessage(_) => Some("it does not speak TLS, so it is not the peer port of a node".to_owned()),
        error => Some(error.to_string()),
    }
}

fn meaning(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => {
            "the CA in cluster.tls.ca of that node did not issue it; if one node has cluster.tls.ca, all nodes need \
             certificates of that CA"
                .to_owned()
        }
        AlertDescription::CertificateExpired => "it has expired".to_owned(),
        AlertDescription::UnsupportedCertificate => "it lacks a usage that peers need".to_owned(),
        other => format!("TLS alert {other:?}"),
    }
}

fn fault(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "the CA in cluster.tls.ca of this node did not issue it; if one node has \
             cluster.tls.ca, all nodes need certificates of that CA"
            .to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it lacks a usage that peers need (serverAuth and clientAuth)".to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_which_side_refused_the_certificate() {
        let shown = |error| handshake_failure(&io::Error::new(io::ErrorKind::InvalidData, error)).unwrap();
        let theirs = shown(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert_eq!(
            theirs,
            "this node refuses its certificate: the CA in cluster.tls.ca of this node did not issue it; if one node has \
             cluster.tls.ca, all nodes need certificates of that CA"
        );
        let ours = shown(Error::AlertReceived(AlertDescription::CertificateExpired));
        assert_eq!(ours, "it refuses this node's certificate: it has expired");
        for error in [Error::NoApplicationProtocol, Error::AlertReceived(AlertDescription::NoApplicationProtocol)] {
            assert!(shown(error).starts_with("it does not speak keyraft-peer/1"));
        }
        assert!(handshake_failure(&io::Error::other("no TLS")).is_none());
    }
}
