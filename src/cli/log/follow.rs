//! Follows a log at the next server when the connection to one is lost.

use std::time::Duration;

use super::events;
use crate::cli::{Error, Output};
use crate::client::{self, ApiClient, LogKind, LogQuery, LogStream};

/// The pause before the next stream, so that a server that ends every stream gets few requests.
const PAUSE: Duration = Duration::from_secs(1);

/// Goes on after a stream has ended, for as long as a server can be followed.
pub async fn follow(
    client: &ApiClient,
    log: LogKind,
    query: LogQuery,
    (mut events, mut end): (LogStream, Option<client::Error>),
    output: Output,
) -> Result<(), Error> {
    // Without earlier events: the first stream has shown them.
    let query = LogQuery { tail: 0, ..query };
    loop {
        let lost = events.endpoint().clone();
        let reason = end.map_or_else(|| "the server ended the stream".to_owned(), |error| error.reason());
        tokio::time::sleep(PAUSE).await;
        // Every server would refuse a caller whose permission was withdrawn, so this ends the command.
        events = match client.log_after(&lost, log, query).await {
            Ok(next) => next,
            Err(error) if error.is_status(403) => return Err(error.into()),
            Err(error) => return Err(Error::NotFollowed { lost, reason, error }),
        };
        output.warn(&format!(
            "the connection to {lost} is lost: {reason}\n\
             The command now follows {}. It does not show the events in between.",
            events.endpoint()
        ));
        end = events::show(&mut events, output).await?;
    }
}
