//! The policies and identities of a KES configuration file, and what else the file has.

use std::path::Path;

use crate::cli::policy::{ApplyOptions, apply, load};
use crate::cli::{Error, Output};
use crate::client::ApiClient;
use crate::config::{self, KEYSTORES};

/// Applies the file's policies, and tells what of it is skipped: sections that are no policies, and its admin.
pub async fn run(client: &ApiClient, file: &Path, dry_run: bool, yes: bool, output: Output) -> Result<(), Error> {
    // The file may be a pipe, which can be read once.
    let text = config::contents(file).map_err(Error::Config)?;
    let policies = load(file, &text, output)?;
    for (line, section) in skipped(&text) {
        let why = reason(section, &kinds(&text, line));
        output.skipped(&format!("{section}: line {line}: {why}"));
    }
    apply(client, &policies, ApplyOptions { dry_run, prune: false, yes }, output).await
}

/// The sections that are not brought over, each with its line. The file is known to be YAML with a `policy` section;
/// its sections begin where a line does, and nothing else can there.
fn skipped(text: &str) -> Vec<(usize, &str)> {
    const TAKEN: [&str; 3] = ["version", "policy", "admin"];
    let sections = text.lines().enumerate().filter_map(|(index, line)| {
        let (name, _) = line.split_once(':')?;
        let name = name.trim_end().trim_matches(['"', '\'']);
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        (is_name && !TAKEN.contains(&name)).then_some((index + 1, name))
    });
    sections.collect()
}

/// The kinds of keystore that the section on this line names, at the level below it.
fn kinds(text: &str, line: usize) -> Vec<&str> {
    let mut lines = text.lines().skip(line - 1);
    let inline = lines.next().and_then(|line| line.split_once(':')).map_or("", |(_, rest)| rest.trim());
    if let Some(flow) = inline.strip_prefix('{') {
        return kind(flow).into_iter().collect();
    }
    let body = lines.take_while(|line| line.is_empty() || line.starts_with([' ', '\t', '#']));
    let settings: Vec<_> = body.filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#')).collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let level = settings.first().map_or(0, |first| indent(first));
    settings.into_iter().filter(|line| indent(line) == level).filter_map(kind).collect()
}

/// The kind of keystore that a setting is about.
fn kind(setting: &str) -> Option<&str> {
    let (name, _) = setting.split_once(':')?;
    let name = name.trim().trim_matches(['"', '\'']);
    KEYSTORES.contains(&name).then_some(name)
}

fn reason(section: &str, kinds: &[&str]) -> String {
    const COPY: &str = "copy them into a folder with `kes migrate --from OLD.yml --to FS.yml`, where FS.yml has \
                        `keystore: {fs: {path: FOLDER}}`, and then run `keyraft migrate keystore FOLDER`";
    match (section, kinds) {
        ("keystore" | "keys", ["fs"]) => {
            "`keyraft migrate keystore FOLDER` brings its keys, which lie in the folder that `path` names".to_owned()
        }
        ("keystore" | "keys", ["mem"]) => {
            "the KES server holds these keys in its memory only, so they cannot be brought over".to_owned()
        }
        ("keystore" | "keys", [first, rest @ ..]) if !kinds.contains(&"fs") => {
            let names = rest.iter().fold((*first).to_owned(), |names, name| format!("{names} or {name}"));
            format!("its keys lie in {names}, which Keyraft cannot read: {COPY}")
        }
        ("keys", []) => {
            "they are made when a cluster begins, from `keys:` of its nodes' configuration; or `keyraft key create`"
                .to_owned()
        }
        ("keystore" | "keys", _) => {
            format!("`keyraft migrate keystore FOLDER` brings keys of an fs keystore; if they lie elsewhere, {COPY}")
        }
        _ => "it is about a server, not about policies; a node's own configuration says it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        let (line, section) = skipped(text)[0];
        reason(section, &kinds(text, line))
    }

    #[test]
    fn a_keystore_is_brought_over_from_where_its_keys_lie() {
        for fs in
            ["keystore:\n  fs:\n    path: /k\n", "keystore: {fs: {path: /k}}\n", "keys:\n    \"fs\":\n        path: /k"]
        {
            assert!(why(fs).starts_with("`keyraft migrate keystore FOLDER` brings its keys"), "{fs}");
        }
        for kind in KEYSTORES.into_iter().filter(|kind| !["fs", "mem"].contains(kind)) {
            for text in [
                format!("keystore:\n\n  # of production\n  {kind}:\n    fs: {{path: x}}\npolicy: {{}}\nfs:\n"),
                format!("keystore: {{ {kind}: {{endpoint: x}}}}\n"),
                format!("keys:\n  {kind}:\n    endpoint: x\n"),
            ] {
                let why = why(&text);
                assert!(why.contains(&format!("lie in {kind}, which Keyraft cannot read")), "{text}: {why}");
                assert!(why.contains("kes migrate --from OLD.yml --to FS.yml"), "{text}: {why}");
            }
        }
        assert!(why("keystore:\n  mem: {}\n").contains("memory only"));
        assert!(why("keystore:\n  vault: {}\n  aws: {}\n").contains("lie in vault or aws"));
        for unclear in ["keystore:\n", "keystore: {}\n", "keystore:\n  fs: {}\n  aws: {}\n", "keystore:\n  new: {}\n"] {
            let why = why(unclear);
            assert!(why.contains("if they lie elsewhere") && why.contains("kes migrate"), "{unclear}: {why}");
        }
        assert!(why("keys:\n- name: fs\n").contains("keyraft key create"));
    }

    #[test]
    fn every_other_section_is_told_with_its_line() {
        let text = "version: v1\nadmin:\n  identity: x\n# keys: none\n\"keys\":\n- name: a\nkeystore : {fs: {path: /k}}\n\
                    policy:\n  tls:\n    allow: [/v1/a]\n";
        assert_eq!(skipped(text), [(5, "keys"), (7, "keystore")]);
    }
}
