//! Reads certificate files again when they change.

use std::sync::Arc;
use std::time::Duration;

use super::certificate::dates::{DatedCertificate, log_date_warnings};
use super::files::error::SettingError;
use crate::blocking;

/// The time between two looks at the files.
const EVERY: Duration = Duration::from_secs(5);

/// TLS settings whose files may change while the node runs.
pub(super) trait Reload: Send + Sync + 'static {
    /// Reads the files again if their content differs from the last try. Returns whether it differed.
    fn reload_if_changed(&self) -> Result<bool, SettingError>;
    /// Returns the certificates in use.
    fn certificates(&self) -> Vec<DatedCertificate>;
}

/// Looks for changes for ever. When a changed file cannot be used, it logs that and keeps the last good settings.
pub(super) async fn follow<T: Reload>(of: Arc<T>, what: &'static str) {
    loop {
        tokio::time::sleep(EVERY).await;
        let changing = Arc::clone(&of);
        match blocking::spawn(move || changing.reload_if_changed()).await {
            Ok(Ok(true)) => {
                tracing::info!("the node read the changed {what} certificates");
                log_date_warnings(&of.certificates());
            }
            Ok(Err(error)) => {
                tracing::error!("the node cannot use the changed {what} certificates and keeps the old ones: {error}");
            }
            Ok(Ok(false)) | Err(_) => {}
        }
    }
}
