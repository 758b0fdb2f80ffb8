//! Sending the uses of keys that this node has noted to the cluster.

use std::time::{Duration, Instant};

use super::Kms;
use super::uses::EVERY_MINUTES;
use crate::policy::KeyName;
use crate::state::{KeyRecord, Operation, Use};

/// The pause between two times that this node sends noted uses. Until then the other nodes do not know of them. A
/// shorter pause does not make more uses, because each key is noted once an hour.
const REPLICATE_EVERY: Duration = Duration::from_secs(5);
/// Uses in one command, which are about 50 KiB.
const AT_A_TIME: usize = 512;
const ATTEMPT: Duration = Duration::from_secs(10);

impl Kms {
    /// Sends noted uses to the cluster, again and again. Never ends.
    pub async fn replicate_uses(&self) {
        loop {
            tokio::time::sleep(REPLICATE_EVERY).await;
            self.replicate_uses_now().await;
        }
    }

    /// Sends noted uses to the cluster.
    pub async fn replicate_uses_now(&self) {
        let (news, known): (Vec<_>, Vec<_>) = self.opened.uses.all().into_iter().partition(|used| self.is_news(used));
        self.opened.uses.forget(&known);
        for batch in news.chunks(AT_A_TIME) {
            let operation = Operation::RecordUse(batch.to_vec());
            match self.write_by_itself(operation, Instant::now() + ATTEMPT).await {
                Ok(_) => self.opened.uses.forget(batch),
                // The uses stay for the next time.
                Err(_) => return,
            }
        }
    }

    /// Whether the cluster does not know of a use in the same hour. Another node may have sent one.
    fn is_news(&self, used: &Use) -> bool {
        let newest = KeyName::parse(&used.key.name).ok().and_then(|name| self.cluster.view().newest_record(name));
        let Some(record) = newest.and_then(|record| KeyRecord::decode(&record).ok()) else { return false };
        let known = record.last_used.unwrap_or(0);
        record.creation_id == used.key.creation_id && used.minute.saturating_sub(known) >= EVERY_MINUTES
    }
}
