//! SIGHUP: settings that need a restart, and bad files, which leave the node as it is.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use keyraft::config::{AuditFileConfig, Config, PeerTlsConfig, render};
use keyraft::policy::{Pattern, Policy, PolicyName};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustix::process::Signal;

use crate::shell::Shell;
use crate::support::certificates::{Authority, pem_of_key, self_signed};
use crate::support::processes::Processes;
use crate::support::status;

struct Node {
    cluster: Processes,
    file: PathBuf,
    config: Config,
}

impl Node {
    async fn start() -> Self {
        let cluster = Processes::start().await;
        let file = Shell::folder(&cluster).join("node-1/config.yml");
        let (config, _) = Config::load(&file).expect("`dev` writes a good one");
        Self { cluster, file, config }
    }

    fn write(&self, adjust: impl FnOnce(&mut Config)) {
        let mut config = self.config.clone();
        adjust(&mut config);
        fs::write(&self.file, render(&config)).expect("the folder is writable");
    }

    /// Sends SIGHUP, and returns the log up to these words.
    async fn reload(&self, words: &str) -> String {
        let before = self.cluster.log(0).len();
        self.cluster.signal(0, Signal::HUP);
        let data = [self.cluster.data(0)];
        let logged = async || {
            let log = self.cluster.log(0);
            log[before..].contains(words).then(|| log[before..].to_owned())
        };
        status::wait_for(words, &data, logged).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_needs_a_restart_is_named_until_it_is_put_back() {
    let node = Node::start().await;
    node.write(|config| config.limits.streams += 1);
    for _ in 0..2 {
        node.reload(r#"wait_for_a_restart=["limits"]"#).await;
    }
    node.write(|_| {});
    node.reload("wait_for_a_restart=[]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_the_command_line_stay_when_the_file_is_read_again() {
    let mut node = Node::start().await;
    node.cluster.stop(0).await;
    node.cluster.begin_with_flags(0, "--auth=off");
    node.cluster.start_all().await;
    assert!(
        node.cluster.log(0).contains("--auth on the command line sets tls.auth to 'off'"),
        "{}",
        node.cluster.log(0)
    );
    node.write(|config| config.tls.verify_clients = true);
    node.reload("wait_for_a_restart=[]").await;
    // The certificate of an API key has no chain.
    node.cluster.admin().create(0, "still-off").await.expect("client certificates are not verified");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_api_certificate_is_reported_and_does_not_stop_the_node() {
    let mut node = Node::start().await;
    let authority = Authority::new("clients' CA");
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a valid name");
    (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    let expired = authority.issue(&params);
    fs::write(&node.config.tls.cert, expired.pem() + &authority.pem()).expect("the folder is writable");
    fs::write(&node.config.tls.key, pem_of_key(&expired)).expect("the folder is writable");
    let words = "api.crt expired on 2002-01-01T00:00:00Z: clients refuse it; renew it";
    let log = node.reload(words).await;
    assert!(log.contains("tls.cert: the certificate '"), "{log}");
    node.cluster.stop(0).await;
    let before = node.cluster.log(0).len();
    node.cluster.start_all().await;
    assert!(node.cluster.log(0)[before..].contains(words), "{}", node.cluster.log(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_too_many_users_can_read_are_named() {
    let node = Node::start().await;
    let files = [
        ("the configuration", node.file.clone()),
        ("tls.key", node.config.tls.key.clone()),
        ("cluster.data", node.cluster.data(0).join("peer.key")),
        ("seal.file", Shell::folder(&node.cluster).join("root.key")),
    ];
    assert!(!node.cluster.log(0).contains("chmod"), "`dev` makes them private: {}", node.cluster.log(0));
    for (_, file) in &files {
        fs::set_permissions(file, Permissions::from_mode(0o604)).expect("the file is ours");
    }
    let log = node.reload("wait_for_a_restart").await;
    for (what, file) in files {
        let words = format!(
            "{what}: {0} is open to every user of this machine (mode 0604): run `chmod o= {0}`",
            file.display()
        );
        assert!(log.contains(&words), "{words}\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_are_named_and_leave_the_node_as_it_is() {
    let node = Node::start().await;
    let admin = Shell::of(&node.cluster);
    let missing = PathBuf::from("/nonexistent.crt");
    let begins = |setting: &str, path: &Path| format!("{setting}: cannot read {}: No such file", path.display());
    for setting in ["tls.cert", "tls.key", "tls.ca"] {
        node.write(|config| match setting {
            "tls.cert" => config.tls.cert.clone_from(&missing),
            "tls.key" => config.tls.key.clone_from(&missing),
            _ => (config.tls.verify_clients, config.tls.ca) = (true, Some(missing.clone())),
        });
        // The file stays wrong, so each SIGHUP names it.
        for _ in 0..2 {
            node.reload(&begins(setting, &missing)).await;
        }
        admin.json(&["key", "create", setting.trim_start_matches("tls."), "--server", &admin.server()]);
    }
    let folder = Shell::folder(&node.cluster);
    node.write(|config| {
        let (max_size, max_age) = (1 << 20, std::time::Duration::from_secs(3_600));
        config.audit.file = Some(AuditFileConfig { path: folder.clone(), max_size, max_age, keep: 1 });
    });
    let log = node.reload("audit.file.path: cannot use").await;
    assert!(log.contains("name a file. The node keeps the old audit settings"), "{log}");
    fs::write(&node.file, "version: v1\nadres: x\n").expect("the folder is writable");
    let log = node.reload("the node keeps the old one").await;
    assert!(log.contains("config.yml:2: unknown setting `adres`"), "{log}");
    admin.json(&["key", "create", "last", "--server", &admin.server()]);
}

/// Writes a certificate for the key of a node, valid until the first day of this year. Returns its settings.
fn certify(node: &Node, last_year: i32) -> PeerTlsConfig {
    let key = node.cluster.data(0).join("peer.key");
    let pair = KeyPair::from_pem(&fs::read_to_string(&key).expect("the node made it")).expect("a good key");
    let mut params = CertificateParams::new(["node-1".to_owned()]).expect("a valid name");
    params.not_after = date_time_ymd(last_year, 1, 1);
    let cert = Shell::folder(&node.cluster).join("peer.crt");
    fs::write(&cert, params.self_signed(&pair).expect("good parameters").pem()).expect("the folder is writable");
    PeerTlsConfig { cert, key, ca: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_the_key_that_the_node_made_is_followed_and_a_bad_one_changes_nothing() {
    let mut node = Node::start().await;
    let files = certify(&node, 3001);
    node.write(|config| config.cluster.tls = Some(files.clone()));
    node.reload(r#"wait_for_a_restart=["cluster.tls"]"#).await;
    node.cluster.stop(0).await;
    node.cluster.start_all().await;
    node.config.cluster.tls = Some(files.clone());
    certify(&node, 2002);
    node.reload("peer.crt expired on 2002-01-01T00:00:00Z: nodes with a cluster.tls.ca refuse it; renew it").await;
    fs::write(&files.cert, "").expect("the folder is writable");
    let log = node.reload("cluster.tls.cert: ").await;
    assert!(log.contains("peer.crt is empty. The node keeps the old certificates that it shows its peers"), "{log}");
    let stranger = KeyPair::generate().expect("keys can be made");
    let other = self_signed(&CertificateParams::default(), &stranger);
    fs::write(&files.cert, other.pem()).expect("the folder is writable");
    node.reload("holds the private key of another certificate").await;
    certify(&node, 3001);
    node.reload("wait_for_a_restart=[]").await;
    node.cluster.admin().create(0, "still-a-member").await.expect("the node works with its peers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deny_rule_that_leaves_a_sibling_open_is_reported_at_the_start_and_once_for_each_change() {
    let mut node = Node::start().await;
    let words = "policy.app.deny: '/v1/key/decrypt/a*' denies /v1/key/decrypt/ but not /v1/key/bulk/decrypt/";
    let pattern = |text| Pattern::parse(text).expect("a good pattern");
    let policy = |deny: &[&'static str]| Policy::new([pattern("/v1/key/*")], deny.iter().copied().map(pattern));
    let name = || PolicyName::parse("app").expect("a good name");
    let (open, closed) = (&["/v1/key/decrypt/a*"][..], &["/v1/key/decrypt/a*", "/v1/key/bulk/*"][..]);
    let set = |config: &mut Config, deny| drop(config.policies.insert(name(), (policy(deny), Vec::new())));
    let read = "the node read the configuration again";
    for (deny, streams, is_reported) in
        [(open, 1, true), (open, 1, false), (open, 2, true), (closed, 2, false), (open, 2, true)]
    {
        node.write(|config| {
            set(config, deny);
            config.limits.streams += streams;
        });
        let log = node.reload(read).await;
        assert_eq!(log.contains(words), is_reported, "{log}");
    }
    node.cluster.stop(0).await;
    let before = node.cluster.log(0).len();
    node.cluster.start_all().await;
    assert!(node.cluster.log(0)[before..].contains(words), "{}", node.cluster.log(0));
}
