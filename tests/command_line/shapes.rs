//! The JSON of every command has the fields that docs/command-line.md lists.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use rustix::process::Signal;
use serde_json::Value;

use crate::shell::Shell;
use crate::support::processes::Processes;
use crate::support::status;

const DOCUMENTATION: &str = include_str!("../../docs/command-line.md");
/// Commands that do not print JSON.
const NO_JSON: [&str; 2] = ["server", "completion"];

/// A documented field.
#[derive(Debug, Clone)]
struct Field {
    path: String,
    types: Vec<String>,
    optional: bool,
}

/// The fields of each command, or of each object on standard error.
fn documented() -> BTreeMap<String, Vec<Field>> {
    let (mut shapes, mut current) = (BTreeMap::<String, Vec<Field>>::new(), Vec::new());
    let section = DOCUMENTATION.split("\n## JSON\n").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    for line in section.lines().filter(|line| line.starts_with("| `") || line.starts_with("| | `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [names, path, types, _] = cells.as_slice() else { continue };
        if !names.is_empty() {
            current = names.split(", ").map(|name| name.trim_matches('`').to_owned()).collect();
        }
        let (types, optional) = types.strip_suffix(", optional").map_or((*types, false), |types| (types, true));
        let types = types.split(" or ").map(str::to_owned).collect();
        let field = Field { path: path.trim_matches('`').to_owned(), types, optional };
        current.iter().for_each(|name| shapes.entry(name.clone()).or_default().push(field.clone()));
    }
    shapes
}

/// Every difference between a value and its documented fields.
fn differences(value: &Value, fields: &[Field]) -> Vec<String> {
    let mut found = Vec::new();
    undocumented(value, "", fields, &mut found);
    let missing = fields.iter().filter(|field| !field.optional && !is_there(value, &field.path));
    found.extend(missing.map(|field| format!("{} is documented and missing", field.path)));
    found
}

fn undocumented(value: &Value, path: &str, fields: &[Field], found: &mut Vec<String>) {
    if let Some(field) = fields.iter().find(|field| field.path == path) {
        if !field.types.iter().any(|wanted| is_of(value, wanted)) {
            found.push(format!("{path} should be {}: {value}", field.types.join(" or ")));
        }
        return;
    }
    match value {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            undocumented(value, &path, fields, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| undocumented(item, &format!("{path}[]"), fields, found)),
        _ => found.push(format!("{path} is not documented: {value}")),
    }
}

fn is_of(value: &Value, wanted: &str) -> bool {
    match wanted {
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("unknown type in the documentation: {other}"),
    }
}

/// Whether the value has the field in every object that could have it.
fn is_there(value: &Value, path: &str) -> bool {
    if let Some(rest) = path.strip_prefix("[]") {
        let rest = rest.strip_prefix('.').unwrap_or(rest);
        return value.as_array().is_some_and(|items| items.iter().all(|item| rest.is_empty() || is_there(item, rest)));
    }
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (key, rest) = path.split_at(end);
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    match value.get(key) {
        Some(below) => rest.is_empty() || is_there(below, rest),
        None => false,
    }
}

/// The name of a command in the documentation, and the values that it printed.
type Printed = Vec<(String, Value)>;

fn values(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn run(shell: &Shell, name: &str, words: &[&str], printed: &mut Printed) -> Value {
    run_with_input(shell, name, words, "", printed)
}

fn run_with_input(shell: &Shell, name: &str, words: &[&str], input: &str, printed: &mut Printed) -> Value {
    let ended = shell.run_with_input(&[words, &["--json"]].concat(), input);
    assert!(ended.code == 0 || ended.code == 6, "keyraft {}: {ended:?}", words.join(" "));
    let all = values(&ended.output);
    assert!(!all.is_empty(), "keyraft {}: {ended:?}", words.join(" "));
    printed.extend(all.iter().map(|value| (name.to_owned(), value.clone())));
    all.last().cloned().unwrap()
}

/// Runs a command line such as `key info | my-key`: the words before the bar are its documented name.
fn run_named(shell: &Shell, line: &str, printed: &mut Printed) -> Value {
    let (name, words) = line.split_once(" | ").expect("a name, and the arguments");
    let words: Vec<_> = name.split(' ').chain(words.split(' ').filter(|word| !word.is_empty())).collect();
    run(shell, name, &words, printed)
}

fn of_keys_and_policies(admin: &Shell, folder: &str, printed: &mut Printed) {
    let material = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    fs::write(format!("{folder}/material"), material).unwrap();
    for line in
        ["key create | a b", "key info | a", "key rotate | a", "key disable | a v1", "key enable | a v1", "key ls | "]
    {
        run_named(admin, line, printed);
    }
    run_with_input(admin, "key import", &["key", "import", "own", "-"], material, printed);
    for line in ["key rm | own", "key restore | own", "key rm | own", "key purge | own"] {
        run_named(admin, line, printed);
    }
    let sealed = run(admin, "key encrypt", &["key", "encrypt", "a", "text"], printed);
    run(admin, "key decrypt", &["key", "decrypt", "a", sealed["ciphertext"].as_str().unwrap()], printed);
    let file = format!("{folder}/policies.yml");
    fs::write(&file, "policy: {app: {allow: [/v1/status], identities: []}, gone: {deny: [/v1/key/list/*]}}\n").unwrap();
    let lines = [
        "key dek | a",
        "key hmac | a text",
        "key versions | a",
        "key rm | b",
        "policy create | p --allow /v1/key/create/* --deny /v1/key/create/x*",
        "policy edit | p --allow /v1/key/list/*",
        "policy create --replace | p --allow /v1/key/create/*",
        "policy show | p",
        "policy info | p",
        "policy ls | ",
    ];
    lines.iter().for_each(|line| drop(run_named(admin, line, printed)));
    for dry in ["--dry-run", "--yes"] {
        run_named(admin, &format!("policy apply | {file} {dry}"), printed);
    }
    run_named(admin, &format!("migrate config | {file} --dry-run"), printed);
    fs::write(format!("{folder}/static"), format!("MINIO_KMS_SECRET_KEY=old:{material}\n")).unwrap();
    for dry in ["--dry-run", ""] {
        run_named(admin, &format!("migrate static | {folder}/static {dry}"), printed);
    }
}

fn of_identities(admin: &Shell, printed: &mut Printed) {
    let made = run_named(admin, "identity new | --policy p", printed);
    let (identity, key) = (made["identity"].as_str().unwrap(), made["api_key"].as_str().unwrap());
    let someone = admin.with("MINIO_KES_API_KEY", key);
    for shell in [admin, &someone] {
        run_named(shell, "identity of | ", printed);
        run_named(shell, "identity info | ", printed);
    }
    for line in ["policy assign | app", "identity info |", "identity rm |"] {
        run_named(admin, &format!("{line} {identity}"), printed);
    }
    run_named(admin, &format!("identity create | {identity} --policy p"), printed);
    run_named(admin, "identity ls | ", printed);
    run_named(admin, &format!("identity rm | {identity}"), printed);
    run_named(admin, "policy rm | p", printed);
}

fn of_nodes(admin: &Shell, folder: &str, config: &str, printed: &mut Printed) {
    let other = format!("{folder}/prepared");
    let pid = std::process::id().to_string();
    let lines = [
        format!("dev | --prepare --dir {other}"),
        format!("check | {config}"),
        format!("check | {other}/node-1/config.yml"),
        "cluster status | ".to_owned(),
        format!("cluster status | --config {config}"),
        "metric | ".to_owned(),
        "metric | --cluster".to_owned(),
        "log audit | --tail 5".to_owned(),
        "log audit | --tail 5 --cluster".to_owned(),
        format!("bench | --op status --clients 2 --warm-up 0s --duration 200ms --rate 50 --pid {pid}"),
        "bench | --clients 2 --warm-up 0s --duration 200ms".to_owned(),
        format!("man | {folder}/man"),
    ];
    lines.iter().for_each(|line| drop(run_named(admin, line, printed)));
}

/// Runs `audit verify` on a file that a node begins on SIGHUP.
async fn of_audit_files(cluster: &Processes, admin: &Shell, config: &Path, printed: &mut Printed) {
    let file = config.with_file_name("audit.log");
    let text = fs::read_to_string(config).unwrap();
    let with_file = format!("  required: off\n  file: {{path: {}}}", file.display());
    fs::write(config, text.replacen("  required: off", &with_file, 1)).unwrap();
    cluster.signal(0, Signal::HUP);
    status::wait_for("the file", &[cluster.data(0)], async || file.exists().then_some(())).await;
    admin.json(&["key", "ls", "--server", &admin.server()]);
    let signed = async || fs::read_to_string(&file).is_ok_and(|text| text.contains("\"checkpoint\"")).then_some(());
    status::wait_for("a checkpoint", &[cluster.data(0)], signed).await;
    run_named(admin, &format!("audit verify | {}", file.display()), printed);
}

/// Errors, warnings and notes of commands that go wrong.
fn of_failures(admin: &Shell, folder: &str) -> Vec<Value> {
    fs::write(format!("{folder}/bad.yml"), "version: v1\nadress: x\n").unwrap();
    let bad = format!("{folder}/bad.yml");
    let lines: [&[&str]; 8] = [
        &["key", "frobnicate"],
        &["key", "create", "a"],
        &["key", "info", "none", "--server", "127.0.0.1:1"],
        &["key", "create", "new", "a", "other"],
        &["server", "--config", &bad],
        &["check", &bad],
        &["policy", "create", "odd", "--allow", "/v1/kye/*"],
        &["key", "rm", "a"],
    ];
    lines.iter().flat_map(|words| values(&admin.run(&[words, &["--json"][..]].concat()).error)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn printed_and_documented_fields_are_the_same() {
    let cluster = Processes::start_with(&[("deletion_window:", "1h"), ("required:", "off")]).await;
    let admin = Shell::of(&cluster);
    let made = tempfile::tempdir().unwrap();
    let folder = made.path().to_str().unwrap();
    let config = Shell::folder(&cluster).join("node-1/config.yml");
    let mut printed = Printed::new();
    of_keys_and_policies(&admin, folder, &mut printed);
    of_identities(&admin, &mut printed);
    of_nodes(&admin, folder, config.to_str().unwrap(), &mut printed);
    of_audit_files(&cluster, &admin, &config, &mut printed).await;
    let mut failures = of_failures(&admin, folder);
    let shapes = documented();
    let mut found = Vec::new();
    for (name, value) in &printed {
        let fields = shapes.get(name).unwrap_or_else(|| panic!("`{name}` is not documented"));
        found.extend(differences(value, fields).into_iter().map(|what| format!("{name}: {what}")));
    }
    assert!(failures.iter().any(|object| object.get("warning").is_some()), "{failures:?}");
    for object in failures.drain(..) {
        let kind = object.as_object().and_then(|object| object.keys().next()).unwrap().clone();
        found.extend(differences(&object, &shapes[&kind]).into_iter().map(|what| format!("{kind}: {what}")));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_command_has_its_fields_documented() {
    let shapes = documented();
    let command = keyraft::cli::Cli::command();
    for group in command.get_subcommands() {
        let name = group.get_name();
        let actions: Vec<_> = group.get_subcommands().map(|action| format!("{name} {}", action.get_name())).collect();
        let all = if actions.is_empty() { vec![name.to_owned()] } else { actions };
        for name in all.iter().filter(|name| !NO_JSON.contains(&name.as_str())) {
            assert!(shapes.get(name).is_some_and(|fields| !fields.is_empty()), "`{name}` is not documented");
        }
    }
}

#[test]
fn a_missing_new_or_mistyped_field_is_found() {
    let field =
        |path: &str, types: &str, optional| Field { path: path.to_owned(), types: vec![types.to_owned()], optional };
    let fields = [field("a[].b", "string", false), field("c", "integer", true), field("d", "object", false)];
    let found = |text: &str| differences(&serde_json::from_str(text).unwrap(), &fields);
    assert!(found(r#"{"a":[{"b":"x"}],"d":{"any":1}}"#).is_empty() && found(r#"{"a":[],"c":1,"d":{}}"#).is_empty());
    assert_eq!(found(r#"{"a":[{}],"d":{}}"#), ["a[].b is documented and missing"]);
    assert_eq!(found(r#"{"a":[],"d":{},"e":1}"#), ["e is not documented: 1"]);
    assert_eq!(found(r#"{"a":[],"c":"1","d":{}}"#), ["c should be integer: \"1\""]);
}
