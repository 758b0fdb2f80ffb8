//! Commands that take several names: they work on one after the other, and stop at the first that fails.

use std::fmt::Display;

use indicatif::ProgressBar;

use super::Error;
use super::output::progress_bar;

/// Runs `act` on each name and reports each result; shows progress if there are several names.
pub async fn one_by_one<T>(
    what: &'static str,
    names: &[String],
    act: impl AsyncFn(&str) -> Result<T, Error>,
    report: impl Fn(&str, T) -> Result<(), Error>,
) -> Result<(), Error> {
    let bar = if names.len() > 1 { progress_bar(what, names.len()) } else { ProgressBar::hidden() };
    let step = async |name: &String| {
        let done = act(name).await?;
        // The report must stay on the screen, above the bar.
        bar.suspend(|| report(name, done))?;
        bar.inc(1);
        Ok(())
    };
    let outcome = in_turn(names, step).await;
    bar.finish_and_clear();
    outcome
}

/// Runs `act` on each of these, up to the first that fails.
pub async fn in_turn<N: Display>(names: &[N], act: impl AsyncFn(&N) -> Result<(), Error>) -> Result<(), Error> {
    for (done, name) in names.iter().enumerate() {
        if let Err(error) = act(name).await {
            return Err(stopped(names, done, error));
        }
    }
    Ok(())
}

/// The error of the name at this index, with the names that were not tried. A single name needs neither.
fn stopped<N: Display>(names: &[N], at: usize, error: Error) -> Error {
    if names.len() < 2 {
        return error;
    }
    let not_tried = names[at + 1..].iter().map(ToString::to_string).collect();
    Error::Stopped { name: names[at].to_string(), not_tried, error: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_error_names_what_failed_and_what_was_not_tried() {
        let act = async |name: &&str| if *name == "b" { Err(Error::Declined) } else { Ok(()) };
        let error = in_turn(&["a", "b", "c", "d"], act).await.unwrap_err().to_string();
        assert_eq!(error, "b: cancelled; nothing was changed\nNot tried: c d");
        assert_eq!(in_turn(&["a", "b"], act).await.unwrap_err().to_string(), "b: cancelled; nothing was changed");
        assert_eq!(in_turn(&["b"], act).await.unwrap_err().to_string(), "cancelled; nothing was changed");
        assert!(in_turn(&["a", "c"], act).await.is_ok());
    }
}
