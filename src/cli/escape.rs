//! Makes text from others safe to print on a terminal and to paste into a shell.

use std::fmt::Write as _;

/// Escapes everything that could control a terminal, end the line or change the direction of the text. Anybody may have
/// chosen a path, a pattern or the name of a file.
pub fn printable(text: &str) -> String {
    escaped(text, controls_terminal)
}

/// Escapes the same, except the ends of lines.
pub fn printable_lines(text: &str) -> String {
    escaped(text, |c| c != '\n' && controls_terminal(c))
}

/// Escapes the same in JSON, with JSON's own escapes. Such characters occur only in its strings, apart from ends of lines.
pub fn printable_json(json: &str) -> String {
    let escape = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
    json.chars().map(|c| if c != '\n' && controls_terminal(c) { escape(c) } else { c.to_string() }).collect()
}

/// Quotes a word for a POSIX shell. If it has characters that control a terminal, only bash, zsh and ksh can read it.
pub fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-:,+=@%".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else if word.contains(controls_terminal) {
        format!("$'{}'", word.chars().map(in_ansi_quotes).collect::<String>())
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn escaped(text: &str, is_bad: impl Fn(char) -> bool) -> String {
    text.chars().map(|c| if is_bad(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// Whether a character is a control, an end of a line, or an invisible one that changes what others look like: marks of
/// direction, embeddings, overrides and isolates (Unicode 16, section 23.2, and UAX #9), joiners, invisible operators.
fn controls_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{feff}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

fn in_ansi_quotes(c: char) -> String {
    match c {
        '\'' | '\\' => format!("\\{c}"),
        c if controls_terminal(c) => c.encode_utf8(&mut [0; 4]).bytes().fold(String::new(), |mut text, byte| {
            write!(text, "\\x{byte:02x}").expect("writing to a String does not fail");
            text
        }),
        c => c.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: [char; 14] = [
        '\u{1b}', '\u{7}', '\u{9b}', '\r', '\u{2028}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{200e}',
        '\u{200f}', '\u{61c}', '\u{200b}', '\u{feff}',
    ];

    #[test]
    fn characters_that_control_a_terminal_are_escaped() {
        for bad in BAD {
            let shown = printable(&format!("a{bad}ö"));
            assert_eq!(shown, format!("a{}ö", bad.escape_unicode()));
        }
        assert_eq!(printable("a\nb"), "a\\u{a}b");
        assert_eq!(printable_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
    }

    #[test]
    fn escaped_json_has_the_same_value() {
        let value = serde_json::json!({ "a\u{9b}": BAD.iter().collect::<String>(), "b": "\u{e0041}\n" });
        let shown = printable_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!shown.contains(|c: char| c != '\n' && controls_terminal(c)), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn a_shell_reads_a_quoted_word_unchanged() {
        let words = ["", "/v1/key/*", "it's", "$(id)'`id`", "a b;c\"&|<>", "\\", "-n", "ä"];
        for word in words {
            let script = format!("printf '%s.' {}", quoted(word));
            let ended = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(ended.stdout).unwrap(), format!("{word}."), "{script}");
        }
        assert_eq!(quoted("/v1/key/create/*"), "'/v1/key/create/*'");
        assert_eq!(quoted("a'\\\u{1b}\u{202e}"), r"$'a\'\\\x1b\xe2\x80\xae'");
        assert_eq!(quoted("plain/word-1"), "plain/word-1");
    }
}
