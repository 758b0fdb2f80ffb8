//! The policies and identities of a KES configuration file.

use std::path::Path;

use crate::cli::policy::{Wish, apply, load};
use crate::cli::{Error, Output};
use crate::client::Client;

/// Applies the file's policies, which tells what of its admin has to be done by hand.
pub async fn run(client: &Client, file: &Path, dry_run: bool, yes: bool, output: Output) -> Result<(), Error> {
    apply(client, &load(file)?, Wish { dry_run, prune: false, yes }, output).await
}
