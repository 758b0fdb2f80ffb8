//! Where the settings of a file stand, for whoever finds fault with what they name.

use std::collections::BTreeMap;

use super::tree::{self, Node, Value};

/// The line of each setting, by its name as messages give it: `cluster.tls.cert`, `cluster.peers[0].peer`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines(BTreeMap<String, u64>);

impl Lines {
    /// The lines of a text; none of a text that is no YAML.
    pub fn of(text: &str) -> Self {
        let mut lines = BTreeMap::new();
        if let Ok(top) = tree::parse(text) {
            note(&top, "", &mut lines);
        }
        Self(lines)
    }

    /// The line of a setting; of a setting that is not given, that of its section; 0 when that is not given either.
    pub fn line(&self, setting: &str) -> u64 {
        if let Some(line) = self.0.get(setting) {
            return *line;
        }
        setting.rfind(['.', '[']).map_or(0, |end| self.line(&setting[..end]))
    }
}

fn note(node: &Node, path: &str, lines: &mut BTreeMap<String, u64>) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                lines.entry(path.clone()).or_insert(entry.line);
                note(&entry.value, &path, lines);
            }
        }
        Value::List(items) => {
            for (number, item) in items.iter().enumerate() {
                let path = format!("{path}[{number}]");
                lines.entry(path.clone()).or_insert(item.line);
                note(item, &path, lines);
            }
        }
        Value::Null | Value::Text(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_its_line_and_one_that_is_not_given_that_of_its_section() {
        let lines =
            Lines::of("version: v1\ncluster:\n  tls:\n    cert: a\n  peers:\n  - name: x\n    peer: y:1\n  - {}\n");
        let table = [
            ("version", 1),
            ("cluster.tls.cert", 4),
            ("cluster.tls.ca", 3),
            ("cluster.listen", 2),
            ("cluster.peers[0].peer", 7),
            ("cluster.peers[0].api", 6),
            ("cluster.peers[1].api", 8),
            ("seal.file", 0),
        ];
        for (setting, line) in table {
            assert_eq!(lines.line(setting), line, "{setting}");
        }
        assert_eq!(Lines::of("a: [").line("a"), 0);
    }
}
