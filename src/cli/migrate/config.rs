//! The policies and identities of a KES configuration file.

use std::path::Path;

use crate::cli::output::WARN;
use crate::cli::policy::{Wish, apply};
use crate::cli::{Error, Output};
use crate::client::Client;
use crate::config::PolicyFile;
use crate::policy::Identity;

/// Applies the file's policies, and tells what of its admin has to be done by hand.
pub async fn run(client: &Client, file: &Path, dry_run: bool, yes: bool, output: Output) -> Result<(), Error> {
    let (file, warnings) = PolicyFile::load(file).map_err(Error::Config)?;
    for warning in warnings {
        anstream::eprintln!("{WARN}Warning:{WARN:#} {warning}");
    }
    if let Some(admin) = file.admin {
        tell_of_admin(client, admin).await?;
    }
    apply(client, &file, Wish { dry_run, prune: false, yes }, output).await
}

/// An admin may do everything, so that none is made in passing.
async fn tell_of_admin(client: &Client, admin: Identity) -> Result<(), Error> {
    match client.describe_identity(&admin.to_string()).await {
        Ok(entry) if entry.admin => Ok(()),
        Err(error) if !error.is_status(404) => Err(error.into()),
        _ => {
            anstream::eprintln!(
                "{WARN}Note:{WARN:#} the file's admin is none here. If it shall be one:\n  \
                 keyraft identity create {admin} --admin"
            );
            Ok(())
        }
    }
}
