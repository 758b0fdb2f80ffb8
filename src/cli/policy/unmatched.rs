//! Warns of patterns that match no request to the server: they allow and deny nothing, and are mostly mistyped.

use crate::cli::Output;
use crate::client::ApiClient;
use crate::policy::Pattern;

/// Warns of such patterns on standard error. It cannot check them if the caller may not list the server's routes.
pub async fn warn(client: &ApiClient, patterns: impl IntoIterator<Item = &Pattern>, output: Output) {
    let Ok(apis) = client.apis().await else { return };
    let routes: Vec<String> = apis.into_iter().map(|api| api.path).collect();
    let is_matched = |pattern: &Pattern| routes.iter().any(|route| pattern.reaches(route));
    for pattern in patterns.into_iter().filter(|pattern| !is_matched(pattern)) {
        output.warn(&format!(
            "no request to this server matches '{}'; the policy keeps the pattern as it is: check its spelling",
            pattern.as_str()
        ));
    }
}
