//! The guard: finds out who sent a request, and whether they may. Its checks have the order of wire contract, "Errors".

use std::sync::Arc;

use http::{HeaderMap, Method};

use super::routes::{Auth, MatchedRoute};
use super::settings::Settings;
use crate::http::error::ApiError;
use crate::http::listener::client::ConnectedClient;
use crate::kms::{self, Kms};
use crate::policy::{Action, Allowed, Identity, Permit, PermittedAction, Rules};
use crate::tls::CertificateError;

/// A client that the guard let pass, and its permit.
#[derive(Debug, Clone)]
pub struct Caller<'p> {
    identity: Option<Identity>,
    allowed: Option<Allowed<'p>>,
    /// The rules that permitted the request.
    rules: Option<Arc<Rules>>,
}

impl<'p> Caller<'p> {
    /// The client's identity.
    ///
    /// # Errors
    /// The client showed no certificate, on a route that does not need one.
    pub fn identity(&self) -> Result<Identity, ApiError> {
        self.identity.ok_or(ApiError::NoCertificate)
    }

    /// The client's permit of the action `A`.
    ///
    /// # Errors
    /// The route does not check a policy, so nothing is permitted. Or the request asks for another action, or its name is
    /// not the name of such a thing.
    pub fn permit<A: PermittedAction>(&self) -> Result<Permit<'p, A>, ApiError> {
        Ok(self.allowed.ok_or(ApiError::NoCertificate)?.permit()?)
    }

    /// Checks the policy again if the rules may have changed since.
    ///
    /// # Errors
    /// The rules in force do not permit the request, or the node does not know them.
    pub async fn check_again(&self, kms: &Kms, action: Action<'_>) -> Result<(), ApiError> {
        let (Some(identity), Some(rules)) = (self.identity, &self.rules) else { return Ok(()) };
        if !kms.are_in_force(rules) {
            kms.rules_in_force().await?.permit(identity, kms.file_admin(), action)?;
        }
        Ok(())
    }
}

/// The identity of a request's client: of the connection's certificate, or of the one that a proxy forwards.
///
/// # Errors
/// The certificate, or the one that the proxy forwards, does not give an identity.
pub fn identify(
    settings: &Settings,
    client: &ConnectedClient,
    headers: &HeaderMap,
) -> Result<Option<Identity>, ApiError> {
    let identity = client.certificate.map_err(ApiError::Certificate)?;
    let is_proxy = identity.is_some_and(|identity| settings.proxies.contains(&identity));
    match &settings.proxy_header {
        Some(header) if is_proxy => {
            let mut certificates = headers.get_all(header).iter();
            let certificate = certificates.next().ok_or(ApiError::NoCertificate)?;
            // A proxy that adds its header to the client's own, instead of replacing it, would let a client be anyone.
            if certificates.next().is_some() {
                return Err(ApiError::Certificate(CertificateError::Several));
            }
            client.tls.forwarded_identity(certificate.as_bytes()).map(Some).map_err(ApiError::Forwarded)
        }
        _ if is_proxy => Err(ApiError::NoCertificate),
        _ => Ok(identity),
    }
}

/// Checks the method, then the certificate, then the policy by the rules in force.
///
/// # Errors
/// The first check that fails.
pub async fn check<'p>(
    settings: &Settings,
    file_admin: Option<Identity>,
    rules: impl AsyncFnOnce() -> Result<Arc<Rules>, kms::Error>,
    matched: &MatchedRoute<'p>,
    method: &Method,
    identity: Result<Option<Identity>, ApiError>,
) -> Result<Caller<'p>, ApiError> {
    let route = matched.route;
    if !route.accepts(method) {
        let (got, want, allowed) = (method.as_str().to_owned(), route.method, route.allowed());
        return Err(ApiError::Method { got, want, allowed });
    }
    if settings.route(matched.index).skip_auth {
        return Ok(Caller { identity: identity.ok().flatten(), allowed: None, rules: None });
    }
    let identity = identity?.ok_or(ApiError::NoCertificate)?;
    if route.auth == Auth::Certificate {
        return Ok(Caller { identity: Some(identity), allowed: None, rules: None });
    }
    let rules = rules().await?;
    let allowed = rules.permit(identity, file_admin, matched.action)?;
    Ok(Caller { identity: Some(identity), allowed: Some(allowed), rules: Some(rules) })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures::FutureExt;

    use super::*;
    use crate::config::RouteConfig;
    use crate::http::pipeline::routes;
    use crate::http::testing::{config, tls};
    use crate::policy::{Assignment, Author, Pattern, Policy, PolicyEntry, PolicyName, PolicyTag, Role};

    const ADMIN: Identity = Identity::from_bytes([1; 32]);
    const APP: Identity = Identity::from_bytes([2; 32]);
    const STRANGER: Identity = Identity::from_bytes([3; 32]);

    fn rules() -> Result<Arc<Rules>, kms::Error> {
        let name = PolicyName::parse("app").unwrap();
        let policy = Policy::new([Pattern::parse("/v1/key/create/my-*").unwrap()], []);
        let entry = Arc::new(PolicyEntry { policy, author: Author::default(), tag: PolicyTag::default() });
        let assignment = Assignment { role: Role::Policy(name.clone()), author: Author::default() };
        Ok(Arc::new(Rules { policies: [(name, entry)].into(), identities: [(APP, assignment)].into() }))
    }

    fn checked(identity: Result<Option<Identity>, ApiError>, method: &str, path: &str) -> Result<bool, u16> {
        let mut config = config();
        config.api = BTreeMap::from([("/v1/ready".to_owned(), RouteConfig { skip_auth: true, timeout: None })]);
        let matched = routes::find(path).unwrap();
        let (settings, method) = (Settings::of(&config), method.parse().unwrap());
        check(&settings, Some(ADMIN), async || rules(), &matched, &method, identity)
            .now_or_never()
            .expect("the rules are at hand")
            .map(|caller| caller.allowed.is_some())
            .map_err(|refusal| refusal.answer().0.as_u16())
    }

    #[test]
    fn the_first_check_that_fails_is_the_answer() {
        let several = || Err(ApiError::Certificate(CertificateError::Several));
        for (identity, method, path, expected) in [
            (Ok(Some(APP)), "PUT", "/v1/key/create/my-key", Ok(true)),
            (Ok(Some(APP)), "POST", "/v1/key/create/my-key", Ok(true)),
            (Ok(Some(APP)), "PUT", "/v1/key/create/other", Err(403)),
            (Ok(Some(APP)), "GET", "/v1/key/create/other", Err(405)),
            (Ok(Some(STRANGER)), "PUT", "/v1/key/create/-bad-", Err(403)),
            (Ok(Some(ADMIN)), "PUT", "/v1/key/create/-bad-", Ok(true)),
            (Ok(Some(STRANGER)), "GET", "/version", Ok(false)),
            (Ok(Some(STRANGER)), "GET", "/v1/identity/self/describe", Ok(false)),
            (Ok(None), "GET", "/version", Err(400)),
            (Ok(None), "PUT", "/version", Err(405)),
            (Ok(None), "GET", "/v1/ready", Ok(false)),
            (Ok(None), "HEAD", "/v1/ready", Ok(false)),
            (Ok(None), "HEAD", "/v1/status", Err(400)),
            (Ok(Some(STRANGER)), "HEAD", "/v1/metrics", Err(403)),
            (Ok(Some(ADMIN)), "HEAD", "/v1/key/list", Ok(true)),
            (Ok(Some(ADMIN)), "HEAD", "/v1/key/create/a", Err(405)),
            (Ok(Some(ADMIN)), "HEAD", "/v1/log/audit", Err(405)),
            (Ok(None), "GET", "/v1/status", Err(400)),
            (several(), "GET", "/v1/ready", Ok(false)),
            (several(), "GET", "/version", Err(400)),
        ] {
            let case = format!("{identity:?} {method} {path}");
            assert_eq!(checked(identity, method, path), expected, "{case}");
        }
    }

    #[test]
    fn only_a_listed_proxy_can_forward_a_certificate() {
        let (tls, certificate, identity) = tls();
        let escaped = certificate.replace('\n', "%0A").replace(' ', "%20");
        let with: HeaderMap = [("x-cert".parse().unwrap(), escaped.parse().unwrap())].into_iter().collect();
        let mut config = config();
        config.tls.proxies = vec![APP];
        config.tls.proxy_header = Some("X-Cert".to_owned());
        let settings = Settings::of(&config);
        let client = |identity| ConnectedClient {
            ip: None,
            certificate: Ok(Some(identity)),
            tls: Arc::clone(&tls),
            draining: tokio_util::sync::CancellationToken::new(),
        };
        assert_eq!(identify(&settings, &client(APP), &with), Ok(Some(identity)));
        assert_eq!(identify(&settings, &client(STRANGER), &with), Ok(Some(STRANGER)));
        assert_eq!(identify(&settings, &client(APP), &HeaderMap::new()), Err(ApiError::NoCertificate));
        let mut twice = with.clone();
        twice.append("x-cert", with["x-cert"].clone());
        let several = Err(ApiError::Certificate(CertificateError::Several));
        assert_eq!(
            identify(&settings, &client(APP), &twice),
            several,
            "a proxy that adds its header to the client's own"
        );
        let broken: HeaderMap = [("x-cert".parse().unwrap(), "%".parse().unwrap())].into_iter().collect();
        assert!(matches!(identify(&settings, &client(APP), &broken), Err(ApiError::Forwarded(_))));
    }
}
