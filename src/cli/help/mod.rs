//! `--help`: wrapped once, at the width of the terminal, with every example whole.

pub(super) mod notes;

use clap::Command;

use self::notes::Note;

/// The width where nothing says how wide the output is.
const DEFAULT_WIDTH: usize = 100;
/// A terminal narrower than this shows lines as if it had this width.
const LEAST_WIDTH: usize = 20;

/// A space within an example. clap wraps the help at spaces, so examples have none until [`unprotected`].
const HARD_SPACE: char = '\u{a0}';

/// The command line, whose help fits the terminal.
pub fn fitted(command: Command) -> Command {
    fitted_to(command, width())
}

/// Help as it is shown.
pub fn unprotected(help: &str) -> String {
    help.replace(HARD_SPACE, " ")
}

/// The command line, whose help fits this width.
fn fitted_to(command: Command, width: usize) -> Command {
    laid_out(command, width).term_width(width)
}

/// The command with its notes laid out, and so its subcommands.
fn laid_out(command: Command, width: usize) -> Command {
    let notes = command.get_after_help().map(ToString::to_string);
    let command = match notes {
        Some(text) => command.after_help(notes::lay_out(&Note::parse(&text), width, HARD_SPACE)),
        None => command,
    };
    command.mut_subcommands(|sub| laid_out(sub, width))
}

/// The width of the terminal, as clap finds it: of the first stream that is one, else what `COLUMNS` says.
fn width() -> usize {
    let of = |columns: u16| (columns > 0).then_some(usize::from(columns));
    let terminal = rustix::termios::tcgetwinsize(std::io::stdout())
        .or_else(|_| rustix::termios::tcgetwinsize(std::io::stderr()))
        .or_else(|_| rustix::termios::tcgetwinsize(std::io::stdin()))
        .ok()
        .and_then(|size| of(size.ws_col));
    let variable = || std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).and_then(of);
    terminal.or_else(variable).unwrap_or(DEFAULT_WIDTH).max(LEAST_WIDTH)
}

#[cfg(test)]
mod tests;
