//! Lays out `--help` for the width of the terminal, and never breaks an example.

pub(super) mod notes;

use clap::Command;

use self::notes::Note;

/// The width if neither a terminal nor `COLUMNS` gives one.
const DEFAULT_WIDTH: usize = 100;
/// In a narrower terminal, lines are wrapped at this width.
const LEAST_WIDTH: usize = 20;

/// Stands for a space in an example until [`unprotected`], because clap wraps help at spaces.
const HARD_SPACE: char = '\u{a0}';

/// The command line with its help laid out for the terminal.
pub fn fitted(command: Command) -> Command {
    fitted_to(command, width())
}

/// The help with its spaces back, ready to print.
pub fn unprotected(help: &str) -> String {
    help.replace(HARD_SPACE, " ")
}

/// The command line with its help laid out for this width.
fn fitted_to(command: Command, width: usize) -> Command {
    laid_out(command, width).term_width(width)
}

/// Lays out the notes of the command and of its subcommands.
fn laid_out(command: Command, width: usize) -> Command {
    let notes = command.get_after_help().map(ToString::to_string);
    let command = match notes {
        Some(text) => command.after_help(notes::lay_out(&Note::parse(&text), width, HARD_SPACE)),
        None => command,
    };
    command.mut_subcommands(|sub| laid_out(sub, width))
}

/// The width of the terminal, found as clap does: from the first stream that is a terminal, or else from `COLUMNS`.
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
