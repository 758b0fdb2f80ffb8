//! The text of a source file as the rules of the map see it: without comments, strings and test modules.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A file of `src/`.
pub struct Source {
    pub path: PathBuf,
    /// The module of the map that it belongs to.
    pub module: String,
    /// How many modules it is below the crate's root.
    depth: usize,
    /// The text without its test modules.
    pub text: String,
    /// The same without comments and strings. Every byte is at the same place as in `text`.
    pub code: String,
}

/// Every file of `src/` except those that are only for tests.
pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = files_below(vec![root.clone()], &["rs"]);
    let source = |path: PathBuf| {
        let relative = path.strip_prefix(&root).expect("it lies in src").to_owned();
        let text = fs::read_to_string(&path).expect("src is readable");
        (!is_test_module(&root, &relative)).then(|| Source::new(relative, &text))
    };
    files.into_iter().filter_map(source).collect()
}

/// Every file below these folders whose name has one of these extensions, sorted.
pub fn files_below(mut folders: Vec<PathBuf>, extensions: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder is readable") {
            let path = entry.expect("the folder is readable").path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if path.is_dir() {
                folders.push(path);
            } else if extension.is_some_and(|extension| extensions.contains(&extension)) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Whether it, or a module that it lies in, is declared under `#[cfg(test)]`.
fn is_test_module(root: &Path, relative: &Path) -> bool {
    relative.ancestors().filter(|path| path.file_stem().is_some()).any(|module| {
        let name = module.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let folder = root.join(module.parent().unwrap_or(Path::new("")));
        let parents = [folder.join("mod.rs"), folder.with_extension("rs"), folder.join("lib.rs")];
        parents.iter().filter_map(|parent| fs::read_to_string(parent).ok()).any(|text| declares_test(&text, name))
    })
}

fn declares_test(parent: &str, name: &str) -> bool {
    let code = blank(parent);
    let declaration = code.split_inclusive([';', '}']).find(|item| item.ends_with(&format!("mod {name};")));
    declaration.is_some_and(|item| item.contains("#[cfg(test)]"))
}

impl Source {
    pub fn new(path: PathBuf, text: &str) -> Self {
        let parts: Vec<_> = path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let depth = parts.iter().filter(|part| *part != "mod").count();
        let (mut text, mut code) = (text.to_owned(), blank(text));
        while let Some(test) = test_module(&code) {
            for text in [&mut text, &mut code] {
                let lines = "\n".repeat(text[test.clone()].matches('\n').count());
                text.replace_range(test.clone(), &lines);
            }
        }
        Self { path, module: parts[0].clone(), depth, text, code }
    }

    /// Modules that a `crate::…` path leads to, also from a braced list of paths.
    pub fn modules_used(&self) -> Vec<String> {
        let mut used = Vec::new();
        for (at, root) in self.code.match_indices("crate::") {
            let rest = &self.code[at + root.len()..];
            if let Some(list) = rest.strip_prefix('{') {
                used.extend(heads(list));
            } else {
                used.push(word(rest).to_owned());
            }
        }
        used.sort();
        used.dedup();
        used
    }

    pub fn escapes_by_super(&self) -> bool {
        self.module != "main" && self.module != "lib" && self.code.contains(&"super::".repeat(self.depth))
    }

    /// Whether a path begins with the given one, or `use` imports it. A module of this crate with that name does not
    /// count.
    pub fn names(&self, path: &str) -> bool {
        !self.code.contains(&format!("mod {path};"))
            && self.code.match_indices(path).any(|(at, _)| {
                let (before, after) = (&self.code[..at], &self.code[at + path.len()..]);
                let absolute = before.strip_suffix("::").is_some_and(|before| !before.ends_with(is_word));
                let relative = !before.ends_with(|c: char| is_word(c) || c == ':' || c == '.');
                let begins = absolute || relative || path.contains("::");
                let goes_on = after.starts_with("::") || (path.contains("::") && !after.starts_with(is_word));
                begins && (goes_on || before.trim_end_matches([' ', ':']).ends_with("use"))
            })
    }

    /// The functions' names and lengths, from `fn` to the closing brace.
    pub fn functions(&self) -> Vec<(&str, usize)> {
        let keyword = |at: usize| !self.code[..at].ends_with(is_word);
        let starts = self.code.match_indices("fn ").map(|(at, _)| at).filter(|at| keyword(*at));
        let length = |at: usize| {
            let end = block_end(&self.code, at)?;
            Some((word(&self.code[at + 3..]), self.code[at..end].matches('\n').count() + 1))
        };
        starts.filter_map(length).collect()
    }
}

/// The first word of each path in a braced list, up to its closing brace.
fn heads(list: &str) -> Vec<String> {
    let (mut depth, mut heads, mut at_head) = (0_usize, Vec::new(), true);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_head = true,
            c if at_head && is_word(c) => {
                heads.push(word(&list[at..]).to_owned());
                at_head = false;
            }
            _ => {}
        }
    }
    heads
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word(text: &str) -> &str {
    text.split(|c| !is_word(c)).next().unwrap_or_default()
}

/// The range of the first inline test module.
fn test_module(code: &str) -> Option<Range<usize>> {
    code.match_indices("#[cfg(test)]").find_map(|(start, attribute)| {
        let item = code[start + attribute.len()..].trim_start();
        let is_module =
            ["mod ", "pub mod ", "pub(super) mod ", "pub(crate) mod "].iter().any(|form| item.starts_with(form));
        let end = block_end(code, start + attribute.len())?;
        is_module.then_some(start..end)
    })
}

/// The end of the block that opens after `start`. `None` if a `;` outside of brackets comes first.
fn block_end(code: &str, start: usize) -> Option<usize> {
    let (mut braces, mut brackets) = (0_usize, 0_i32);
    for (at, c) in code[start..].char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if braces == 0 && brackets == 0 => return None,
            '{' => braces += 1,
            '}' if braces == 1 => return Some(start + at + 1),
            '}' => braces = braces.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The text with comments, strings and characters blanked out, byte for byte.
pub fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after_word = out.ends_with(is_word);
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw_string(rest).filter(|_| !after_word) {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = rest.find('"').expect("a raw string has a quote") + 1;
            rest[open..].find(&close).map_or(rest.len(), |end| open + end + close.len())
        } else if c == '"' {
            quoted(rest)
        } else {
            character(rest).unwrap_or(0)
        };
        if length == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.extend(rest[..length].bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    out
}

/// The number of `#` of the raw string that `text` begins with.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// The length of the string that `text` begins with.
fn quoted(text: &str) -> usize {
    let mut escaped = true; // the opening quote does not close
    let end = text.bytes().position(|b| {
        let closes = b == b'"' && !escaped;
        escaped = !escaped && b == b'\\';
        closes
    });
    end.map_or(text.len(), |end| end + 1)
}

/// The length of the character literal that `text` begins with. `None` for a lifetime.
fn character(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    if let Some(escape) = inside.strip_prefix('\\') {
        let close = escape.char_indices().skip(1).find(|(_, c)| *c == '\'')?.0;
        return Some(2 + close + 1);
    }
    let c = inside.chars().next()?;
    inside[c.len_utf8()..].starts_with('\'').then_some(c.len_utf8() + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source::new(PathBuf::from(path), text)
    }

    #[test]
    fn paths_are_found_everywhere() {
        let text = "use crate::{policy::{Identity, Permit}, store::View as Store};\nfn f() { crate::clock::unix_ns() }";
        assert_eq!(source("kms/mod.rs", text).modules_used(), ["clock", "policy", "store"]);
        let hidden = "// crate::a\n/* crate::b */ const C: &str = \"crate::c\"; const D: &str = r#\"\" crate::d\"#;\n\
                      const E: char = '\"'; #[cfg(test)]\nmod tests { use crate::f; }";
        assert_eq!(source("kms/mod.rs", hidden).modules_used(), [""; 0]);
        assert!(source("kms/a.rs", "use super::super::http::Error;").escapes_by_super());
        assert!(!source("kms/a.rs", "use super::Error;").escapes_by_super());
    }

    #[test]
    fn a_crate_is_named_by_its_paths_and_imports() {
        for text in ["use sled::Tree;", "use sled;", "use {sled::Tree};", "fn f(t: &sled::Tree) {}", "use ::sled as s;"]
        {
            assert!(source("http/mod.rs", text).names("sled"), "{text}");
        }
        for text in ["crypto::sled::f();", "x.sled();", "sledge::f();", "mod sled;\nuse sled::f;", "// sled::Tree"] {
            assert!(!source("http/mod.rs", text).names("sled"), "{text}");
        }
        let now = source("http/mod.rs", "fn f() { std::time::SystemTime::now(); }");
        assert!(now.names("SystemTime::now"));
    }

    #[test]
    fn functions_are_measured_to_their_closing_brace() {
        let text = "trait T { fn a(&self); }\nfn b<'a>(c: [u8; 2]) -> &'a str {\n  if x { '}' } else { \"}\" }\n}\n";
        assert_eq!(source("kms/mod.rs", text).functions(), [("b", 3)]);
    }

    #[test]
    fn a_module_for_tests_is_known_by_its_declaration() {
        assert!(declares_test("mod a;\n#[cfg(test)]\n#[path = \"x\"]\npub(crate) mod b;\n", "b"));
        assert!(!declares_test("#[cfg(test)]\nmod a;\nmod b;\n", "b"));
    }
}
