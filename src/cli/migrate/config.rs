//! Copies the policies and identities of a KES configuration file, and reports what else the file has.

use std::path::Path;

use crate::cli::policy::{ApplyOptions, apply, load};
use crate::cli::{Error, Output};
use crate::client::ApiClient;
use crate::config::{self, KEYSTORES};

/// Applies the file's policies, and reports what it skips: the other sections, and the file's admin.
pub async fn run(client: &ApiClient, file: &Path, dry_run: bool, yes: bool, output: Output) -> Result<(), Error> {
    // The file may be a pipe, which can be read only once.
    let text = config::read_text(file).map_err(Error::Config)?;
    let policies = load(file, &text, output)?;
    for (line, section) in skipped(&text) {
        let why = reason(section, &kinds(&text, line));
        output.skipped(&format!("{section}: line {line}: {why}"));
    }
    apply(client, &policies, ApplyOptions { dry_run, prune: false, yes }, output).await
}

/// The sections that are not copied, each with its line. The file was parsed as YAML with a `policy` section, so
/// every name at the beginning of a line is a section.
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

/// The kinds of keystore that the section on this line names, one level below it.
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

/// The kind of keystore that a setting names, if any.
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
            "`keyraft migrate keystore FOLDER` copies its keys; FOLDER is what its `path` names".to_owned()
        }
        ("keystore" | "keys", ["mem"]) => {
            "the KES server has these keys only in its memory, so Keyraft cannot copy them".to_owned()
        }
        ("keystore" | "keys", [first, rest @ ..]) if !kinds.contains(&"fs") => {
            let names = rest.iter().fold((*first).to_owned(), |names, name| format!("{names} or {name}"));
            format!("its keys are in {names}, which Keyraft cannot read: {COPY}")
        }
        ("keys", []) => {
            "a new cluster creates them from `keys:` in its nodes' configuration; in a running one, use `keyraft key create`"
                .to_owned()
        }
        ("keystore" | "keys", _) => {
            format!("`keyraft migrate keystore FOLDER` copies the keys of an fs keystore; if they are elsewhere, {COPY}")
        }
        _ => "it configures a server; set it in the configuration of each node".to_owned(),
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
    fn the_advice_names_where_the_keys_are() {
        for fs in
            ["keystore:\n  fs:\n    path: /k\n", "keystore: {fs: {path: /k}}\n", "keys:\n    \"fs\":\n        path: /k"]
        {
            assert!(why(fs).starts_with("`keyraft migrate keystore FOLDER` copies its keys"), "{fs}");
        }
        for kind in KEYSTORES.into_iter().filter(|kind| !["fs", "mem"].contains(kind)) {
            for text in [
                format!("keystore:\n\n  # of production\n  {kind}:\n    fs: {{path: x}}\npolicy: {{}}\nfs:\n"),
                format!("keystore: {{ {kind}: {{endpoint: x}}}}\n"),
                format!("keys:\n  {kind}:\n    endpoint: x\n"),
            ] {
                let why = why(&text);
                assert!(why.contains(&format!("are in {kind}, which Keyraft cannot read")), "{text}: {why}");
                assert!(why.contains("kes migrate --from OLD.yml --to FS.yml"), "{text}: {why}");
            }
        }
        assert!(why("keystore:\n  mem: {}\n").contains("only in its memory"));
        assert!(why("keystore:\n  vault: {}\n  aws: {}\n").contains("are in vault or aws"));
        for unclear in ["keystore:\n", "keystore: {}\n", "keystore:\n  fs: {}\n  aws: {}\n", "keystore:\n  new: {}\n"] {
            let why = why(unclear);
            assert!(why.contains("if they are elsewhere") && why.contains("kes migrate"), "{unclear}: {why}");
        }
        assert!(why("keys:\n- name: fs\n").contains("keyraft key create"));
    }

    #[test]
    fn every_other_section_is_reported_with_its_line() {
        let text = "version: v1\nadmin:\n  identity: x\n# keys: none\n\"keys\":\n- name: a\nkeystore : {fs: {path: /k}}\n\
                    policy:\n  tls:\n    allow: [/v1/a]\n";
        assert_eq!(skipped(text), [(5, "keys"), (7, "keystore")]);
    }
}
