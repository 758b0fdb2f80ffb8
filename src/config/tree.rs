//! YAML as a tree of texts, lists and maps, each with its line. The reader of a setting decides what its text means.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Spanned};

/// A value and its line. It does not implement `Debug`, because it may hold a password.
pub(super) struct YamlNode {
    /// The line, counted from 1. An alias has the line where it is used.
    pub line: u64,
    /// The value.
    pub value: YamlValue,
}

/// A value. Numbers and switches stay texts: an identity that has only digits must not become a number.
pub(super) enum YamlValue {
    /// No value, `null` or `~`.
    Null,
    /// A scalar as the file has it, without its quotes.
    Text(String),
    /// A list.
    List(Vec<YamlNode>),
    /// A map, in the order of the file. It keeps duplicate keys.
    Map(Vec<YamlEntry>),
}

/// One entry of a map.
pub(super) struct YamlEntry {
    /// The key.
    pub key: String,
    /// The line of the key.
    pub line: u64,
    /// The value.
    pub value: YamlNode,
}

/// Why a text cannot be a configuration: it is not valid YAML, or not a single document of settings.
pub(super) struct YamlError {
    /// The line, counted from 1; 0 if it is unknown.
    pub line: u64,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Reads the single YAML document of a file. Ignores empty documents before and after it.
pub(super) fn parse(text: &str) -> Result<YamlNode, YamlError> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        // A snippet of the file in an error message could contain a password.
        with_snippet: false,
    };
    let documents: Vec<Spanned<Raw>> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| YamlError {
            line: error.location().map_or(0, |location| location.line()),
            message: format!("this is not valid YAML: {}", error.without_snippet()),
        })?;
    let mut documents = documents.into_iter();
    let Some(first) = documents.next() else { return Ok(YamlNode { line: 1, value: YamlValue::Null }) };
    if let Some(second) = documents.next() {
        let message = "a second YAML document begins here, and a configuration is one document: \
                       move these settings above the `---`, or remove them";
        return Err(YamlError { line: second.referenced.line(), message: message.to_owned() });
    }
    node(text, first)
}

/// A node as the YAML crate returns it. Its numbers and booleans have lost their spelling.
enum Raw {
    Null,
    /// A scalar that the crate took for a number or a boolean. Its spelling is read from the source again.
    NumberOrBool,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

fn node(source: &str, raw: Spanned<Raw>) -> Result<YamlNode, YamlError> {
    let line = raw.referenced.line();
    let value = match raw.value {
        Raw::Null => YamlValue::Null,
        Raw::Text(text) => YamlValue::Text(text),
        Raw::NumberOrBool => YamlValue::Text(source_text(source, &raw.defined).ok_or_else(|| unreadable(line))?),
        Raw::List(items) => {
            YamlValue::List(items.into_iter().map(|item| node(source, item)).collect::<Result<_, _>>()?)
        }
        Raw::Map(pairs) => YamlValue::Map(pairs.into_iter().map(|pair| entry(source, pair)).collect::<Result<_, _>>()?),
    };
    Ok(YamlNode { line, value })
}

fn entry(source: &str, (key, value): (Spanned<Raw>, Spanned<Raw>)) -> Result<YamlEntry, YamlError> {
    let key = node(source, key)?;
    let YamlValue::Text(name) = key.value else {
        return Err(YamlError {
            line: key.line,
            message: "the name of a setting must be text, not a list or a map".to_owned(),
        });
    };
    Ok(YamlEntry { key: name, line: key.line, value: node(source, value)? })
}

/// The characters of a scalar, as the file has them.
fn source_text(source: &str, place: &Location) -> Option<String> {
    let from = usize::try_from(place.span().byte_offset()?).ok()?;
    let len = usize::try_from(place.span().byte_len()?).ok()?;
    source.get(from..from.checked_add(len)?).map(|text| text.trim().to_owned())
}

fn unreadable(line: u64) -> YamlError {
    YamlError { line, message: "this value cannot be read; put it in quotes".to_owned() }
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
        Ok(Raw::NumberOrBool)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::NumberOrBool)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::NumberOrBool)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::NumberOrBool)
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

    /// The tree on one line: texts in quotes, and before each node its line.
    fn shown(node: &YamlNode) -> String {
        let value = match &node.value {
            YamlValue::Null => "null".to_owned(),
            YamlValue::Text(text) => format!("{text:?}"),
            YamlValue::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
            YamlValue::Map(entries) => {
                let entry = |e: &YamlEntry| format!("{}@{}: {}", e.key, e.line, shown(&e.value));
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
    fn an_alias_has_the_line_where_it_is_used() {
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
        let error = tree("a: 1\n---\n\nb: hunter2\n");
        assert!(error.starts_with("4: a second YAML document begins here") && !error.contains("hunter2"), "{error}");
        assert!(tree("a: 1\n---\nb: 1\n...\n---\nc: 1\n").starts_with("3: a second"));
    }

    #[test]
    fn duplicate_keys_are_kept() {
        assert_eq!(tree("a: 1\na: 2\n"), "1:{a@1: 1:\"1\", a@2: 2:\"2\"}");
    }

    #[test]
    fn the_error_for_invalid_yaml_has_the_line_but_not_the_text() {
        let error = tree("a: 1\npassword: \"hunter2\n");
        assert!(error.contains("not valid YAML") && !error.contains("hunter2"), "{error}");
        assert!(tree("a: 1\n  b: 2\n").starts_with("2: "), "{}", tree("a: 1\n  b: 2\n"));
        assert!(tree("[a]: 1").starts_with("1: the name of a setting"));
    }
}
