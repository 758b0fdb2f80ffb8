//! Reports a wrong command line: as text, or with `--json` as JSON, like every other error.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;

use super::error::EXIT_USAGE;
use super::error_report::ErrorReport;
use super::help::unprotected;

/// Prints why the arguments are not a valid command, or the help or version that they ask for; returns the exit code.
pub fn misused(error: &clap::Error, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    if error.use_stderr() && asks_for_json(arguments) {
        error_report(error).print();
    } else {
        print(error);
    }
    ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { 0 })
}

/// Prints help, the version or a mistake for people. It ignores a closed output, because nobody reads it.
fn print(error: &clap::Error) {
    let text = unprotected(&error.render().ansi().to_string());
    let _ = if error.use_stderr() {
        anstream::stderr().lock().write_all(text.as_bytes())
    } else {
        anstream::stdout().lock().write_all(text.as_bytes())
    };
}

/// Whether `--json` is among the arguments. clap cannot say, because they are not a valid command.
fn asks_for_json(arguments: impl IntoIterator<Item = OsString>) -> bool {
    arguments.into_iter().take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

fn error_report(error: &clap::Error) -> ErrorReport {
    const HELP: &str = "add `--help` to see which commands and options there are";
    let (message, hint) = match error.kind() {
        // clap renders this kind as the whole help, which is too long for a message.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => ("a command is missing".to_owned(), HELP.to_owned()),
        _ => paragraphs(&error.render().to_string()),
    };
    ErrorReport { kind: "usage", message, exit_code: EXIT_USAGE, hint: Some(hint), ..ErrorReport::default() }
}

/// clap's first paragraph, which says what is wrong, and the others, which say what to do.
fn paragraphs(rendered: &str) -> (String, String) {
    let (first, others) = rendered.trim_end().split_once("\n\n").unwrap_or((rendered.trim_end(), ""));
    (first.trim_start_matches("error: ").to_owned(), others.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    fn of(line: &str) -> ErrorReport {
        error_report(&Cli::try_parse_from(line.split(' ')).err().expect("the command line is wrong"))
    }

    #[test]
    fn a_mistake_is_named_and_the_usage_is_the_hint() {
        let unknown = of("keyraft key frobnicate");
        assert_eq!(unknown.message, "unrecognized subcommand 'frobnicate'");
        assert!(unknown.hint.unwrap().contains("Usage: keyraft key"));
        let option = of("keyraft key ls --bogus");
        assert_eq!(option.message, "unexpected argument '--bogus' found");
        let missing = of("keyraft key create");
        assert!(missing.message.contains("required arguments") && missing.message.contains("NAME"), "{missing:?}");
        assert_eq!(of("keyraft key").message, "a command is missing");
        assert_eq!(of("keyraft bench --clients 0").kind, "usage");
    }

    #[test]
    fn json_counts_only_before_the_end_of_the_options() {
        let asks = |line: &str| asks_for_json(line.split(' ').map(OsString::from));
        assert!(asks("keyraft --json key frobnicate") && asks("keyraft key ls --bogus --json"));
        assert!(!asks("keyraft key frobnicate") && !asks("keyraft key create -- --json"));
    }
}
