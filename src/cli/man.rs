//! `keyraft man`: writes a manual page for each command, from the texts that `--help` shows.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use serde_json::json;

use super::help::notes::Note;
use super::output::GOOD;
use super::{Error, Output};

/// Write manual pages, one for each command
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The folder for the pages; the command creates it if needed
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Ends justified lines and hyphens, because justification doubles spaces in names and commands.
const RAGGED: &str = ".ad l\n.nh\n";

const EXAMPLES: &str = "\
Examples:
  keyraft man ~/.local/share/man/man1 && man keyraft-key-rotate
  sudo keyraft man /usr/local/share/man/man1";

/// Writes the pages of this command line.
pub fn run(args: &Args, command: Command, output: Output) -> Result<(), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    std::fs::create_dir_all(&args.dir).map_err(failed(&args.dir))?;
    let pages = pages(command);
    for (name, page) in &pages {
        let path = args.dir.join(name);
        std::fs::write(&path, page).map_err(failed(&path))?;
    }
    output.either(&json!({ "dir": args.dir, "pages": pages.len() }), || {
        format!("{GOOD}Written{GOOD:#} {} pages to {}", pages.len(), args.dir.display())
    })
}

/// File names and pages: `keyraft.1`, `keyraft-key.1`, `keyraft-key-create.1` …
fn pages(command: Command) -> Vec<(String, Vec<u8>)> {
    let mut root = command.disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    collect(root, &mut pages);
    pages
}

fn collect(command: Command, pages: &mut Vec<(String, Vec<u8>)>) {
    let subs: Vec<_> = command.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned().collect();
    pages.push(page(command));
    for sub in subs {
        collect(sub, pages);
    }
}

/// A page: the sections that clap writes, and those from the notes of `--help`.
fn page(command: Command) -> (String, Vec<u8>) {
    let (synopsis, after) = (synopsis(&command), command.get_after_help().map(ToString::to_string));
    let (has_options, has_commands) = (command.get_arguments().next().is_some(), command.has_subcommands());
    let man = Man::new(command);
    let name = man.get_filename();
    let mut page = part(|to| man.render_name_section(to)) + &text_of(&synopsis);
    page += &part(|to| man.render_description_section(to));
    if has_options {
        page += &part(|to| man.render_options_section(to));
    }
    if has_commands {
        page += &part(|to| man.render_subcommands_section(to));
    }
    page += &text_of(&sections(&after.unwrap_or_default()));
    // Our pages have no date. The crate leaves an empty argument out of a heading, so we write the heading ourselves.
    let (title, version) = (name.trim_end_matches(".1"), env!("CARGO_PKG_VERSION"));
    let heading = format!(".TH {title} 1 \"\" \"keyraft {version}\" \"Keyraft\"\n");
    let page =
        [".SH NAME\n", ".SH SYNOPSIS\n"].iter().fold(page, |page, at| page.replace(at, &format!("{at}{RAGGED}")));
    (name, (Roff::new().render() + &heading + &ascii(&page)).into_bytes())
}

/// Writes characters beyond ASCII as codes, because a page does not declare its encoding.
fn ascii(page: &str) -> String {
    page.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\[u{:04X}]", u32::from(c)) }).collect()
}

/// A section that clap renders, without the definitions, which a page needs only once.
fn part(render: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> String {
    let mut bytes = Vec::new();
    render(&mut bytes).expect("writing to memory does not fail");
    without_definitions(&String::from_utf8(bytes).expect("a page is text"))
}

fn text_of(roff: &Roff) -> String {
    without_definitions(&roff.render())
}

fn without_definitions(page: &str) -> String {
    page.strip_prefix(&Roff::new().render()).unwrap_or(page).to_owned()
}

/// The synopsis: every option with the name of its value, then the positional arguments.
fn synopsis(command: &Command) -> Roff {
    let mut line = vec![bold(command.get_bin_name().unwrap_or_else(|| command.get_name()))];
    let shown = |arg: &&Arg| !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version");
    let (positional, options): (Vec<_>, Vec<_>) =
        command.get_arguments().filter(shown).partition(|arg| arg.is_positional());
    options.into_iter().chain(positional).for_each(|arg| line.extend(argument(arg)));
    if command.has_subcommands() {
        line.extend([roman(" "), italic("COMMAND"), roman(" …")]);
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]).text(line);
    roff
}

fn argument(arg: &Arg) -> Vec<Inline> {
    let (open, close) = if arg.is_required_set() { (" ", "") } else { (" [", "]") };
    let value =
        arg.get_value_names().map(|names| names.iter().map(clap::builder::Str::as_str).collect::<Vec<_>>().join(" "));
    let mut parts = vec![roman(open)];
    if let Some(long) = arg.get_long() {
        parts.push(bold(format!("--{long}")));
    }
    if arg.get_action().takes_values() {
        let gap = if arg.is_positional() { "" } else { " " };
        parts.extend([roman(gap), italic(value.unwrap_or_else(|| arg.get_id().to_string()))]);
    }
    parts.push(roman(close));
    if matches!(arg.get_action(), ArgAction::Append) {
        parts.push(roman(" …"));
    }
    parts
}

/// The notes of a command as sections. Rows keep their lines; meanings, lists and prose are filled.
fn sections(text: &str) -> Roff {
    let (mut roff, mut in_notes) = (Roff::new(), false);
    for block in Note::parse(text).chunk_by(|one, next| one.is_row() && next.is_row()) {
        match block {
            [Note::Title(title)] => {
                let title = if title == "Example" { "Examples" } else { title };
                roff.control("SH", [title.to_uppercase().as_str()]);
                in_notes = false;
            }
            [Note::Prose(prose)] => {
                let (control, arguments) = if in_notes { ("PP", None) } else { ("SH", Some("NOTES")) };
                roff.control(control, arguments).text([roman(prose)]);
                in_notes = true;
            }
            [Note::Item(item)] => {
                roff.control("IP", ["-", "2"]).text([roman(item)]);
            }
            [Note::Blank] => {}
            rows => add_rows(&mut roff, rows),
        }
    }
    roff
}

/// Adds rows, each on a line of its own at any width, with its meaning below it.
fn add_rows(roff: &mut Roff, rows: &[Note]) {
    roff.control("nf", []);
    for row in rows {
        match row {
            Note::Row(row, None) => roff.text([roman(row)]),
            Note::Row(row, Some(meaning)) => {
                roff.text([roman(row)]).control("fi", []).control("RS", ["4"]);
                roff.text([roman(meaning)]).control("RE", []).control("nf", [])
            }
            Note::Verbatim(line) => roff.text([roman(line)]),
            _ => roff,
        };
    }
    roff.control("fi", []);
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_has_a_page_with_its_examples() {
        let pages = pages(Cli::command());
        for name in ["keyraft.1", "keyraft-key.1", "keyraft-key-rotate.1", "keyraft-policy-create.1"] {
            assert!(pages.iter().any(|(page, _)| page == name), "{name}");
        }
        let (_, rotate) = pages.iter().find(|(name, _)| name == "keyraft-key-rotate.1").unwrap();
        let rotate = String::from_utf8_lossy(rotate);
        assert!(rotate.contains(".SH EXAMPLES\n.nf\nkeyraft key rotate my"), "{rotate}");
        assert!(rotate.contains("versions my\\-key\n.fi\n.SH NOTES\nOlder versions"), "{rotate}");
        assert!(rotate.contains(".TH keyraft-key-rotate 1 \"\" \"keyraft "), "{rotate}");
        assert!(rotate.contains("[\\fB\\-\\-ca\\fR \\fIFILE\\fR]"), "{rotate}");
        let bench =
            pages.iter().find(|(name, _)| name == "keyraft-bench.1").map(|(_, page)| String::from_utf8_lossy(page));
        let bench = bench.unwrap();
        assert!(bench.contains("op create \\-\\-clients 64\n.fi\n.RS 4\ndurable writes\n.RE\n.nf\n"), "{bench}");
        let prose = bench.lines().find(|line| line.starts_with("A request counts")).unwrap();
        assert!(prose.contains("within the measured time. With") && prose.ends_with("deletes its keys."), "{bench}");
        let extra = pages.iter().filter(|(_, page)| String::from_utf8_lossy(page).contains(".SH EXTRA"));
        assert_eq!(extra.count(), 0);
    }
}
