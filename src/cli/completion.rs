//! `keyraft completion`: scripts with which a shell completes commands.

use clap::Command;
use clap_complete::{Shell, generate};

use super::{Error, Output};

/// Print a script with which a shell completes commands
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell: bash, zsh or fish
    #[arg(value_parser = clap::builder::EnumValueParser::<Shell>::new())]
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  source <(keyraft completion bash)                                           in ~/.bashrc
  keyraft completion zsh > \"${fpath[1]}/_keyraft\"
  keyraft completion fish > ~/.config/fish/completions/keyraft.fish";

/// Prints the script that completes this command line.
pub fn run(args: &Args, mut command: Command, output: Output) -> Result<(), Error> {
    let mut script = Vec::new();
    generate(args.shell, &mut command, "keyraft", &mut script);
    output.bytes(&script)
}
