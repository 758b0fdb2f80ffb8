//! Patterns that no request to a server matches: they grant or deny nothing, and are mistyped more often than meant.

use crate::cli::Output;
use crate::client::ApiClient;
use crate::policy::Pattern;

/// Warns of them on standard error; says nothing where the server does not tell the caller its routes.
pub async fn warn(client: &ApiClient, patterns: impl IntoIterator<Item = &Pattern>, output: Output) {
    let Ok(apis) = client.apis().await else { return };
    let routes: Vec<String> = apis.into_iter().map(|api| api.path).collect();
    let is_reached = |pattern: &Pattern| routes.iter().any(|route| pattern.reaches(route));
    for pattern in patterns.into_iter().filter(|pattern| !is_reached(pattern)) {
        output.warn(&format!("no request to this server matches '{}'; kept as it is", pattern.as_str()));
    }
}
