//! Following goes on at another server when the one that was followed is lost.

use std::time::Duration;

use super::events;
use crate::cli::{Error, Output};
use crate::client::{self, ApiClient, LogKind, LogQuery, LogStream};

/// Between the end of a stream and the next one: servers that end every stream are not asked without rest.
const REST: Duration = Duration::from_secs(1);

/// Goes on after a stream has ended, for as long as a server can be followed.
pub async fn on(
    client: &ApiClient,
    log: LogKind,
    query: LogQuery,
    (mut events, mut end): (LogStream, Option<client::Error>),
    output: Output,
) -> Result<(), Error> {
    // What was shown is not to be shown again.
    let query = LogQuery { tail: 0, ..query };
    loop {
        let lost = events.endpoint().clone();
        let reason = end.map_or_else(|| "it ended the stream".to_owned(), |error| error.reason());
        tokio::time::sleep(REST).await;
        // Whoever may not listen any longer is told so by any of them.
        events = match client.log_after(&lost, log, query).await {
            Ok(next) => next,
            Err(error) if error.is_status(403) => return Err(error.into()),
            Err(error) => return Err(Error::NotFollowed { lost, reason, error }),
        };
        output.warn(&format!(
            "the connection to {lost} is lost: {reason}\n\
             What happens from now on is shown by {}; events in between are not.",
            events.endpoint()
        ));
        end = events::show(&mut events, output).await?;
    }
}
