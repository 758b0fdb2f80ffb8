//! Noticing that certificate files changed.

use std::sync::Arc;
use std::time::Duration;

use super::TlsError;

/// How often files are looked at.
const EVERY: Duration = Duration::from_secs(5);

/// Something whose files may change under it.
pub(super) trait Reload: Send + Sync + 'static {
    /// Reads the files again if they hold something else than at the last try; whether they did.
    fn reload_if_changed(&self) -> Result<bool, TlsError>;
}

/// Keeps looking for changes; what is broken is logged, and the last good state stays. Never ends.
pub(super) async fn follow<T: Reload>(of: Arc<T>, what: &'static str) {
    loop {
        tokio::time::sleep(EVERY).await;
        let of = Arc::clone(&of);
        match tokio::task::spawn_blocking(move || of.reload_if_changed()).await {
            Ok(Ok(true)) => tracing::info!("read the changed {what} certificates"),
            Ok(Err(error)) => tracing::error!("the changed {what} certificates cannot be used: {error}"),
            Ok(Ok(false)) | Err(_) => {}
        }
    }
}
