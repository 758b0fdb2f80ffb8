//! Commands that do the same to several names: in turn, up to the first that fails, which is named with those left.

use std::fmt::Display;

use indicatif::ProgressBar;

use super::Error;
use super::output::progress_bar;

/// Does something to each of these, and tells of it; with progress where there are several.
pub async fn one_by_one<T>(
    what: &'static str,
    names: &[String],
    act: impl AsyncFn(&str) -> Result<T, Error>,
    tell: impl Fn(&str, T) -> Result<(), Error>,
) -> Result<(), Error> {
    let bar = if names.len() > 1 { progress_bar(what, names.len()) } else { ProgressBar::hidden() };
    let step = async |name: &String| {
        let done = act(name).await?;
        // What was done stays on the screen, above the bar.
        bar.suspend(|| tell(name, done))?;
        bar.inc(1);
        Ok(())
    };
    let outcome = in_turn(names, step).await;
    bar.finish_and_clear();
    outcome
}

/// Does something to each of these.
pub async fn in_turn<N: Display>(names: &[N], act: impl AsyncFn(&N) -> Result<(), Error>) -> Result<(), Error> {
    for (done, name) in names.iter().enumerate() {
        if let Err(error) = act(name).await {
            return Err(stopped(names, done, error));
        }
    }
    Ok(())
}

/// The failure of the one at this place; of one alone it is known which one it was.
fn stopped<N: Display>(names: &[N], at: usize, error: Error) -> Error {
    if names.len() < 2 {
        return error;
    }
    let left = names[at + 1..].iter().map(ToString::to_string).collect();
    Error::Stopped { name: names[at].to_string(), left, error: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_one_that_fails_is_named_and_so_are_those_that_were_not_tried() {
        let act = async |name: &&str| if *name == "b" { Err(Error::Declined) } else { Ok(()) };
        let error = in_turn(&["a", "b", "c", "d"], act).await.unwrap_err().to_string();
        assert_eq!(error, "b: nothing is changed\nNot tried: c d");
        assert_eq!(in_turn(&["a", "b"], act).await.unwrap_err().to_string(), "b: nothing is changed");
        assert_eq!(in_turn(&["b"], act).await.unwrap_err().to_string(), "nothing is changed");
        assert!(in_turn(&["a", "c"], act).await.is_ok());
    }
}
