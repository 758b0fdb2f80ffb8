//! Tests of every command's help at several widths.

use clap::CommandFactory as _;

use super::*;
use crate::cli::Cli;

const WIDTHS: [usize; 6] = [40, 60, 80, 100, 120, 200];

/// Collects every command with the words that lead to it.
fn all(command: &Command, path: &str, found: &mut Vec<(String, Command)>) {
    let path = format!("{path} {}", command.get_name()).trim().to_owned();
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        all(sub, &path, found);
    }
    found.push((path, command.clone()));
}

/// Every command with its help at this width, and its notes as the source has them.
fn rendered(width: usize) -> Vec<(String, String, Vec<Note>)> {
    let mut built = fitted_to(Cli::command(), width);
    built.build();
    let (mut shown, mut written) = (Vec::new(), Vec::new());
    all(&built, "", &mut shown);
    all(&Cli::command(), "", &mut written);
    let pairs = shown.into_iter().zip(written);
    let help = |((path, mut shown), (same, written)): ((String, Command), (String, Command))| {
        assert_eq!(path, same);
        let notes = written.get_after_help().map(ToString::to_string).unwrap_or_default();
        (path, unprotected(&shown.render_help().to_string()), Note::parse(&notes))
    };
    pairs.map(help).collect()
}

#[test]
fn no_example_is_broken_at_any_width() {
    for width in WIDTHS {
        for (path, help, notes) in rendered(width) {
            for note in notes {
                let (Note::Row(whole, _) | Note::Verbatim(whole)) = note else { continue };
                let whole = whole.trim();
                let found = help.lines().any(|line| line.trim_start().starts_with(whole));
                assert!(found, "`{path} --help` at {width} breaks {whole}:\n{help}");
            }
        }
    }
}

#[test]
fn prose_is_wrapped_once_at_the_width() {
    for width in WIDTHS {
        for (path, help, notes) in rendered(width) {
            for note in notes {
                let Note::Prose(prose) = note else { continue };
                let wrapped = greedily(&prose, width);
                assert!(help.contains(&wrapped), "`{path} --help` at {width} lacks this:\n{wrapped}\nbut:\n{help}");
            }
        }
    }
}

#[test]
fn only_an_example_may_be_wider_than_the_terminal() {
    for width in WIDTHS {
        for (path, help, notes) in rendered(width) {
            let whole: Vec<_> = notes
                .iter()
                .filter_map(|note| match note {
                    Note::Row(whole, _) | Note::Verbatim(whole) => Some(whole.trim()),
                    _ => None,
                })
                .collect();
            for line in help.lines().filter(|line| line.chars().count() > width) {
                let is_known = whole.contains(&line.trim()) || line.starts_with("Usage:") || !line.trim().contains(' ');
                assert!(is_known, "`{path} --help` is wider than {width}: {line}");
            }
        }
    }
}

#[test]
fn descriptions_have_no_line_breaks_in_the_source() {
    let mut commands = Vec::new();
    all(&Cli::command(), "", &mut commands);
    for (path, command) in commands {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.contains('\n'), "{path}: {about}");
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.contains('\n'), "{path} {}: {help}", argument.get_id());
        }
    }
}

fn greedily(text: &str, width: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().unwrap();
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}
