//! What the configuration file says about requests. SIGHUP replaces all of it at once.

use std::time::Duration;

use http::HeaderName;

use super::routes::ROUTES;
use crate::config::Config;
use crate::policy::Identity;

/// The settings of every request.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The settings of each route, in the order of the table.
    routes: [RouteSettings; ROUTES.len()],
    /// Proxies that may forward a client's certificate.
    pub proxies: Vec<Identity>,
    /// The header that they forward it in.
    pub proxy_header: Option<HeaderName>,
}

/// The settings of one route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteSettings {
    /// Whether it needs neither certificate nor policy.
    pub skip_auth: bool,
    /// How long a request may take. `None` means without a limit.
    pub timeout: Option<Duration>,
}

impl Settings {
    /// The settings of a configuration.
    pub fn of(config: &Config) -> Self {
        let routes = std::array::from_fn(|index| {
            let route = &ROUTES[index];
            // The configuration names routes without the slash before a name.
            let own = config.api.get(route.path.trim_end_matches('/')).copied().unwrap_or_default();
            let timeout = own.timeout.or(route.timeout).filter(|timeout| !timeout.is_zero());
            RouteSettings { skip_auth: own.skip_auth, timeout }
        });
        let proxy_header = config.tls.proxy_header.as_ref().and_then(|name| name.parse().ok());
        Self { routes, proxies: config.tls.proxies.clone(), proxy_header }
    }

    /// The settings of the route at this place of the table.
    pub fn route(&self, index: usize) -> RouteSettings {
        self.routes[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RouteConfig;
    use crate::http::testing;

    #[test]
    fn every_route_can_be_set() {
        let mut config = testing::config();
        let own = RouteConfig { skip_auth: false, timeout: Some(Duration::from_secs(3)) };
        config.api = ROUTES.iter().map(|route| (route.path.trim_end_matches('/').to_owned(), own)).collect();
        let settings = Settings::of(&config);
        for (index, route) in ROUTES.iter().enumerate() {
            assert_eq!(settings.route(index).timeout, own.timeout, "{}", route.path);
        }
    }
}
