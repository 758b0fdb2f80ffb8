//! `keyraft policy apply`: makes the policies and assignments of a server match a file.

mod execute;
mod order;
mod plan;
mod server_rules;
mod show;

use std::path::{Path, PathBuf};

use self::plan::PolicyPlan;
use self::server_rules::ServerRules;
use crate::cli::output::GOOD;
use crate::cli::{Error, Output};
use crate::client::ApiClient;
use crate::config::{self, PolicyFile};

/// The arguments of the command.
#[derive(clap::Args)]
pub struct Args {
    /// KES configuration, node configuration, or a file that has only a `policy:` section
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Show what would change, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Also delete policies and assignments that are not in the file; never an admin, and never your own
    #[arg(long)]
    prune: bool,
    /// Apply the changes without asking
    #[arg(short, long)]
    yes: bool,
}

/// The examples in its `--help`.
pub const EXAMPLES: &str = "\
Examples:
  keyraft policy apply kes.yml --dry-run           shows what would change; exit code 6 if anything would
  keyraft policy apply kes.yml
  keyraft policy apply policies.yml --prune --yes  also deletes what is not in the file

The file:
  policy:
    my-app:
      allow: [/v1/key/create/my-app*, /v1/key/generate/my-app*, /v1/key/decrypt/my-app*]
      deny:  [/v1/key/generate/my-app-internal*]
      identities: [${APP_IDENTITY}]

While the command runs, nobody has a right that they have neither before nor after. Your own policy changes last.
After a failure, run the command again: it goes on where it stopped.";

/// How to apply a file.
#[derive(Clone, Copy)]
pub struct ApplyOptions {
    /// Show the changes, and make none.
    pub dry_run: bool,
    /// Delete policies and assignments that are not in the file.
    pub prune: bool,
    /// Apply the changes without asking.
    pub yes: bool,
}

/// Reads the file, and makes the server's policies match it.
pub async fn run(client: &ApiClient, args: &Args, output: Output) -> Result<(), Error> {
    let options = ApplyOptions { dry_run: args.dry_run, prune: args.prune, yes: args.yes };
    let text = config::read_text(&args.file).map_err(Error::Config)?;
    apply(client, &load(&args.file, &text, output)?, options, output).await
}

/// Parses a file, and warns of what is odd in it.
pub fn load(path: &Path, text: &str, output: Output) -> Result<PolicyFile, Error> {
    let (file, warnings) = PolicyFile::parse(path, text, &config::process_variable).map_err(Error::Config)?;
    for warning in warnings {
        output.warn_of(&warning);
    }
    Ok(file)
}

/// Shows the differences, asks, and makes the changes.
pub async fn apply(client: &ApiClient, file: &PolicyFile, options: ApplyOptions, output: Output) -> Result<(), Error> {
    let current = ServerRules::of(client, file.admin).await?;
    let plan = PolicyPlan::new(file, &current, options.prune);
    let steps = order::step_count(&plan);
    if let Some(admin) = &plan.admin {
        output.note(&format!("Note: {}", show::advice(admin)));
    }
    if !output.is_json() {
        output.line(&show::render(&plan, options.prune))?;
    }
    if options.dry_run || steps == 0 {
        if output.is_json() {
            output.json(&show::json(&plan, &[]))?;
        }
        return if steps == 0 { as_wanted(&plan) } else { Err(Error::Differs) };
    }
    output.confirm(options.yes, "Apply these changes?")?;
    let (done, outcome) = execute::run(client, &plan, output).await;
    if output.is_json() {
        output.json(&show::json(&plan, &done))?;
    }
    outcome?;
    if !output.is_json() {
        output.line(&format!("{GOOD}Applied{GOOD:#} all changes: {steps}."))?;
    }
    as_wanted(&plan)
}

fn as_wanted(plan: &PolicyPlan) -> Result<(), Error> {
    if plan.skipped.is_empty() { Ok(()) } else { Err(Error::NotAssigned(plan.skipped.len())) }
}
