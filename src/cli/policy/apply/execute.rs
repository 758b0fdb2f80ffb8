//! Sends the requests of a plan, one phase after the other.

use futures::future::join_all;
use indicatif::ProgressBar;

use super::order;
use super::plan::{PolicyPlan, PolicyStep};
use crate::cli::escape::printable;
use crate::cli::output::{GOOD, progress_bar};
use crate::cli::{Error, Output};
use crate::client::{self, ApiClient};

/// Requests at a time. A server answers only when a change holds on every node, which takes long if one is away.
const AT_ONCE: usize = 16;

/// Makes the changes of a plan until one fails. Returns those that are made, and the failure.
pub async fn run(client: &ApiClient, plan: &PolicyPlan, output: Output) -> (Vec<String>, Result<(), Error>) {
    let total = order::step_count(plan);
    let bar = progress_bar("Applying", total);
    let mut done = Vec::new();
    for phase in order::phases(plan) {
        for steps in phase.chunks(AT_ONCE) {
            let outcomes = join_all(steps.iter().map(|step| send(client, step))).await;
            if let Err(error) = report_done(steps, outcomes, &mut done, &bar, output) {
                bar.finish_and_clear();
                let incomplete = Error::Incomplete { done: done.len(), total, error: Box::new(error) };
                return (done, Err(incomplete));
            }
        }
    }
    bar.finish_and_clear();
    (done, Ok(()))
}

/// Reports the changes that are made, also if others of the same phase failed. Returns the first failure.
fn report_done(
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
                let (verb, object) = description(step);
                done.push(format!("{verb} {object}"));
                bar.inc(1);
                print_done(bar, output, verb, &object)?;
            }
            Err(error) => failed = failed.and(Err(error.into())),
        }
    }
    failed
}

async fn send(client: &ApiClient, step: &PolicyStep<'_>) -> Result<(), client::Error> {
    let outcome = match step {
        PolicyStep::Remove(identity) => client.delete_identity(identity).await,
        // It writes and does not create, because after a lost answer the client sends the request again.
        PolicyStep::Create(name, policy) | PolicyStep::Narrow(name, policy) | PolicyStep::Write(name, policy) => {
            client.write_policy(name, policy).await
        }
        PolicyStep::Assign(name, identity) => client.assign_policy(name, *identity).await,
        PolicyStep::Delete(name) => client.delete_policy(name).await,
    };
    match (step, outcome) {
        // Somebody else has removed it meanwhile, which has the same effect.
        (PolicyStep::Remove(_) | PolicyStep::Delete(_), Err(error)) if error.is_status(404) => Ok(()),
        (_, outcome) => outcome,
    }
}

fn description(step: &PolicyStep<'_>) -> (&'static str, String) {
    match step {
        PolicyStep::Remove(identity) => ("Removed", identity.clone()),
        PolicyStep::Create(name, _) => ("Created", (*name).to_owned()),
        PolicyStep::Narrow(name, _) => ("Narrowed", (*name).to_owned()),
        PolicyStep::Write(name, _) => ("Changed", (*name).to_owned()),
        PolicyStep::Assign(name, identity) => ("Assigned", format!("{name} to {identity}")),
        PolicyStep::Delete(name) => ("Deleted", (*name).to_owned()),
    }
}

/// Prints a change that is made. It stays on the screen, above the bar.
fn print_done(bar: &ProgressBar, output: Output, verb: &str, object: &str) -> Result<(), Error> {
    if output.is_json() {
        return Ok(());
    }
    bar.suspend(|| output.line(&format!("{GOOD}{verb}{GOOD:#} {}", printable(object))))
}
