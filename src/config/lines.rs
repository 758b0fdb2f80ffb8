//! The lines of a file's settings, for checks that find a problem with the file or address that a setting names.

use std::collections::BTreeMap;

use super::tree::{self, YamlNode, YamlValue};

/// The line of each setting, by its name in messages: `cluster.tls.cert`, `cluster.peers[0].peer`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines(BTreeMap<String, u64>);

impl Lines {
    /// The lines of a text. Empty if the text is not valid YAML.
    pub fn of(text: &str) -> Self {
        let mut lines = BTreeMap::new();
        if let Ok(top) = tree::parse(text) {
            collect(&top, "", &mut lines);
        }
        Self(lines)
    }

    /// The line of a setting. If the file does not have it, the line of its section, or 0 if that is missing too.
    pub fn line(&self, setting: &str) -> u64 {
        if let Some(line) = self.0.get(setting) {
            return *line;
        }
        setting.rfind(['.', '[']).map_or(0, |end| self.line(&setting[..end]))
    }
}

fn collect(node: &YamlNode, path: &str, lines: &mut BTreeMap<String, u64>) {
    match &node.value {
        YamlValue::Map(entries) => {
            for entry in entries {
                let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                lines.entry(path.clone()).or_insert(entry.line);
                collect(&entry.value, &path, lines);
            }
        }
        YamlValue::List(items) => {
            for (number, item) in items.iter().enumerate() {
                let path = format!("{path}[{number}]");
                lines.entry(path.clone()).or_insert(item.line);
                collect(item, &path, lines);
            }
        }
        YamlValue::Null | YamlValue::Text(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_setting_has_the_line_of_its_section() {
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
