//! Files that are refused: with every problem at once, each on its line, and without secrets.

use std::collections::BTreeSet;

use crate::{KES, NEEDED, loaded, parse, with};

/// The numbers of the lines that have the mark `#!`.
fn marked(text: &str) -> BTreeSet<u64> {
    (1..).zip(text.lines()).filter(|(_, line)| line.contains("#!")).map(|(number, _)| number).collect()
}

/// Exactly the marked lines have problems, and the messages contain these parts.
#[track_caller]
fn refused(text: &str, parts: &[&str]) {
    let problems = parse(text).map(|(config, _)| config).expect_err(text);
    let lines: BTreeSet<_> = problems.0.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, marked(text), "{problems}\n---\n{text}");
    for part in parts {
        assert!(problems.to_string().contains(part), "no '{part}' in\n{problems}");
    }
}

#[test]
fn every_problem_of_a_file_is_reported_at_once() {
    let text = "\
version: v2                                   #!
adress: 0.0.0.0:7373                          #!
address: 0.0.0.0                              #!
admin: {identity: 8bc7c801a0d9d1cc3fef3fb16c0a7d8fbe73e29dce40589677c3bd2850c80328}
tls:                                          #! no key
  cert: '${MISSING}'                          #!
  auth: maybe                                 #!
  proxy:
    identities: [me]                          #!
    header: {cert: 'not a token'}             #!
api:
  /v1/redy: {}                                #!
  /v1/key/create: {skip_auth: on}             #!
  /v1/status: {skip_auth: 3, timout: 1s}      #!
policy:
  b@d: {}                                     #!
  app:
    alow: []                                  #!
    allow:
    - /v1/*/create                            #!
    - v1/status                               #!
    identities:
    - nobody                                  #!
    - 8bc7c801a0d9d1cc3fef3fb16c0a7d8fbe73e29dce40589677c3bd2850c80328  #! the admin
    - 8087b18da11b0b1f8e9ae60a20930936762f092415fc81ca9f7d9c3625bbd4e9
  ops:
    identities:
    - 8087b18da11b0b1f8e9ae60a20930936762f092415fc81ca9f7d9c3625bbd4e9  #! app's
keys:
- name: a/b                                   #!
- nme: my-key                                 #!
cache:
  expiry: {any: 5, unused: 30s}               #!
  capacity: 0                                 #!
log:
  error: loud                                 #!
  level: infoo                                #!
  format: xml                                 #!
cluster:
  name: node-9                                #!
  listen: 127.0.0.1                           #!
  tls: [a]                                    #!
  data:                                       #!
  peers:
  - {name: node-1, peer: '10.0.0.1:7473', api: '10.0.0.1:7373'}
  - {name: node-1, peer: '10.0.0.2:7473', api: '10.0.0.2:7373'}     #!
  - {name: node-3, peer: '10.0.0.1:7473', api: 'https://10.0.0.3'}  #!
  - {name: node-4, peer: '10.0.0.1:7473', api: '10.0.0.4:7373'}     #!
  timing:                                     #! not in order
    heartbeat: 200ms
seal:                                         #!
  file: root.key
  env: ROOT_KEY
consistency: {lease: 1ms}                     #!
limits:
  connections: -1                             #!
  streams: many                               #!
  drain_timeout: 1d                           #!
log: {}                                       #!
";
    let parts = [
        "config.yml:1: version: 'v2' is not a version of this file's format; write v1",
        "config.yml:2: unknown setting `adress`: did you mean `address`?",
        "tls.key is missing: add `key: api.key`",
        "tls.cert: the environment has no variable MISSING; set it before the start",
        "tls.auth: 'maybe' is neither on nor off",
        "api: '/v1/redy' is not a route",
        "skip_auth is allowed only for /v1/api, /v1/metrics, /v1/ready, /v1/status",
        "unknown setting `api./v1/status.timout`: did you mean `timeout`?",
        "policy.app.allow: '/v1/*/create' can never match: '*' has a meaning at the end only",
        "policy.app.identities: 'nobody' is not an identity: an identity is 64 lower-case hexadecimal digits",
        "is the admin, who may do everything; remove it from this policy",
        "already has the policy 'app' (line 25); an identity can have only one",
        "cache.expiry.any: '5' is not a duration; write it like 10ms, 30s, 5m or 1h30m",
        "cluster.name: 'node-9' is not among the peers (node-1, node-1, node-4); add this node to them",
        "cluster.listen: '127.0.0.1' is not an address to listen on",
        "cluster.data is missing: add `data: /var/lib/keyraft`",
        "cluster.peers.name: 'node-1' appears twice among the peers",
        "cluster.peers.api: 'https://10.0.0.3' must be host:port alone",
        "heartbeat (200ms) must be below election_min (100ms), and that below election_max (160ms)",
        "seal: both file and env are given",
        "consistency.lease: '1ms' is out of range: from 200ms to 1m",
        "limits.streams: 'many' is not a whole number from 1 to 65536",
        "`log` is already on line 35; keep one of them",
    ];
    refused(text, &parts);
}

#[test]
fn each_kind_of_problem_has_its_line() {
    let without = |line: &str| {
        let rest = NEEDED.lines().filter(|l| !l.starts_with(line)).map(|l| format!("{l}\n")).collect::<String>();
        rest.replacen("version: v1", "version: v1 #!", 1)
    };
    refused(&without("seal:"), &["the section `seal` is missing: add `seal: {file: root.key}`"]);
    refused(&without("tls:"), &["the section `tls` is missing: add `tls: {key: api.key, cert: api.crt}`"]);
    refused("version: v1 #!\n", &["`cluster` is missing", "`seal` is missing", "`tls` is missing"]);
    refused("#!\n", &["`tls` is missing"]);
    refused("- version #!\n", &["a configuration must be a map of settings"]);
    refused("version: v1\n  tls: {}  #!\n", &["this is not valid YAML"]);
    let cases = [
        ("policy: [] #!\n", "policy must be a section"),
        ("policy:\n  app: on #!\n", "policy.app must be a section"),
        ("policy:\n  app:\n    allow: /v1/status #!\n", "policy.app.allow must be a list"),
        ("policy:\n  app:\n    allow:\n    - a: b #!\n", "policy.app.allow must be a single value"),
        ("policy:\n  app:\n    paths: [/v1/status] #!\n", "unknown setting `policy.app.paths`: write `allow`"),
        ("root: disabled #!\n", "unknown setting `root`: write `admin: {identity: …}`"),
        ("keys:\n- my-key #!\n", "keys must be a list of sections: write `- name: my-key`"),
        ("keys: my-key #!\n", "keys must be a list: begin each line with `-`"),
        ("keys:\n-\n- {} #!\n", "keys.name is missing"),
        ("api:\n  /v1/ready: {}\n  /v1/ready/: {} #!\n", "the route /v1/ready appears twice"),
        ("api:\n  /v1/ready: {timeout: 2h} #!\n", "out of range: from 0s to 1h"),
        ("storage: {stall: 10ms} #!\n", "out of range: from 100ms to 10m"),
        ("address: '0.0.0.0:${NOPE}' #!\n", "address: the environment has no variable NOPE"),
        ("limits: {audit_queue: 1.5} #!\n", "not a whole number from 16 to 16777216"),
        ("limits: {reserved_files: 10} #!\n", "not a whole number from 64 to 1000000"),
    ];
    for (more, part) in cases {
        refused(&format!("{NEEDED}{more}"), &[part]);
    }
    for (seal, part) in [
        ("{} #!", "seal: neither file nor env is given"),
        ("{env: 'ROOT-KEY'} #!", "write the name, not its value"),
        ("{file: '${NOPE}'} #!", "no variable NOPE"),
        (" #!", "the section `seal` is missing"),
    ] {
        refused(&NEEDED.replace("{file: root.key}", seal), &[part]);
    }
    for (own, part) in [
        ("{data: d, peers: [{name: a, peer: 'a:1', api: 'a:2'}]} #!", "cluster.name is missing: add `name: node-1`"),
        ("{data: d, name: a, peers: [{name: a, peer: 'a:1', api: 'a:1'}]} #!", "'a:1' appears twice among the peers"),
        ("{data: d, peers: {a: b}, name: a} #!", "cluster.peers must be a list"),
        ("{data: d, listen: 127.0.0.1:7373} #!", "127.0.0.1:7373 is taken by the API at [::]:7373"),
        ("{data: d, timing: {heartbeat: 99ms, election_max: 100ms}} #!", "heartbeat (99ms) must be below"),
        ("{data: d, tls: {cert: c}} #!", "cluster.tls.key is missing: add `key: peer.key`"),
        ("{data: d, tls: {key: k, ca: a}} #!", "cluster.tls.cert is missing: add `cert: peer.crt`"),
        ("{data: d, tls: {ca: a}} #!", "cluster.tls.ca needs cert and key"),
        ("{data: d, tls: {cert: '${NOPE}', key: k}} #!", "cluster.tls.cert: the environment has no variable NOPE"),
        ("{data: d, tls: {certs: c}} #!", "unknown setting `cluster.tls.certs`: did you mean `cert`?"),
        ("here #!", "cluster must be a section"),
    ] {
        let text = format!("tls: {{key: k, cert: c}}\nseal: {{file: f}}\ncluster: {own}\n");
        refused(&text, &[part]);
        assert_eq!(parse(&text).unwrap_err().0.len(), 1, "{text}");
    }
}

#[test]
fn settings_of_old_kes_releases_are_refused_with_what_to_write_now() {
    let cases = [
        (
            "keys:\n  vault: {endpoint: 'http://vault:8200'} #!\n",
            "`keys.vault`: `keys` was the keystore section of old",
        ),
        ("keys:\n  fs: {path: keys} #!\n", "remove this setting, because Keyraft keeps the keys itself"),
        ("unseal: {environment: {name: KEY}} #!\n", "`unseal`: write `seal: {file: root.key}`"),
        ("enclave: {default: {}} #!\n", "`enclave`: Keyraft does not have enclaves"),
        ("system: {admin: {identity: x}} #!\n", "`system`: write `admin: {identity: …}`"),
        ("proxy: {identities: []} #!\n", "unknown setting `proxy`: did you mean `tls.proxy`?"),
        ("cache: {any: 5m} #!\n", "unknown setting `cache.any`: did you mean `cache.expiry.any`?"),
    ];
    for (more, part) in cases {
        refused(&format!("{NEEDED}{more}"), &[part]);
    }
    let identities = NEEDED.replace("cert: api.crt}", "cert: api.crt, identities: [a]} #!");
    refused(&identities, &["unknown setting `tls.identities`: did you mean `tls.proxy.identities`?"]);
}

#[test]
fn only_plain_references_to_the_environment_are_read() {
    let cases = [
        ("address: ${HOST:-0.0.0.0:7373} #!\n", "address: Keyraft does not replace `${HOST:-…}`, only `${NAME}`"),
        ("address: 0.0.0.0:${PORT-7373} #!\n", "address: Keyraft does not replace `${PORT-…}`"),
        ("log: {audit: '${AUDIT:=on}'} #!\n", "log.audit: Keyraft does not replace `${AUDIT:=…}`"),
        ("keys: [{name: '${KEY:?is not set}'}] #!\n", "keys.name: Keyraft does not replace `${KEY:?…}`"),
        ("policy:\n  a:\n    identities: ['${}'] #!\n", "policy.a.identities: Keyraft does not replace `${}`"),
    ];
    for (more, part) in cases {
        refused(&format!("{NEEDED}{more}"), &[part]);
    }
    let admin = NEEDED.replace("identity: disabled}", "identity: '${ADMIN:-hunter2}'} #!");
    refused(&admin, &["admin.identity: Keyraft does not replace `${ADMIN:-…}`"]);
    assert!(!parse(&admin).unwrap_err().to_string().contains("hunter2"));
    let password = |text: &str| NEEDED.replace("cert: api.crt}", &format!("cert: api.crt, password: '{text}'}} #!"));
    refused(&password("${PASSWORD:-hunter2}"), &["tls.password: Keyraft does not replace `${PASSWORD:-…}`"]);
    for (written, read) in [("a${b-c}d", "a${b-c}d"), ("$${SECRET:-x}", "${SECRET:-x}"), ("$SECRET", "$SECRET")] {
        let password = loaded(&password(written)).tls.password;
        assert_eq!(password, Some(keyraft::config::Password(read.to_owned())), "{written}");
    }
}

#[test]
fn patterns_that_no_name_can_match_are_refused_on_their_lines() {
    let text = "\
policy:
  app:
    allow: [/v1/key/decrypt/app*, /v1/key/list/app-, /v1/enclave/*]
    deny:
    - /v1/key/decrypt/app-[0-9]*      #!
    - /v1/key/decrypt/app%2Dprod*     #!
    - /v1/key/decrypt/app prod*       #!
    - /v1/key/decrypt/-app*           #!
    - /v1/key/decrypt/app.prod        #!
    - /v1/key/decrypt                 #!
    - /v1//key/decrypt/*              #!
    - /v1/identity/describe/me@here   #!
";
    let parts = [
        "policy.app.deny: '/v1/key/decrypt/app-[0-9]*' can never match: no path and no name has '[' in it; \
         the only wildcard is a '*' at the end",
        "the server compares patterns with the decoded path: write the character instead of '%2D'",
        "'/v1/key/decrypt/app prod*' can never match: no path and no name has a blank in it",
        "'/v1/key/decrypt/-app*' can never match: no name begins with '-'",
        "a name has letters, digits, '_' and '-' only, and not '.'",
        "a name must follow '/v1/key/decrypt/'; write '/v1/key/decrypt/*' for every name",
        "no path has '//', '/./' or '/../' in it, because the server does not rewrite paths; write the path itself",
        "no path and no name has '@' in it",
    ];
    refused(&format!("{NEEDED}{text}"), &parts);
}

#[test]
fn a_configuration_is_one_document() {
    for end in ["---\n", "...\n", "---\n---\n"] {
        assert_eq!(loaded(&format!("---\n{NEEDED}{end}")), loaded(NEEDED), "{end}");
    }
    refused(&format!("{NEEDED}---\nlog: {{audit: on}} #!\n"), &["a second YAML document begins here"]);
}

#[test]
fn every_problem_of_the_audit_section_is_reported_at_once() {
    let text = format!(
        "{NEEDED}\
audit:
  requird: on                                 #!
  required: maybe                             #!
  file:                                       #! no path
    max_size: 1KiB                            #!
    max_age: 1s                               #!
    keep: 0                                   #!
  syslog:
    address: /dev/log                         #!
    facility: mail                            #!
"
    );
    let parts = [
        "unknown setting `audit.requird`: did you mean `required`?",
        "audit.required: 'maybe' is neither on nor off",
        "audit.file.path is missing: add `path: /var/log/keyraft/audit.log`",
        "audit.file.max_size: '1KiB' is not a size from 65536 to 1099511627776 bytes; write it like 100MiB",
        "audit.file.max_age: '1s' is out of range: from 1m",
        "audit.syslog.address: '/dev/log' is not a syslog address; write unix:/dev/log, udp://host:514 or tcp://host:601",
        "audit.syslog.facility: 'mail' is not a syslog facility; write one of user, daemon",
    ];
    refused(&text, &parts);
    for none in ["audit: {required: on} #!\n", "log: {audit: off}\naudit: {required: on, file: , syslog: } #!\n"] {
        refused(&format!("{NEEDED}{none}"), &["audit.required needs a sink for the records"]);
    }
    for some in ["log: {audit: on}\naudit: {required: on}", "audit: {required: on, file: {path: a}}"] {
        assert!(with(&format!("{some}\n")).audit.required, "{some}");
    }
}

#[test]
fn a_policy_has_at_most_64_kib() {
    let policy = |patterns: usize| {
        let allow: Vec<_> = (0..patterns).map(|i| format!("/v1/key/create/{i:040}")).collect();
        format!("policy:\n  big: #!\n    allow: [{}]\n", allow.join(", "))
    };
    assert_eq!(with(&policy(1000)).policies["big"].0.allow.len(), 1000);
    refused(
        &format!("{NEEDED}{}", policy(1200)),
        &["policy.big: its patterns take 71056 bytes, and a policy may have at most 65536"],
    );
}

#[test]
fn no_secret_is_shown() {
    let text =
        KES.replace("timeout: 15s", "timeout: ${SECRET}").replace("- ${APP}", "- ${SECRET}\n    - kes:v1:hunter2");
    let messages = parse(&text).unwrap_err().to_string();
    assert!(messages.contains("'${SECRET}'") && messages.contains("'kes:v1:…' is an API key"), "{messages}");
    assert!(!messages.contains("hunter2"), "{messages}");
    let root_key = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=";
    let messages =
        parse(&NEEDED.replace("{file: root.key}", &format!("{{env: '{root_key}'}}"))).unwrap_err().to_string();
    assert!(
        messages.contains("'…' is not the name of an environment variable") && !messages.contains(root_key),
        "{messages}"
    );
    let api_key = "AGaV6VXHasF0FnaB60WdCOeTZ8eTIDikL4zlN16c8NAs";
    let messages = parse(&KES.replace("- ${APP}", &format!("- {api_key}"))).unwrap_err().to_string();
    assert!(messages.contains("'…' is an API key") && !messages.contains(api_key), "{messages}");
    let own = "cluster:\n  data: d\nseal: {env: ROOT_KEY}\n";
    let debug = format!("{:?}", loaded(&format!("{KES}{own}")));
    assert!(debug.contains("Password(…)") && !debug.contains("hunter2"), "{debug}");
}
