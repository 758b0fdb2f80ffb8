//! YAML text as a tree of texts, lists and maps, each with its line; what a text means is decided by who asks for it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Spanned};

/// A value and the line it stands on. It has no `Debug`: it may hold a password.
pub(super) struct Node {
    /// Counted from 1; of an alias, where it is used.
    pub line: u64,
    /// What stands there.
    pub value: Value,
}

/// What stands at a place. Numbers and switches are texts: an identity of digits must not become a number.
pub(super) enum Value {
    /// Nothing, `null` or `~`.
    Null,
    /// A scalar as it was written, without its quotes.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map in the order of the file; doubles are kept.
    Map(Vec<Entry>),
}

/// One entry of a map.
pub(super) struct Entry {
    /// Its key.
    pub key: String,
    /// The line of the key.
    pub line: u64,
    /// Its value.
    pub value: Node,
}

/// The text is no YAML, or YAML that no configuration can be: the line (0 when unknown), and why.
pub(super) struct NoTree {
    /// Counted from 1.
    pub line: u64,
    /// What is wrong.
    pub message: String,
}

/// Reads the one YAML document of a file; empty ones before and after it do not count.
pub(super) fn parse(text: &str) -> Result<Node, NoTree> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        // A snippet of the file in an error message could show a password.
        with_snippet: false,
    };
    let documents: Vec<Spanned<Raw>> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| NoTree {
            line: error.location().map_or(0, |location| location.line()),
            message: format!("this is not valid YAML: {}", error.without_snippet()),
        })?;
    let mut documents = documents.into_iter();
    let Some(first) = documents.next() else { return Ok(Node { line: 1, value: Value::Null }) };
    if let Some(second) = documents.next() {
        let message = "a second YAML document begins here, and a configuration is one document: \
                       move these settings above the `---`, or remove them";
        return Err(NoTree { line: second.referenced.line(), message: message.to_owned() });
    }
    node(text, first)
}

/// A node as the YAML crate hands it over, before its plain scalars are read from the source again.
enum Raw {
    Null,
    Guessed,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

fn node(source: &str, raw: Spanned<Raw>) -> Result<Node, NoTree> {
    let line = raw.referenced.line();
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Text(text) => Value::Text(text),
        Raw::Guessed => Value::Text(as_written(source, &raw.defined).ok_or_else(|| unreadable(line))?),
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(source, item)).collect::<Result<_, _>>()?),
        Raw::Map(pairs) => Value::Map(pairs.into_iter().map(|pair| entry(source, pair)).collect::<Result<_, _>>()?),
    };
    Ok(Node { line, value })
}

fn entry(source: &str, (key, value): (Spanned<Raw>, Spanned<Raw>)) -> Result<Entry, NoTree> {
    let key = node(source, key)?;
    let Value::Text(name) = key.value else {
        return Err(NoTree { line: key.line, message: "the name of a setting must be a text".to_owned() });
    };
    Ok(Entry { key: name, line: key.line, value: node(source, value)? })
}

/// The characters of a scalar that was taken for a number or a boolean.
fn as_written(source: &str, place: &Location) -> Option<String> {
    let from = usize::try_from(place.span().byte_offset()?).ok()?;
    let len = usize::try_from(place.span().byte_len()?).ok()?;
    source.get(from..from.checked_add(len)?).map(|text| text.trim().to_owned())
}

fn unreadable(line: u64) -> NoTree {
    NoTree { line, message: "this value cannot be read; put it in quotes".to_owned() }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a setting")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Guessed)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Guessed)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Guessed)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Guessed)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Raw, E> {
        Err(E::custom("a setting is a text, not bytes"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Raw::Map(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree in one line: texts in quotes, each node after its line.
    fn shown(node: &Node) -> String {
        let value = match &node.value {
            Value::Null => "null".to_owned(),
            Value::Text(text) => format!("{text:?}"),
            Value::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
            Value::Map(entries) => {
                let entry = |e: &Entry| format!("{}@{}: {}", e.key, e.line, shown(&e.value));
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
        };
        format!("{}:{value}", node.line)
    }

    fn tree(text: &str) -> String {
        parse(text).map_or_else(|error| format!("{}: {}", error.line, error.message), |node| shown(&node))
    }

    #[test]
    fn scalars_keep_their_spelling() {
        for plain in ["on", "Off", "true", "0123", "1_000", "12e45", "-1.50", "0x1F", ".inf", "5m0s", "1e999", "ä 7"] {
            assert_eq!(tree(&format!("a: {plain}  # why\n")), format!("1:{{a@1: 1:{plain:?}}}"));
            assert_eq!(tree(&format!("- [ü, {plain} ]")), format!("1:[1:[1:\"ü\", 1:{plain:?}]]"));
            assert_eq!(tree(&format!("{plain}: \"{plain}\"")), format!("1:{{{plain}@1: 1:{plain:?}}}"));
        }
        for null in ["", "~", "null"] {
            assert_eq!(tree(&format!("a: {null}\n")), "1:{a@1: 1:null}");
        }
        assert_eq!(tree("a: 'null'"), "1:{a@1: 1:\"null\"}");
    }

    #[test]
    fn lines_are_those_of_the_file_and_of_an_alias_where_it_is_used() {
        let text = "a: &x 17\n\nb:\n- *x\n-\n  c: on\n";
        assert_eq!(tree(text), "1:{a@1: 1:\"17\", b@3: 4:[4:\"17\", 6:{c@6: 6:\"on\"}]}");
    }

    #[test]
    fn empty_documents_do_not_count_and_a_second_one_is_refused() {
        let settings = "1:{a@1: 1:\"017\"}";
        for end in ["---\n", "---\n# the end\n", "...\n", "...\n---\n", "---\n---\n", "--- ~\n"] {
            assert_eq!(tree(&format!("a: 017\n{end}")), settings, "{end}");
        }
        for (text, line) in [("---\na: 017\n", 2), ("%YAML 1.2\n---\na: 017\n---\n", 3), ("---\n---\na: 017\n", 3)] {
            assert_eq!(tree(text), format!("{line}:{{a@{line}: {line}:\"017\"}}"), "{text}");
        }
        for none in ["", "# nothing\n", "---\n", "---\n---\n"] {
            assert_eq!(tree(none), "1:null", "{none:?}");
        }
        let told = tree("a: 1\n---\n\nb: hunter2\n");
        assert!(told.starts_with("4: a second YAML document begins here") && !told.contains("hunter2"), "{told}");
        assert!(tree("a: 1\n---\nb: 1\n...\n---\nc: 1\n").starts_with("3: a second"));
    }

    #[test]
    fn doubles_are_kept() {
        assert_eq!(tree("a: 1\na: 2\n"), "1:{a@1: 1:\"1\", a@2: 2:\"2\"}");
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_line_and_without_the_text() {
        let told = tree("a: 1\npassword: \"hunter2\n");
        assert!(told.contains("not valid YAML") && !told.contains("hunter2"), "{told}");
        assert!(tree("a: 1\n  b: 2\n").starts_with("2: "), "{}", tree("a: 1\n  b: 2\n"));
        assert!(tree("[a]: 1").starts_with("1: the name of a setting"));
    }
}
