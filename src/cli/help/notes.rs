//! The notes below the options in `--help`: titles, examples, lists and prose, laid out for a width.

/// A part of the notes of a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Note {
    /// The title of what follows, without its colon.
    Title(String),
    /// A command, signal or code, and its meaning.
    Row(String, Option<String>),
    /// A line that is printed unchanged.
    Verbatim(String),
    /// One item of a list.
    Item(String),
    /// A paragraph on one line.
    Prose(String),
    /// An empty line.
    Blank,
}

/// Where rows and list items begin.
const INDENT: usize = 2;
/// Spaces between a row and its meaning.
const GAP: usize = 2;
/// The narrowest column of meanings. With less room, each meaning goes below its row.
const LEAST_COLUMN: usize = 28;
/// The indent of a meaning below its row.
const BELOW: usize = 6;

impl Note {
    /// Reads notes. A row is indented by two spaces, and two spaces or more separate it from its meaning. `- ` begins an
    /// item of a list. A deeper line continues an item, or else is printed unchanged.
    pub fn parse(text: &str) -> Vec<Self> {
        let mut notes = Vec::new();
        for line in text.lines() {
            let (content, indent) = (line.trim(), line.len() - line.trim_start().len());
            match notes.last_mut() {
                _ if content.is_empty() => notes.push(Self::Blank),
                Some(Self::Item(item)) if indent > INDENT => append(item, content),
                Some(Self::Prose(prose)) if indent == 0 => append(prose, content),
                _ => notes.push(Self::first_line(content, indent)),
            }
        }
        titled(notes)
    }

    fn first_line(content: &str, indent: usize) -> Self {
        match (indent, content.strip_prefix("- ")) {
            (0, _) => Self::Prose(content.to_owned()),
            (INDENT, Some(item)) => Self::Item(item.to_owned()),
            (INDENT, None) => {
                let (row, meaning) = content.split_once("  ").map_or((content, None), |(row, more)| (row, Some(more)));
                Self::Row(row.to_owned(), meaning.map(|more| more.trim_start().to_owned()))
            }
            _ => Self::Verbatim(format!("{}{content}", " ".repeat(indent))),
        }
    }

    /// Whether it keeps a line of its own at any width.
    pub fn is_row(&self) -> bool {
        matches!(self, Self::Row(..) | Self::Verbatim(_))
    }
}

/// The notes as text for this width. Spaces in rows and verbatim lines become `hard`, so that clap does not break them.
pub fn lay_out(notes: &[Note], width: usize, hard: char) -> String {
    let lines = notes.chunk_by(|one, next| one.is_row() && next.is_row()).flat_map(|block| match block {
        [Note::Title(title)] => vec![format!("{title}:")],
        [Note::Prose(prose)] => wrapped(prose, width, 0),
        [Note::Item(item)] => wrapped(item, width, INDENT + 2).iter().enumerate().map(dashed).collect(),
        [Note::Blank] => vec![String::new()],
        rows => laid_out_rows(rows, width, hard),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Wraps text into indented lines of at most this width. A longer word gets a line of its own.
fn wrapped(text: &str, width: usize, indent: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if length(line) + 1 + length(word) <= width => append(line, word),
            _ => lines.push(format!("{}{word}", " ".repeat(indent))),
        }
    }
    lines
}

fn dashed((number, line): (usize, &String)) -> String {
    if number == 0 { format!("{}- {}", " ".repeat(INDENT), line.trim_start()) } else { line.clone() }
}

/// Rows as a table if the column of meanings is wide enough, or else with each meaning below its row.
fn laid_out_rows(rows: &[Note], width: usize, hard: char) -> Vec<String> {
    let explained = rows.iter().filter_map(|row| match row {
        Note::Row(row, Some(_)) => Some(length(row)),
        _ => None,
    });
    let column = explained.max().map_or(0, |longest| INDENT + longest + GAP);
    let fits = column + LEAST_COLUMN <= width;
    rows.iter().flat_map(|row| laid_out_row(row, if fits { Some(column) } else { None }, width, hard)).collect()
}

fn laid_out_row(row: &Note, column: Option<usize>, width: usize, hard: char) -> Vec<String> {
    let hardened = |text: &str| text.replace(' ', &hard.to_string());
    match (row, column) {
        (Note::Row(row, Some(meaning)), Some(column)) => {
            let mut lines = wrapped(meaning, width, column);
            if let Some(first) = lines.first_mut() {
                let head = hardened(&format!("{}{row}", " ".repeat(INDENT)));
                *first = format!("{head}{}{}", " ".repeat(column - length(&head)), first.trim_start());
            }
            lines
        }
        (Note::Row(row, Some(meaning)), None) => {
            let head = hardened(&format!("{}{row}", " ".repeat(INDENT)));
            std::iter::once(head).chain(wrapped(meaning, width, BELOW)).collect()
        }
        (Note::Row(row, None), _) => vec![hardened(&format!("{}{row}", " ".repeat(INDENT)))],
        (Note::Verbatim(line), _) => vec![hardened(line)],
        _ => Vec::new(),
    }
}

/// Turns a paragraph that ends with a colon and precedes something indented into a title.
fn titled(mut notes: Vec<Note>) -> Vec<Note> {
    for at in 1..notes.len() {
        let leads = notes[at].is_row() || matches!(notes[at], Note::Item(_));
        if let Note::Prose(title) = &notes[at - 1]
            && leads
            && let Some(title) = title.strip_suffix(':')
        {
            notes[at - 1] = Note::Title(title.to_owned());
        }
    }
    notes
}

fn append(text: &mut String, more: &str) {
    text.push(' ');
    text.push_str(more);
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTES: &str = "\
Examples:
  keyraft a --with options   what it does, in a few words more
  keyraft b \\
            --more

Some prose that
goes on.

What is left:
  - one thing
    and more of it
  - another";

    #[test]
    fn each_form_of_note_is_read() {
        let text = |text: &str| text.to_owned();
        let read = [
            Note::Title(text("Examples")),
            Note::Row(text("keyraft a --with options"), Some(text("what it does, in a few words more"))),
            Note::Row(text("keyraft b \\"), None),
            Note::Verbatim(text("            --more")),
            Note::Blank,
            Note::Prose(text("Some prose that goes on.")),
            Note::Blank,
            Note::Title(text("What is left")),
            Note::Item(text("one thing and more of it")),
            Note::Item(text("another")),
        ];
        assert_eq!(Note::parse(NOTES), read);
    }

    #[test]
    fn meanings_are_beside_their_rows_or_below() {
        let at = |width| lay_out(&Note::parse(NOTES), width, ' ');
        assert!(at(80).contains("\n  keyraft a --with options  what it does, in a few words more\n"), "{}", at(80));
        assert!(
            at(60).contains("options  what it does, in a few words\n                            more\n"),
            "{}",
            at(60)
        );
        assert!(at(30).contains("options\n      what it does, in a few\n      words more\n"), "{}", at(30));
        assert!(at(30).contains("\n  keyraft b \\\n            --more\n"), "{}", at(30));
        assert!(at(12).contains("\n  - one\n    thing\n    and more\n    of it\n  - another"), "{}", at(12));
    }
}
