//! The steps of a plan, one after the other.

use futures::future::join_all;
use indicatif::ProgressBar;

use super::order;
use super::plan::{PolicyPlan, PolicyStep};
use crate::cli::escape::printable;
use crate::cli::output::{GOOD, progress_bar};
use crate::cli::{Error, Output};
use crate::client::{self, ApiClient};

/// Requests at a time: each is answered only once it holds on every node, which takes a while when one is away.
const AT_ONCE: usize = 16;

/// Carries a plan out until a step fails; tells which were.
pub async fn all(client: &ApiClient, plan: &PolicyPlan, output: Output) -> (Vec<String>, Result<(), Error>) {
    let total = order::step_count(plan);
    let bar = progress_bar("Applying", total);
    let mut done = Vec::new();
    for phase in order::phases(plan) {
        for steps in phase.chunks(AT_ONCE) {
            let outcomes = join_all(steps.iter().map(|step| one(client, step))).await;
            if let Err(error) = settle(steps, outcomes, &mut done, &bar, output) {
                bar.finish_and_clear();
                let incomplete = Error::Incomplete { done: done.len(), total, error: Box::new(error) };
                return (done, Err(incomplete));
            }
        }
    }
    bar.finish_and_clear();
    (done, Ok(()))
}

/// Tells of those that were done, whatever became of the others; the first failure among these.
fn settle(
    steps: &[PolicyStep<'_>],
    outcomes: Vec<Result<(), client::Error>>,
    done: &mut Vec<String>,
    bar: &ProgressBar,
    output: Output,
) -> Result<(), Error> {
    let mut failed = Ok(());
    for (step, outcome) in steps.iter().zip(outcomes) {
        match outcome {
            Ok(()) => {
                let (verb, object) = told(step);
                done.push(format!("{verb} {object}"));
                bar.inc(1);
                tell(bar, output, verb, &object)?;
            }
            Err(error) => failed = failed.and(Err(error.into())),
        }
    }
    failed
}

async fn one(client: &ApiClient, step: &PolicyStep<'_>) -> Result<(), client::Error> {
    let outcome = match step {
        PolicyStep::Remove(identity) => client.delete_identity(identity).await,
        // Written and not created, so that it makes no difference when an answer was lost and it is done again.
        PolicyStep::Create(name, policy) | PolicyStep::Narrow(name, policy) | PolicyStep::Write(name, policy) => {
            client.write_policy(name, policy).await
        }
        PolicyStep::Assign(name, identity) => client.assign_policy(name, *identity).await,
        PolicyStep::Delete(name) => client.delete_policy(name).await,
    };
    match (step, outcome) {
        // Somebody else was faster.
        (PolicyStep::Remove(_) | PolicyStep::Delete(_), Err(error)) if error.is_status(404) => Ok(()),
        (_, outcome) => outcome,
    }
}

fn told(step: &PolicyStep<'_>) -> (&'static str, String) {
    match step {
        PolicyStep::Remove(identity) => ("Removed", identity.clone()),
        PolicyStep::Create(name, _) => ("Created", (*name).to_owned()),
        PolicyStep::Narrow(name, _) => ("Narrowed", (*name).to_owned()),
        PolicyStep::Write(name, _) => ("Changed", (*name).to_owned()),
        PolicyStep::Assign(name, identity) => ("Assigned", format!("{name} to {identity}")),
        PolicyStep::Delete(name) => ("Deleted", (*name).to_owned()),
    }
}

/// What was done stays on the screen, above the bar.
fn tell(bar: &ProgressBar, output: Output, verb: &str, object: &str) -> Result<(), Error> {
    if output.is_json() {
        return Ok(());
    }
    bar.suspend(|| output.line(&format!("{GOOD}{verb}{GOOD:#} {}", printable(object))))
}
