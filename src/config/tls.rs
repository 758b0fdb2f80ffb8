//! The `tls` section: the certificate of the public API, and which clients it trusts.

use std::path::PathBuf;

use super::section::Section;
use super::settings::{Password, TlsConfig};
use super::value;
use crate::policy::Identity;

const SETTINGS: &[&str] = &["key", "cert", "password", "auth", "ca", "proxy"];

/// The default header in which a proxy forwards a certificate.
const PROXY_HEADER: &str = "X-Tls-Client-Cert";

/// Which clients the public API trusts.
pub(super) struct ClientTrust {
    /// These fields are as in [`TlsConfig`].
    pub verify_clients: bool,
    pub ca: Option<PathBuf>,
    pub proxies: Vec<Identity>,
    pub proxy_header: Option<String>,
}

/// The whole section, which a node needs.
pub(super) fn settings(top: &Section<'_>) -> Option<TlsConfig> {
    if !top.gives("tls") && !top.overrides("tls") {
        top.problem(top.line_of("tls"), "the section `tls` is missing: add `tls: {key: api.key, cert: api.crt}`");
        return None;
    }
    let tls = top.section("tls", SETTINGS);
    let ClientTrust { verify_clients, ca, proxies, proxy_header } = clients(&tls);
    let key = tls.required("key", "api.key", value::path);
    let cert = tls.required("cert", "api.crt", value::path);
    let password = tls.password("password").map(|text| Password(text.value));
    Some(TlsConfig { key: key?, cert: cert?, password, verify_clients, ca, proxies, proxy_header })
}

/// Only the part about clients. Ignores the other settings of the section.
pub(super) fn borrowed(top: &Section<'_>) -> ClientTrust {
    clients(&top.section("tls", SETTINGS))
}

fn clients(tls: &Section<'_>) -> ClientTrust {
    let verify_clients = tls.value("auth", value::switch).unwrap_or(false);
    let ca = tls.value("ca", value::path);
    let proxy = tls.section("proxy", &["identities", "header"]);
    let identities = proxy.texts("identities");
    let mut proxies: Vec<_> = identities.iter().filter_map(|text| proxy.parse(text, value::identity)).collect();
    proxies.sort();
    proxies.dedup();
    let header = proxy.section("header", &["cert"]).value("cert", value::header);
    let proxy_header = header.or_else(|| (!proxies.is_empty()).then(|| PROXY_HEADER.to_owned()));
    ClientTrust { verify_clients, ca, proxies, proxy_header }
}
