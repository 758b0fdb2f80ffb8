//! Noticing that certificate files changed.

use std::sync::Arc;
use std::time::Duration;

use super::certificate::dates::{DatedCertificate, log_date_warnings};
use super::files::error::SettingError;

/// How often files are looked at.
const EVERY: Duration = Duration::from_secs(5);

/// Something whose files may change under it.
pub(super) trait Reload: Send + Sync + 'static {
    /// Reads the files again if they hold something else than at the last try; whether they did.
    fn reload_if_changed(&self) -> Result<bool, SettingError>;
    /// The certificates in use.
    fn certificates(&self) -> Vec<DatedCertificate>;
}

/// Keeps looking for changes; what is broken is logged, and the last good state stays. Never ends.
pub(super) async fn follow<T: Reload>(of: Arc<T>, what: &'static str) {
    loop {
        tokio::time::sleep(EVERY).await;
        let changing = Arc::clone(&of);
        match tokio::task::spawn_blocking(move || changing.reload_if_changed()).await {
            Ok(Ok(true)) => {
                tracing::info!("read the changed {what} certificates");
                log_date_warnings(&of.certificates());
            }
            Ok(Err(error)) => {
                tracing::error!(
                    "the changed {what} certificates cannot be used, and the old ones stay in use: {error}"
                );
            }
            Ok(Ok(false)) | Err(_) => {}
        }
    }
}
