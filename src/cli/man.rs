//! `keyraft man`: manual pages, one for each command, from the same words that `--help` shows.

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use serde_json::json;

use super::output::GOOD;
use super::{Cli, Error, Output};

/// Write manual pages, one for each command
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The folder they are written to; it is made when it is not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  keyraft man ~/.local/share/man/man1 && man keyraft-key-rotate
  sudo keyraft man /usr/local/share/man/man1";

/// Writes them.
pub fn run(args: &Args, output: Output) -> Result<(), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    std::fs::create_dir_all(&args.dir).map_err(failed(&args.dir))?;
    let pages = pages();
    for (name, page) in &pages {
        let path = args.dir.join(name);
        std::fs::write(&path, page).map_err(failed(&path))?;
    }
    output.either(&json!({ "dir": args.dir, "pages": pages.len() }), || {
        format!("{GOOD}Written{GOOD:#} {} pages to {}", pages.len(), args.dir.display())
    })
}

/// File names and pages: `keyraft.1`, `keyraft-key.1`, `keyraft-key-create.1` …
fn pages() -> Vec<(String, Vec<u8>)> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    collect(root, &mut pages);
    pages
}

fn collect(command: Command, pages: &mut Vec<(String, Vec<u8>)>) {
    let subs: Vec<_> = command.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned().collect();
    let (man, mut page) = (Man::new(command), Vec::new());
    man.render(&mut page).expect("writing to memory does not fail");
    pages.push((man.get_filename(), page));
    for sub in subs {
        collect(sub, pages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_examples() {
        let pages = pages();
        for name in ["keyraft.1", "keyraft-key.1", "keyraft-key-rotate.1", "keyraft-policy-create.1"] {
            assert!(pages.iter().any(|(page, _)| page == name), "{name}");
        }
        let (_, rotate) = pages.iter().find(|(name, _)| name == "keyraft-key-rotate.1").unwrap();
        let rotate = String::from_utf8_lossy(rotate);
        assert!(rotate.contains("Examples") && rotate.contains("keyraft key versions"), "{rotate}");
    }
}
