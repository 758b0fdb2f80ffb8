//! Patterns that no request to a server matches: they grant or deny nothing, and are mistyped more often than meant.

use crate::cli::output::WARN;
use crate::cli::text::printable;
use crate::client::Client;
use crate::policy::Pattern;

/// Warns of them on standard error; says nothing where the server does not tell the caller its routes.
pub async fn warn(client: &Client, patterns: impl IntoIterator<Item = &Pattern>) {
    let Ok(apis) = client.apis().await else { return };
    let routes: Vec<String> = apis.into_iter().map(|api| api.path).collect();
    for pattern in patterns.into_iter().filter(|pattern| !is_reached(pattern.as_str(), &routes)) {
        let pattern = printable(pattern.as_str());
        anstream::eprintln!("{WARN}Warning:{WARN:#} no request to this server matches '{pattern}'; kept as it is");
    }
}

/// Whether a request can match; a route that takes a name ends in a slash, and a listing takes an empty one.
fn is_reached(pattern: &str, routes: &[String]) -> bool {
    let takes =
        |route: &String, path: &str| route.ends_with('/') && path.len() > route.len() && path.starts_with(route);
    let bare = |path: &str| path.strip_suffix('/').unwrap_or(path).to_owned();
    let nameless = |route: &String| !route.ends_with('/') || route.ends_with("/list/");
    routes.iter().any(|route| match pattern.strip_suffix('*') {
        Some(prefix) => route.starts_with(prefix) || takes(route, prefix),
        None => takes(route, pattern) || nameless(route) && bare(route) == bare(pattern),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_reaches_a_route_or_does_not() {
        let routes = ["/v1/key/create/", "/v1/key/list/", "/v1/status", "/version"].map(str::to_owned);
        for here in ["*", "/v1/key/*", "/v1/key/create/my-*", "/v1/key/create/k", "/v1/status", "/v1/key/list"] {
            assert!(is_reached(here, &routes), "{here}");
        }
        for nowhere in ["/v1/kye/*", "/v1/key/create", "/v1/key/create/", "/v2/*", "/v1/status/x"] {
            assert!(!is_reached(nowhere, &routes), "{nowhere}");
        }
    }
}
