//! Decides, like Go, which server certificates a client accepts: those below a trusted one, and trusted ones
//! themselves.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::tls::files::Trusted;
use crate::tls::verify::lenient_chain::{self, ChainRules};
use crate::tls::verify::purpose::CertificatePurpose;
use crate::tls::verify::signature::{verify_tls12, verify_tls13};
use crate::tls::verify::{rejection, verify_for};

/// Verifies that a server's certificate is trusted, has valid dates, is meant for servers, and names the server.
#[derive(Debug)]
pub struct ServerVerifier {
    roots: RootCertStore,
    trusted: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    /// Trusts these certificates, and those that they issued.
    pub fn new(trusted: Trusted, algorithms: WebPkiSupportedAlgorithms) -> Arc<Self> {
        Arc::new(Self { roots: trusted.roots, trusted: trusted.certificates, algorithms })
    }

    /// Checks everything but the name.
    fn check(&self, first: &CertificateDer<'_>, between: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let error = match verify_for(CertificatePurpose::Server, &self.roots, &self.algorithms, first, between, now) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if self.trusted.iter().any(|trusted| trusted == first) {
            return lenient_chain::verify_trusted(first, CertificatePurpose::Server, now);
        }
        match error {
            webpki::Error::CaUsedAsEndEntity => {
                let Self { roots, algorithms, .. } = self;
                lenient_chain::verify(
                    ChainRules { roots, algorithms, purpose: CertificatePurpose::Server, now },
                    first,
                    between,
                )
            }
            error => Err(rejection(error)),
        }
    }
}

/// Checks that the certificate names the server. The common name does not count.
fn check_name(first: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
    match webpki::EndEntityCert::try_from(first) {
        Ok(first) => first.verify_is_valid_for_subject_name(name).map_err(rejection),
        // Before version 3 a certificate has the common name only.
        Err(webpki::Error::UnsupportedCertVersion) => {
            let (expected, presented) = (name.to_owned(), Vec::new());
            Err(CertificateError::NotValidForNameContext { expected, presented }.into())
        }
        Err(error) => Err(rejection(error)),
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        first: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(first, between, now)?;
        check_name(first, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use rcgen::ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;
    use crate::tls::CertificateRefusal;
    use crate::tls::common::provider;
    use crate::tls::testing::TestAuthority;

    /// Makes a certificate like `openssl req -x509`: self-signed, and of a CA.
    fn like_openssl(names: &[&str], odd: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        odd(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    /// Verifies a server that shows `chain`, as a client that trusts `trusted`.
    fn verified(trusted: &CertificateDer<'static>, chain: &[CertificateDer<'_>], name: &str) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let trusted = Trusted { roots, certificates: vec![trusted.clone()] };
        let verifier = ServerVerifier::new(trusted, provider().signature_verification_algorithms);
        let name = ServerName::try_from(name).unwrap();
        verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], crate::tls::verify::now()).map(drop)
    }

    fn outcome(
        trusted: &CertificateDer<'static>,
        chain: &[CertificateDer<'_>],
        name: &str,
    ) -> Result<(), CertificateRefusal> {
        verified(trusted, chain, name).map_err(|error| CertificateRefusal::of(&error).unwrap())
    }

    /// Verifies a server that shows the certificate that the client itself trusts.
    fn itself(certificate: &CertificateDer<'static>, name: &str) -> Result<(), CertificateRefusal> {
        outcome(certificate, slice::from_ref(certificate), name)
    }

    #[test]
    fn a_trusted_authority_may_be_the_server_itself() {
        let server = like_openssl(&["kms.example", "*.wild.example", "127.0.0.1", "::1"], |_| {});
        for name in ["kms.example", "KMS.example", "a.wild.example", "127.0.0.1", "::1"] {
            assert_eq!(itself(&server, name), Ok(()), "{name}");
        }
        for name in ["other.example", "wild.example", "a.b.wild.example", "127.0.0.2", "::2"] {
            assert_eq!(itself(&server, name), Err(CertificateRefusal::WrongName), "{name}");
        }
        assert_eq!(outcome(&server, &[server.clone(), server.clone()], "kms.example"), Ok(()));
    }

    #[test]
    fn another_certificate_is_not_the_trusted_one() {
        let (server, namesake) = (like_openssl(&["a"], |_| {}), like_openssl(&["a"], |_| {}));
        assert_eq!(outcome(&server, slice::from_ref(&namesake), "a"), Err(CertificateRefusal::Untrusted));
        assert_eq!(outcome(&server, &[namesake, server.clone()], "a"), Err(CertificateRefusal::Untrusted));
        let end = like_openssl(&["a"], |params| params.is_ca = IsCa::ExplicitNoCa);
        assert_eq!(itself(&end, "a"), Ok(()));
        assert_eq!(outcome(&server, &[end], "a"), Err(CertificateRefusal::Untrusted));
    }

    #[test]
    fn a_trusted_server_certificate_needs_valid_dates_and_usage() {
        let expired = like_openssl(&["a"], |params| {
            (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2001, 4, 1));
        });
        assert_eq!(itself(&expired, "a"), Err(CertificateRefusal::Expired));
        let early = like_openssl(&["a"], |params| params.not_before = date_time_ymd(3001, 1, 1));
        assert_eq!(itself(&early, "a"), Err(CertificateRefusal::Expired));
        for (usage, verdict) in
            [(ServerAuth, Ok(())), (Any, Ok(())), (ClientAuth, Err(CertificateRefusal::NotForServers))]
        {
            let server = like_openssl(&["a"], |params| params.extended_key_usages = vec![usage.clone()]);
            assert_eq!(itself(&server, "a"), verdict, "{usage:?}");
        }
    }

    #[test]
    fn a_common_name_does_not_count() {
        let nameless = like_openssl(&[], |_| {});
        assert_eq!(itself(&nameless, "a"), Err(CertificateRefusal::NoName));
        let authority = TestAuthority::new();
        let old = authority.old(&authority.client().der());
        assert_eq!(itself(&old, "localhost"), Err(CertificateRefusal::NoName));
    }

    #[test]
    fn an_authority_below_a_trusted_one_may_be_the_server() {
        let (root, other) = (TestAuthority::new(), TestAuthority::new());
        let named = |params: &mut CertificateParams| {
            params.subject_alt_names = CertificateParams::new(vec!["a".to_owned()]).unwrap().subject_alt_names;
        };
        let between = root.intermediate(|_| {});
        let (direct, below) = (root.intermediate(named), between.intermediate(named));
        assert_eq!(outcome(&root.der(), &[direct.der()], "a"), Ok(()));
        assert_eq!(outcome(&root.der(), &[direct.der()], "b"), Err(CertificateRefusal::WrongName));
        assert_eq!(outcome(&root.der(), &[below.der(), between.der()], "a"), Ok(()));
        assert_eq!(outcome(&root.der(), &[below.der()], "a"), Err(CertificateRefusal::Untrusted));
        assert_eq!(outcome(&other.der(), &[direct.der()], "a"), Err(CertificateRefusal::Untrusted));
    }

    #[test]
    fn each_refusal_has_a_plain_text() {
        let refused = |certificate: &CertificateDer<'_>, trusted: &CertificateDer<'static>| {
            CertificateRefusal::words(&verified(trusted, slice::from_ref(certificate), "a").unwrap_err())
        };
        let nameless = like_openssl(&[], |_| {});
        let expired = like_openssl(&["a"], |params| params.not_after = date_time_ymd(2001, 4, 1));
        let client = like_openssl(&["a"], |params| params.extended_key_usages = vec![ClientAuth]);
        let strange = like_openssl(&["a"], |_| {});
        for (certificate, trusted, words) in [
            (&nameless, &nameless, "names no host"),
            (&expired, &expired, "expired at 2001-04-01T00:00:00Z"),
            (&client, &client, "lack serverAuth"),
            (&strange, &client, "no trusted CA issued"),
        ] {
            let said = refused(certificate, trusted).unwrap();
            assert!(said.starts_with("the server's certificate") || said.starts_with("no trusted CA"), "{said}");
            assert!(said.contains(words), "{said}");
        }
        let other = like_openssl(&["b"], |_| {});
        assert_eq!(refused(&other, &other), None, "rustls names both names");
    }
}
