//! The steps of a plan, one after the other.

use indicatif::ProgressBar;

use super::plan::Step;
use crate::cli::output::{GOOD, progress_bar};
use crate::cli::{Error, Output};
use crate::client::{self, Client};

/// Carries the steps out until one fails; tells which were.
pub async fn all(client: &Client, steps: &[Step<'_>], output: Output) -> (Vec<String>, Result<(), Error>) {
    let bar = progress_bar("Applying", steps.len());
    let mut done = Vec::new();
    for step in steps {
        if let Err(error) = one(client, step).await {
            bar.finish_and_clear();
            let (done_count, total) = (done.len(), steps.len());
            return (done, Err(Error::Incomplete { done: done_count, total, error: Box::new(error.into()) }));
        }
        let (verb, object) = told(step);
        if let Err(error) = tell(&bar, output, verb, &object) {
            return (done, Err(error));
        }
        done.push(format!("{verb} {object}"));
        bar.inc(1);
    }
    bar.finish_and_clear();
    (done, Ok(()))
}

async fn one(client: &Client, step: &Step<'_>) -> Result<(), client::Error> {
    let outcome = match step {
        Step::Remove(identity) => client.delete_identity(identity).await,
        // Written and not created, so that it makes no difference when an answer was lost and it is done again.
        Step::Create(name, policy) | Step::Write(name, policy) => client.write_policy(name, policy).await,
        Step::Assign(name, identity) => client.assign_policy(name, *identity).await,
        Step::Delete(name) => client.delete_policy(name).await,
    };
    match (step, outcome) {
        // Somebody else was faster.
        (Step::Remove(_) | Step::Delete(_), Err(error)) if error.is_status(404) => Ok(()),
        (_, outcome) => outcome,
    }
}

fn told(step: &Step<'_>) -> (&'static str, String) {
    match step {
        Step::Remove(identity) => ("Removed", (*identity).to_owned()),
        Step::Create(name, _) => ("Created", (*name).to_owned()),
        Step::Write(name, _) => ("Changed", (*name).to_owned()),
        Step::Assign(name, identity) => ("Assigned", format!("{name} to {identity}")),
        Step::Delete(name) => ("Deleted", (*name).to_owned()),
    }
}

/// What was done stays on the screen, above the bar.
fn tell(bar: &ProgressBar, output: Output, verb: &str, object: &str) -> Result<(), Error> {
    if output.is_json() {
        return Ok(());
    }
    bar.suspend(|| output.line(&format!("{GOOD}{verb}{GOOD:#} {object}")))
}
