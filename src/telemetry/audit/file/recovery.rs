//! Reads the end of an existing audit file: its last line, and the torn bytes that a crash left after it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use crate::telemetry::audit::chain::{self, ChainLine, ChainLink};

/// How much of a file's end it reads. A busy node writes far less between two checkpoints.
const WINDOW: u64 = 8 << 20;

/// The end of an audit file.
#[derive(Debug, PartialEq, Eq)]
pub struct FileEnd {
    /// The last complete line, if the file has one.
    pub last: Option<ChainLink>,
    /// Bytes after the last line that are not a line.
    pub torn: Vec<u8>,
    /// Whether the last line is complete but for its `\n`.
    pub unterminated: bool,
    /// The lines at the end, the oldest first.
    lines: Vec<ChainLink>,
}

impl FileEnd {
    /// Reads the end of a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(file: &mut File) -> io::Result<Self> {
        let length = file.seek(SeekFrom::End(0))?;
        let from = length.saturating_sub(WINDOW);
        file.seek(SeekFrom::Start(from))?;
        let mut window = Vec::new();
        file.by_ref().take(WINDOW).read_to_end(&mut window)?;
        // Skip the rest of a line that the window cuts.
        let skipped = if from == 0 { 0 } else { window.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1) };
        Ok(Self::of(&window[skipped..]))
    }

    /// Finds the last line in bytes that begin with a line. A last line that lacks only its `\n` counts if it follows the
    /// line before it.
    fn of(bytes: &[u8]) -> Self {
        let (mut lines, mut end, mut start) = (Vec::new(), 0, 0);
        let mut unterminated = false;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            start += piece.len();
            let line = piece.strip_suffix(b"\n").unwrap_or(piece);
            let last: Option<&ChainLink> = lines.last();
            let follows = |parsed: &ChainLine| last.is_none_or(|last| last.is_followed_by(&parsed.chain));
            if let Some(parsed) = chain::parse(line).filter(|parsed| piece.ends_with(b"\n") || follows(parsed)) {
                unterminated = !piece.ends_with(b"\n");
                lines.push(parsed.link(line));
                end = start;
            }
        }
        Self { last: lines.last().copied(), torn: bytes[end..].to_vec(), unterminated, lines }
    }

    /// Whether the file holds a line that the node wrote before. It assumes so for a line before the window.
    pub fn holds(&self, link: ChainLink) -> bool {
        let Some(first) = self.lines.first() else { return link == chain::START };
        let found = self.lines.iter().find(|line| line.number == link.number);
        found.map_or(link.number < first.number, |line| *line == link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> (String, Vec<ChainLink>) {
        let (mut link, mut out) = (chain::START, String::new());
        let mut append = |_| {
            let start = out.len();
            out.push_str(r#"{"time":"t"}"#);
            link.append(&mut out, start);
            link
        };
        let links = (0..count).map(&mut append).collect();
        (out, links)
    }

    #[test]
    fn recovery_finds_the_end_after_a_cut_at_any_byte() {
        let (text, links) = lines(3);
        let whole = text.len();
        let second = text.find('\n').unwrap() + 1;
        for cut in second..=whole {
            let end = FileEnd::of(&text.as_bytes()[..cut]);
            let last = text[..cut].matches('\n').count();
            // A line that lacks its end alone is a line.
            let complete = last + usize::from(text[cut..].starts_with('\n'));
            assert_eq!(end.last, Some(links[complete - 1]), "{cut}");
            assert_eq!(end.unterminated, complete > last);
            assert!(links[..complete].iter().all(|link| end.holds(*link)));
            assert!(links[complete..].iter().all(|link| !end.holds(*link)));
            assert_eq!(end.torn.is_empty(), complete > last || text[..cut].ends_with('\n'));
        }
        assert_eq!(FileEnd::of(b"").last, None);
        assert!(FileEnd::of(b"").holds(chain::START) && !FileEnd::of(b"").holds(links[0]));
    }

    #[test]
    fn garbage_at_the_end_is_torn_even_with_line_ends_in_it() {
        let (text, links) = lines(2);
        let end = FileEnd::of(format!("{text}\0\0\n\0").as_bytes());
        assert_eq!((end.last, end.torn), (Some(links[1]), b"\0\0\n\0".to_vec()));
    }
}
