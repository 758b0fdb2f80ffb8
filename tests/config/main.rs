//! The configuration file: what loads, what is refused and on which line. A written file reads back equal.

mod examples;
mod problems;
mod written;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyraft::config::{
    Borrowed, CacheConfig, ClusterConfig, Config, ConsistencyConfig, LimitsConfig, LogConfig, LogFormat, Override,
    Password, PeerConfig, PeerTlsConfig, PolicyFile, Problems, RouteConfig, SealConfig, TimingConfig, TlsConfig,
    Warning,
};
use keyraft::policy::{Action, Identity, Policy};

const ADMIN: &str = "8bc7c801a0d9d1cc3fef3fb16c0a7d8fbe73e29dce40589677c3bd2850c80328";
const APP: &str = "8087b18da11b0b1f8e9ae60a20930936762f092415fc81ca9f7d9c3625bbd4e9";
const OPS: &str = "b29d8c43b6845839e8de37f571c0603a9ba5f137e73a1e179137f1d2702f1ce0";

/// The sections that a node needs.
const NEEDED: &str = "\
version: v1
admin: {identity: disabled}
tls: {key: api.key, cert: api.crt}
cluster:
  name: node-1
  data: data
seal: {file: root.key}
";

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "ADMIN" | "KEYRAFT_ADMIN" | "KES_ADMIN_IDENTITY" => ADMIN,
        "APP" | "MINIO_IDENTITY" | "MY_APP_IDENTITY" => APP,
        "MONITORING_IDENTITY" => OPS,
        "PORT" => "8443",
        "SECRET" => "hunter2",
        "RULE" => "/v1/key/decrypt/hunter2*",
        "EMPTY" | "KES_TLS_PASSWORD" => "",
        _ => return None,
    };
    Some(value.to_owned())
}

fn parse(text: &str) -> Result<(Config, Vec<Warning>), Problems> {
    Config::parse(Path::new("config.yml"), text, &environment)
}

/// The configuration of a text that must have no problems.
#[track_caller]
fn loaded(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("{problems}\n---\n{text}")).0
}

/// The configuration of the needed sections and these.
#[track_caller]
fn with(more: &str) -> Config {
    loaded(&format!("{NEEDED}{more}"))
}

fn identity(text: &str) -> Identity {
    text.parse().unwrap()
}

#[test]
fn missing_settings_have_their_defaults() {
    let config = loaded(NEEDED);
    let peer = PeerConfig {
        name: "node-1".to_owned(),
        peer_address: "[::]:7473".to_owned(),
        api_address: "[::]:7373".to_owned(),
    };
    let expected = Config {
        address: "[::]:7373".parse().unwrap(),
        admin: None,
        tls: TlsConfig {
            key: "api.key".into(),
            cert: "api.crt".into(),
            password: None,
            verify_clients: false,
            ca: None,
            proxies: vec![],
            proxy_header: None,
        },
        api: BTreeMap::new(),
        policies: BTreeMap::new(),
        keys: vec![],
        deletion_window: Duration::ZERO,
        cache: CacheConfig { any: Duration::from_secs(300), unused: Duration::from_secs(30), capacity: 10_000 },
        log: LogConfig { error: true, audit: false, level: "info".to_owned(), format: LogFormat::Text },
        audit: keyraft::config::AuditConfig::default(),
        cluster: ClusterConfig {
            name: "node-1".to_owned(),
            listen: "[::]:7473".parse().unwrap(),
            tls: None,
            data: "data".into(),
            peers: vec![peer],
            bootstrap_key: None,
            vm_generation: None,
            handshakes: 64,
            connections: 128,
            timing: TimingConfig {
                heartbeat: Duration::from_millis(50),
                election_min: Duration::from_millis(100),
                election_max: Duration::from_millis(160),
            },
            snapshot: keyraft::config::SnapshotConfig::default(),
            storage: keyraft::config::StorageConfig::default(),
        },
        seal: SealConfig::File("root.key".into()),
        consistency: ConsistencyConfig { lease: Duration::from_secs(2), offline: Duration::from_secs(3600) },
        limits: LimitsConfig {
            connections: 10_000,
            reserved_files: 128,
            streams: 256,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            first_request_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(180),
            max_age: Duration::from_secs(3600),
            drain_timeout: Duration::from_secs(10),
            audit_queue: 16_384,
        },
    };
    assert_eq!(config, expected);
}

/// Every setting of KES, in the spellings that people use.
const KES: &str = r#"
version: v1
address: :7373            # all interfaces
admin:
  identity: ${ADMIN}
tls:
  key: ./server.key
  cert: ./server.cert
  password: "${SECRET}!"
  auth: "off"
  ca: ""
  proxy:
    identities:
    - b29d8c43b6845839e8de37f571c0603a9ba5f137e73a1e179137f1d2702f1ce0
    header:
      cert: X-Tls-Client-Cert
api:
  /v1/ready:
    skip_auth: true
    timeout: 15s
  /v1/key/create/:
    timeout: 1m0s
  /v1/log/error:
    timeout: 0s
cache:
  expiry:
    any: 5m0s
    unused: 1h30m
    offline: 0s
log:
  error: on
  audit: "off"
policy:
  my-app:
    allow:
    - /v1/key/create/my-app*
    - /v1/key/generate/my-app*
    deny:
    - /v1/key/generate/my-app-internal*
    identities:
    - ${APP}
  nothing:
keys:
- name: some-key
- name: another-key
"#;

#[test]
fn a_complete_kes_file_loads_unchanged() {
    let own = "cluster:\n  data: d\n  tls: {cert: c, key: k, ca: a}\nseal: {env: ROOT_KEY}\n";
    let (config, warnings) = parse(&format!("{KES}{own}")).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.address, "[::]:7373".parse().unwrap());
    assert_eq!(config.admin, Some(identity(ADMIN)));
    assert_eq!(config.tls.key, PathBuf::from("./server.key"));
    assert_eq!(config.tls.password, Some(Password("hunter2!".to_owned())));
    assert!(!config.tls.verify_clients && config.tls.ca.is_none());
    assert_eq!(config.tls.proxies, [identity(OPS)]);
    assert_eq!(config.tls.proxy_header.as_deref(), Some("X-Tls-Client-Cert"));
    let ready = RouteConfig { skip_auth: true, timeout: Some(Duration::from_secs(15)) };
    let create = RouteConfig { skip_auth: false, timeout: Some(Duration::from_secs(60)) };
    let api = [("/v1/ready", ready), ("/v1/key/create", create), ("/v1/log/error", RouteConfig::default())];
    assert_eq!(config.api, api.map(|(route, settings)| (route.to_owned(), settings)).into());
    assert_eq!(config.cache.unused, Duration::from_secs(5400));
    assert_eq!(config.consistency.offline, Duration::ZERO);
    assert!(config.log.error && !config.log.audit);
    let (policy, identities) = &config.policies["my-app"];
    assert_eq!((policy.allow.len(), policy.deny.len(), identities.as_slice()), (2, 1, &[identity(APP)][..]));
    assert_eq!(config.policies["nothing"], (Policy::default(), vec![]));
    assert_eq!(config.keys, ["some-key", "another-key"]);
    assert_eq!(config.seal, SealConfig::Env("ROOT_KEY".to_owned()));
}

/// The configuration under which the recorded answers of a real KES were given.
const GOLDEN: &str = "\
version: v1
admin:
  identity: 8bc7c801a0d9d1cc3fef3fb16c0a7d8fbe73e29dce40589677c3bd2850c80328
policy:
  app:
    allow:
    - /v1/key/create/my-app*
    - /v1/key/generate/my-app*
    - /v1/key/decrypt/my-app*
    - /v1/key/list/my-app*
    - /v1/status
    deny:
    - /v1/key/generate/my-app-internal*
    - /v1/key/decrypt/my-app-internal*
    identities:
    - 8087b18da11b0b1f8e9ae60a20930936762f092415fc81ca9f7d9c3625bbd4e9
  ops:
    allow:
    - /v1/key/delete/my-app*
    - /v1/key/list/
    - /v1/policy/read/app
    - /v1/identity/describe/*
    - /v1/metrics
    - /v1/log/audit
    identities:
    - b29d8c43b6845839e8de37f571c0603a9ba5f137e73a1e179137f1d2702f1ce0
  empty:
    allow: []
";

#[test]
fn the_golden_configuration_loads_and_can_be_borrowed() {
    let own = NEEDED.lines().skip(2).collect::<Vec<_>>().join("\n");
    let (config, warnings) = parse(&format!("{GOLDEN}{own}\n")).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.policies.len(), 3);
    let allows = |path| config.policies["app"].0.allows(Action::parse(path).unwrap());
    assert!(allows("/v1/key/create/my-app-1"));
    assert!(!allows("/v1/key/generate/my-app-internal-1"));
    let (borrowed, _) = Borrowed::parse(Path::new("kes.yml"), GOLDEN, &environment).unwrap();
    assert_eq!((borrowed.admin, &borrowed.policies), (config.admin, &config.policies));
}

#[test]
fn borrowing_needs_no_section_about_this_machine() {
    let text = KES.replace("./server.key", "${UNSET_KEY}").replace("auth: \"off\"", "auth: on")
        + "keystore: {fs: {path: '${UNSET}'}}\n";
    let (borrowed, warnings) = Borrowed::parse(Path::new("kes.yml"), &text, &environment).unwrap();
    assert_eq!(warnings, []);
    assert!(borrowed.verify_clients && borrowed.log.error);
    assert_eq!(borrowed.admin, Some(identity(ADMIN)));
    assert_eq!(borrowed.keys, ["some-key", "another-key"]);
    assert_eq!(borrowed.proxies, [identity(OPS)]);
    assert_eq!((borrowed.api.len(), borrowed.policies.len()), (3, 2));
    let problems = Borrowed::parse(Path::new("kes.yml"), "keys: [{nam: x}]\npolicy: 3\n", &environment).unwrap_err();
    let messages = problems.to_string();
    assert!(messages.starts_with("kes.yml:1: ") && messages.contains("\nkes.yml:2: "), "{messages}");
}

#[test]
fn the_keys_section_is_a_list_or_has_a_window_and_a_list() {
    let read = |keys: &str| {
        let (borrowed, _) = Borrowed::parse(Path::new("kes.yml"), keys, &|_| None).unwrap();
        (borrowed.keys, borrowed.deletion_window)
    };
    assert_eq!(read("keys: [{name: a}]"), (vec!["a".to_owned()], Duration::ZERO));
    let both = "keys: {deletion_window: 168h, create: [{name: a}]}";
    assert_eq!(read(both), (vec!["a".to_owned()], Duration::from_secs(7 * 24 * 3600)));
    assert_eq!(read("keys: {deletion_window: 1m}"), (vec![], Duration::from_secs(60)));
    let wrong = Borrowed::parse(Path::new("kes.yml"), "keys: {deletion_window: soon, name: a}", &|_| None);
    assert_eq!(wrong.unwrap_err().to_string().lines().count(), 2, "it reports both");
}

#[test]
fn a_file_is_named_in_its_problems() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("config.yml");
    let _ = std::fs::remove_file(&file);
    let missing = Config::load(&file).unwrap_err().to_string();
    assert!(missing.starts_with(&format!("{}: the configuration cannot be read: ", file.display())), "{missing}");
    std::fs::write(&file, NEEDED.replace("seal:", "sael:")).unwrap();
    let problems = Config::load(&file).unwrap_err().to_string();
    let hint = format!("{}:7: unknown setting `sael`: did you mean `seal`?", file.display());
    assert!(problems.lines().any(|line| line == hint), "{problems}");
    std::fs::write(&file, NEEDED).unwrap();
    assert_eq!(Config::load(&file).unwrap().0, loaded(NEEDED));
}

#[test]
fn odd_settings_cause_warnings() {
    let text = format!(
        "{NEEDED}{}",
        "\
keystore: {fs: {path: '${NOT_SET}'}, more: [1, {a: b}]}
policy:
  old:
    allow: [/v1/key/create/*, /v1/enclave/*]
    deny:
    - /v1/enclave/create
    identities: ['${APP}', '${APP}']
keys: [{name: k}, {name: k}]
"
    )
    .replace("identity: disabled", "identity: 8BC7C801");
    let (config, warnings) = parse(&text).unwrap();
    let messages: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    let expected = [
        "config.yml:2: admin.identity is not an identity",
        "config.yml:8: keystore is ignored",
        "config.yml:11: policy.old.allow: no request to this server matches '/v1/enclave/*'",
        "config.yml:13: policy.old.deny: no request to this server matches '/v1/enclave/create'",
        "config.yml:14: policy.old.identities: 8087b18d",
        "config.yml:15: keys: 'k' appears twice",
    ];
    assert_eq!(messages.len(), expected.len(), "{messages:#?}");
    for (messages, expected) in messages.iter().zip(expected) {
        assert!(messages.starts_with(expected), "{messages}");
    }
    let (policy, identities) = &config.policies["old"];
    assert_eq!((policy.allow.len(), policy.deny.len(), identities.len()), (2, 1, 1));
    assert_eq!((config.keys, config.admin), (vec!["k".to_owned()], None));
}

#[test]
fn a_deny_rule_that_leaves_a_sibling_open_causes_a_warning_on_its_line() {
    let found = |policy: &str| {
        let file = Path::new("kes.yml");
        let (_, warnings) = PolicyFile::parse(file, &format!("policy:\n  app:\n{policy}"), &environment).unwrap();
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        found("    allow: [/v1/key/*]\n    deny:\n    - /v1/key/delete/*\n    - /v1/key/decrypt/secret*\n"),
        "kes.yml:6: policy.app.deny: '/v1/key/decrypt/secret*' denies /v1/key/decrypt/ but not /v1/key/bulk/decrypt/, \
         which this policy allows and which decrypts the same ciphertexts; to deny that too, add \
         '/v1/key/bulk/decrypt/secret*'"
    );
    for quiet in [
        "    allow: [/v1/key/*]\n    deny: [/v1/key/decrypt/secret*, /v1/key/bulk/decrypt/secret*]\n",
        "    allow: [/v1/key/decrypt/*]\n    deny: [/v1/key/decrypt/secret*]\n",
        "    allow: [/v1/key/*]\n    deny: [/v1/key/*]\n",
    ] {
        assert_eq!(found(quiet), "", "{quiet}");
    }
    // The value of a variable may be a secret.
    for (rule, missing) in
        [("/v1/key/decrypt/${SECRET}*", "/v1/key/bulk/decrypt/${SECRET}*"), ("${RULE}", "/v1/key/bulk/decrypt/…")]
    {
        let message = found(&format!("    allow: [/v1/key/*]\n    deny: ['{rule}']\n"));
        assert!(message.contains(&format!("'{rule}' denies")), "{message}");
        assert!(message.ends_with(&format!("add '{missing}'")) && !message.contains("hunter2"), "{message}");
    }
}

#[test]
fn any_text_but_an_identity_disables_the_admin() {
    let admin = |text: &str| parse(&NEEDED.replace("identity: disabled", &format!("identity: {text}"))).unwrap();
    for (text, warned) in [("disabled", 0), ("_", 0), ("''", 1), ("${EMPTY}", 1), ("nobody", 1), ("12", 1)] {
        let (config, warnings) = admin(&format!("\"{}\"", text.replace('\'', "")));
        assert_eq!((config.admin, warnings.len()), (None, warned), "{text}");
    }
    // Digits alone are an identity too, not a number.
    let digits = "1".repeat(64);
    assert_eq!(admin(&digits).0.admin, Some(identity(&digits)));
}

#[test]
fn values_come_from_the_environment_whole_or_in_part() {
    let config = with("address: 127.0.0.1:${PORT}\nlog: {level: '${EMPTY}'}\nkeys: [{name: 'k-${PORT}'}]\n");
    assert_eq!(config.address, "127.0.0.1:8443".parse().unwrap());
    assert_eq!((config.log.level.as_str(), config.keys), ("info", vec!["k-8443".to_owned()]));
}

#[test]
fn switches_have_the_spellings_of_yaml_1_1_and_1_2() {
    for (text, on) in [("on", true), ("\"on\"", true), ("TRUE", true), ("true", true), ("off", false), ("'off'", false)]
    {
        assert_eq!(with(&format!("log: {{audit: {text}}}\n")).log.audit, on, "{text}");
    }
}

#[test]
fn the_command_line_overrides_the_file() {
    let read = |text: &str, given: &[(&'static str, &'static str, &str)]| {
        let given: Vec<_> =
            given.iter().map(|(flag, setting, value)| Override { flag, setting, value: (*value).to_owned() }).collect();
        Config::parse_with(Path::new("config.yml"), text, &environment, &given).map(|(config, _)| config)
    };
    let all = [
        ("--addr", "address", "127.0.0.1:1"),
        ("--key", "tls.key", "other.key"),
        ("--cert", "tls.cert", "other.crt"),
        ("--auth", "tls.auth", "on"),
    ];
    let given = read(NEEDED, &all).unwrap();
    let same = NEEDED.replace("{key: api.key, cert: api.crt}", "{key: other.key, cert: other.crt, auth: on}");
    assert_eq!(given, loaded(&format!("{same}address: 127.0.0.1:1\n")));
    // The node does not even read the file's own value.
    let wrong = NEEDED.replace("cert: api.crt}", "cert: api.crt, auth: '${NOPE}'}");
    assert!(read(&wrong, &all).unwrap().tls.verify_clients);
    let without = NEEDED.replace("tls: {key: api.key, cert: api.crt}\n", "");
    assert_eq!(read(&without, &all).unwrap().tls, given.tls);
    let problems = read(NEEDED, &[("--addr", "address", "7373"), ("--auth", "tls.auth", "no way")]).unwrap_err();
    let messages: Vec<_> = problems.0.iter().map(ToString::to_string).collect();
    assert!(messages[0].starts_with("command line: --addr: '7373' is not an address to listen on"), "{messages:#?}");
    assert!(messages[1].starts_with("command line: --auth: 'no way' is neither on nor off"), "{messages:#?}");
}

#[test]
fn a_level_switches_a_log_on_with_a_warning() {
    let (config, warnings) = parse(&format!("{NEEDED}log: {{error: WARN, audit: info}}\n")).unwrap();
    assert!(config.log.error && config.log.audit);
    assert_eq!(config.log.level, "info");
    let messages: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(messages.len(), 2, "{messages:#?}");
    assert_eq!(
        messages[0],
        "config.yml:8: log.error: the level 'WARN' counts as on; `log.level` sets which events the log shows"
    );
}

#[test]
fn a_variable_without_braces_causes_a_warning() {
    let (config, warnings) = parse(&NEEDED.replace("identity: disabled", "identity: $ADMIN")).unwrap();
    assert_eq!(config.admin, None);
    let messages = warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(
        messages.contains("config.yml:2: admin.identity: '$ADMIN' counts as plain text; write `${ADMIN}`"),
        "{messages}"
    );
}

#[test]
fn kes_offline_counts_unless_consistency_says_otherwise() {
    let cache = "cache: {expiry: {offline: 7m}}\n";
    assert_eq!(with(cache).consistency.offline, Duration::from_secs(420));
    let both = with(&format!("{cache}consistency: {{offline: 1s}}\n"));
    assert_eq!(both.consistency.offline, Duration::from_secs(1));
}

#[test]
fn peers_need_no_certificate() {
    let tls = |written: &str| loaded(&NEEDED.replace("data: data", &format!("data: data\n  {written}"))).cluster.tls;
    for without in ["tls:", "tls: {}", "tls: {cert: '', key: '${EMPTY}', ca: ''}"] {
        assert_eq!(tls(without), None, "{without}");
    }
    let files = |ca: Option<&str>| PeerTlsConfig { cert: "c".into(), key: "k".into(), ca: ca.map(Into::into) };
    assert_eq!(tls("tls: {cert: c, key: k}"), Some(files(None)));
    assert_eq!(tls("tls: {cert: c, key: k, ca: ''}"), Some(files(None)));
    assert_eq!(tls("tls: {cert: c, key: k, ca: a}"), Some(files(Some("a"))));
    let changed = loaded(&NEEDED.replace("data: data", "data: data\n  tls: {cert: c, key: k}"));
    assert_eq!(loaded(NEEDED).needs_restart(&changed), ["cluster.tls"]);
}

#[test]
fn settings_that_need_a_restart_are_named() {
    let old = with("");
    assert_eq!(old.needs_restart(&with("")), Vec::<&str>::new());
    let taken_over = with("api: {/v1/ready: {skip_auth: on}}\nkeys: [{name: k}]\nlog: {level: debug, audit: on}\n");
    assert_eq!(old.needs_restart(&taken_over), Vec::<&str>::new());
    let new = with("address: 127.0.0.1:1\nlog: {format: json}\nlimits: {streams: 1}\nconsistency: {offline: 0s}\n");
    // The default list of peers holds the API's address.
    assert_eq!(old.needs_restart(&new), ["address", "log.format", "cluster.peers", "consistency", "limits"]);
    let elsewhere =
        loaded(&NEEDED.replace("data: data", "data: other").replace("file:", "env:").replace("root.key", "K"));
    assert_eq!(old.needs_restart(&elsewhere), ["cluster.data", "seal"]);
}

#[test]
fn a_reload_compares_the_file_with_the_running_configuration() {
    let running = with("");
    let new = with("limits: {streams: 1}\nlog: {format: json, level: debug}\nkeys: [{name: k}]\n");
    let after = running.take_over(&new);
    assert_eq!((after.limits, after.log.format), (running.limits, LogFormat::Text));
    assert_eq!((&after.log.level, &after.keys), (&"debug".to_owned(), &vec!["k".to_owned()]));
    assert_eq!(after.needs_restart(&new), ["log.format", "limits"], "it still waits");
    assert_eq!(after.needs_restart(&running), Vec::<&str>::new(), "it was put back");
}
