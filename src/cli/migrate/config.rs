//! The policies and identities of a KES configuration file, and what else the file has.

use std::path::Path;

use crate::cli::policy::{Wish, apply, load};
use crate::cli::{Error, Output};
use crate::client::Client;

/// Applies the file's policies, and tells what of it is skipped: sections that are no policies, and its admin.
pub async fn run(client: &Client, file: &Path, dry_run: bool, yes: bool, output: Output) -> Result<(), Error> {
    let policies = load(file, output)?;
    let text = std::fs::read_to_string(file).map_err(|source| Error::Unread { path: file.to_owned(), source })?;
    for (line, section) in skipped(&text) {
        let why = reason(section);
        output.skipped(&format!("{section}: line {line}: {why}"));
    }
    apply(client, &policies, Wish { dry_run, prune: false, yes }, output).await
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

fn reason(section: &str) -> &'static str {
    match section {
        "keys" => {
            "they are made when a cluster begins, from `keys:` of its nodes' configuration; or `keyraft key create`"
        }
        "keystore" => "`keyraft migrate keystore` brings the keys that lie there in files",
        _ => "it is about a server, not about policies; a node's own configuration says it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_section_is_told_with_its_line() {
        let text = "version: v1\nadmin:\n  identity: x\n# keys: none\n\"keys\":\n- name: a\nkeystore : {fs: {path: /k}}\n\
                    policy:\n  tls:\n    allow: [/v1/a]\n";
        assert_eq!(skipped(text), [(5, "keys"), (7, "keystore")]);
    }
}
