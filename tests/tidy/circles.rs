//! Circles: no file may use another that uses it in turn, directly or by way of further files.
//!
//! An arrow runs from a file to the file that *defines* what it names. The test follows a re-export to its origin, so a
//! `mod.rs` that only passes names on is not part of a circle. A declaration (`mod name;`) does not make an arrow.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// Where an item is, from the root of the crate: `["http", "guard", "check"]`.
type ItemPath = Vec<String>;

/// What a module brings into its scope: a name, and where that leads.
struct Import {
    name: String,
    target: ItemPath,
    /// Whether other modules may name it here too.
    exported: bool,
}

/// A file as a module of the crate.
struct Module {
    path: ItemPath,
    file: String,
    imports: Vec<Import>,
    /// Paths that the file names in the middle of its code.
    named: Vec<ItemPath>,
}

/// The circles among these files, each as the files it runs through.
pub fn circles(sources: &[Source]) -> Vec<String> {
    let crate_map = CrateMap::of(sources);
    let arrows: BTreeMap<&str, BTreeSet<&str>> =
        crate_map.modules.values().map(|module| (&*module.file, crate_map.arrows(module))).collect();
    let reach: BTreeMap<_, _> = arrows.keys().map(|file| (*file, reachable(&arrows, file))).collect();
    let mut groups = BTreeSet::new();
    for (file, reached) in &reach {
        if reached.contains(file) {
            let back = reached.iter().copied().filter(|other| reach[other].contains(file));
            groups.insert(back.collect::<BTreeSet<_>>());
        }
    }
    groups.into_iter().map(|group| describe(&group, &arrows)).collect()
}

fn describe(group: &BTreeSet<&str>, arrows: &BTreeMap<&str, BTreeSet<&str>>) -> String {
    let inside =
        |file: &str| arrows[file].iter().filter(|to| group.contains(*to)).copied().collect::<Vec<_>>().join(", ");
    let lines: Vec<_> = group.iter().map(|file| format!("{file} uses {}", inside(file))).collect();
    format!("{} files use each other around a circle:\n      {}", group.len(), lines.join("\n      "))
}

/// What can be reached from a file in one step or more.
fn reachable<'a>(arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let (mut found, mut next) = (BTreeSet::new(), arrows[from].iter().copied().collect::<Vec<_>>());
    while let Some(file) = next.pop() {
        if found.insert(file) {
            next.extend(arrows[file].iter().copied());
        }
    }
    found
}

/// Every module of the crate, by its path.
struct CrateMap {
    modules: BTreeMap<ItemPath, Module>,
}

impl CrateMap {
    fn of(sources: &[Source]) -> Self {
        let paths: BTreeSet<_> = sources.iter().map(module_path).collect();
        let modules = sources.iter().map(|source| Module::of(source, &paths)).map(|m| (m.path.clone(), m)).collect();
        Self { modules }
    }

    /// The other files that a module uses. What it only passes on is not used.
    fn arrows(&self, module: &Module) -> BTreeSet<&str> {
        let imported = module.imports.iter().filter(|import| !import.exported).map(|import| &import.target);
        let origins = imported.chain(&module.named).filter_map(|path| self.origin(path, 0));
        origins.filter(|file| *file != module.file).collect()
    }

    /// The file that defines what stands at a path, past all re-exports.
    fn origin(&self, path: &[String], depth: usize) -> Option<&str> {
        let length = (0..=path.len()).rev().find(|length| self.modules.contains_key(&path[..*length]))?;
        let (module, rest) = (&self.modules[&path[..length]], &path[length..]);
        let passed_on = rest.first().and_then(|name| module.imports.iter().find(|import| import.name == *name));
        match passed_on {
            // An import that leads to itself would be followed for ever.
            Some(import) if depth < 16 => {
                let further = [&import.target[..], &rest[1..]].concat();
                self.origin(&further, depth + 1)
            }
            _ => Some(&module.file),
        }
    }
}

impl Module {
    fn of(source: &Source, modules: &BTreeSet<ItemPath>) -> Self {
        let path = module_path(source);
        let mut module = Self { path, file: source.path.display().to_string(), imports: Vec::new(), named: Vec::new() };
        let (uses, code) = split_uses(&source.code);
        let written: Vec<_> =
            uses.iter().flat_map(|(exported, tree)| leaves(tree).map(|leaf| (*exported, leaf))).collect();
        for (exported, (segments, name)) in written {
            if let Some(target) = module.absolute(&segments, modules) {
                module.imports.push(Import { name, target, exported });
            }
        }
        module.named = paths_in(&code).iter().filter_map(|segments| module.absolute(segments, modules)).collect();
        module
    }

    /// A path as it is written here, from the root of the crate; `None` when it leads into another crate.
    fn absolute(&self, written: &[String], modules: &BTreeSet<ItemPath>) -> Option<ItemPath> {
        let ups = written.iter().take_while(|segment| *segment == "super").count();
        let (first, rest) = (written.first()?, &written[1..]);
        let child = [&self.path[..], &written[..1]].concat();
        let base = match &**first {
            "crate" | "keyraft" => Vec::new(),
            "self" => self.path.clone(),
            "super" => return Some([self.path.get(..self.path.len().checked_sub(ups)?)?, &written[ups..]].concat()),
            _ if modules.contains(&child) => child,
            _ => self.imports.iter().find(|import| import.name == *first)?.target.clone(),
        };
        Some([&base[..], rest].concat())
    }
}

/// `http/guard.rs` is `["http", "guard"]`, `http/mod.rs` is `["http"]`, `lib.rs` is the root.
fn module_path(source: &Source) -> ItemPath {
    let stem = source.path.with_extension("");
    let parts = stem.iter().map(|part| part.to_string_lossy().into_owned());
    parts.filter(|part| part != "mod" && part != "lib").collect()
}

/// The trees of all `use` declarations, with whether they pass on what they import, and the code without them.
fn split_uses(code: &str) -> (Vec<(bool, String)>, String) {
    let (mut uses, mut rest) = (Vec::new(), String::new());
    for item in code.split_inclusive(';') {
        let Some(at) = item.match_indices("use ").map(|(at, _)| at).find(|at| begins_declaration(&item[..*at])) else {
            rest.push_str(item);
            continue;
        };
        let line = item[..at].rfind('\n').map_or(0, |end| end + 1);
        rest.push_str(&item[..line]);
        uses.push((item[line..at].contains("pub"), item[at + 4..].trim_end_matches(';').to_owned()));
    }
    (uses, rest)
}

/// Whether `use` would begin a declaration after this: on a new line, perhaps after a visibility.
fn begins_declaration(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default().trim();
    line.is_empty() || (line.starts_with("pub") && !line.contains(' ')) || line.ends_with('{')
}

/// The leaves of a `use` tree: the segments of each path, and the name it has here. A glob has the name `*`.
fn leaves(tree: &str) -> impl Iterator<Item = (Vec<String>, String)> + use<> {
    let mut found = Vec::new();
    collect_leaves(tree.trim(), &mut Vec::new(), &mut found);
    found.into_iter()
}

fn collect_leaves(tree: &str, before: &mut Vec<String>, found: &mut Vec<(Vec<String>, String)>) {
    let depth = before.len();
    if let Some((head, list)) = tree.split_once('{') {
        before.extend(segments(head));
        for branch in branches(list) {
            collect_leaves(branch.trim(), before, found);
        }
    } else if !tree.is_empty() {
        let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias.trim())));
        before.extend(segments(path));
        if before.last().is_some_and(|last| last == "self") && before.len() > 1 {
            before.pop();
        }
        let name = alias.or(before.last().map(String::as_str)).unwrap_or_default().to_owned();
        let path = before.iter().filter(|segment| *segment != "*").cloned().collect();
        found.push((path, name));
    }
    before.truncate(depth);
}

/// The branches of a braced list, up to its closing brace.
fn branches(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0_usize, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(&list[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

fn segments(path: &str) -> Vec<String> {
    path.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// Every path of two segments or more in the code, without generics.
fn paths_in(code: &str) -> Vec<Vec<String>> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = code.split(|c| !is_path(c)).filter(|word| word.contains("::") && !word.starts_with(':'));
    words.map(segments).filter(|path| path.len() > 1).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = files.iter().map(|(path, text)| Source::new(PathBuf::from(path), text)).collect();
        circles(&sources)
    }

    #[test]
    fn two_files_that_use_each_other_are_a_circle() {
        for (a, b) in [
            ("use super::b::B;\npub struct A;", "use super::a::A;\npub struct B;"),
            ("use crate::m::b::{self, C};\npub struct A;", "pub struct B(super::a::A);"),
            ("fn f() { crate::m::b::g() }", "use super::{a::A as C, x::{y, z}};\nfn g() {}"),
            ("use super::b;\nfn f() { b::g() }", "use super::A;\nfn g() {}"),
        ] {
            let files = [("m/mod.rs", "mod a;\nmod b;\npub use a::A;"), ("m/a.rs", a), ("m/b.rs", b)];
            let found = found(&files);
            assert_eq!(found.len(), 1, "{a} {b}: {found:?}");
            assert!(found[0].contains("m/a.rs uses m/b.rs") && found[0].contains("m/b.rs uses m/a.rs"));
        }
    }

    #[test]
    fn a_face_and_what_is_behind_it_are_no_circle() {
        let files = [
            ("lib.rs", "pub mod m;\npub mod n;"),
            ("m/mod.rs", "mod a;\nmod b;\npub use a::A;\npub use b::B;"),
            ("m/a.rs", "use super::B;\nuse std::fmt;\npub struct A(B);\n#[cfg(test)]\nmod tests { use crate::n::N; }"),
            ("m/b.rs", "/// [`super::a::A`]\npub struct B;"),
            ("n.rs", "use crate::m::{A, B};\npub struct N(A, B);"),
        ];
        assert_eq!(found(&files), [""; 0]);
    }

    #[test]
    fn a_circle_is_found_around_three_modules_and_through_faces() {
        let files = [
            ("m/mod.rs", "mod a;\npub use a::A;"),
            ("m/a.rs", "use crate::n::B;\npub struct A;"),
            ("n/mod.rs", "mod b;\npub use self::b::B;"),
            ("n/b.rs", "use crate::o;\npub struct B;"),
            ("o.rs", "pub fn f() { crate::m::A::new() }"),
        ];
        let found = found(&files);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("3 files"), "{found:?}");
    }
}
