//! A start that must fail says why: one line that names the configuration, the setting, the file and what to do.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use keyraft::config::{AuditFileConfig, Config, render};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};
use tempfile::TempDir;

use crate::support::certificates::{Authority, pem_of_key};
use crate::support::processes::{Processes, free_ports};

const KEYRAFT: &str = env!("CARGO_BIN_EXE_keyraft");

/// A node that was prepared and never started, and everything that can be wrong with it.
struct Prepared {
    folder: TempDir,
    config: Config,
}

/// How a start ended.
struct Ended {
    code: Option<i32>,
    error: String,
    config: PathBuf,
}

type Adjust = fn(&mut Config, PathBuf);

/// Every setting that names a certificate, key or CA.
const TLS_FILES: [(&str, Adjust); 6] = [
    ("tls.cert", |config, path| config.tls.cert = path),
    ("tls.key", |config, path| config.tls.key = path),
    ("tls.ca", |config, path| {
        config.tls.verify_clients = true;
        config.tls.ca = Some(path);
    }),
    ("cluster.tls.cert", |config, path| config.cluster.cert = path),
    ("cluster.tls.key", |config, path| config.cluster.key = path),
    ("cluster.tls.ca", |config, path| config.cluster.ca = path),
];

impl Prepared {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let dir = folder.path().join("dev");
        let mut dev = Command::new(KEYRAFT);
        dev.args(["dev", "--prepare", "--nodes", "1", "--dir"]).arg(&dir);
        let made = dev.args(["--port", &free_ports(1).to_string()]).output().expect("the binary runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let (mut config, _) = Config::load(&dir.join("node-1/config.yml")).expect("`dev` writes a good one");
        // What is logged besides is another test's business.
        "off".clone_into(&mut config.log.level);
        Self { folder, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("the folder is writable");
        path
    }

    /// Files that hold no certificate and no private key, each with a word of what is said about it.
    fn bad_files(&self) -> Vec<(PathBuf, &'static str)> {
        let pem = fs::read_to_string(&self.config.tls.cert).expect("`dev` writes it");
        let folder = self.path("folder");
        fs::create_dir_all(&folder).expect("the folder is writable");
        fs::copy(&self.config.tls.key, folder.join("other.key")).expect("the folder is writable");
        let circle = self.path("circle");
        drop(symlink(&circle, &circle));
        let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        vec![
            (self.path("missing"), "No such file"),
            (folder, "folder"),
            (circle, "symbolic links"),
            (self.file("empty", ""), "is empty"),
            (self.file("blank", "\n\n"), "is empty"),
            (self.file("text", "not a certificate\n"), "holds no readable PEM"),
            (self.file("bytes", [0xff, 0, 0xfe]), "holds no readable PEM"),
            (self.file("truncated", &pem[..pem.len() / 2]), "holds no readable PEM"),
            (self.file("damaged", block("CERTIFICATE") + &block("PRIVATE KEY")), "holds"),
        ]
    }

    fn start(&self, adjust: impl FnOnce(&mut Config)) -> Ended {
        let mut config = self.config.clone();
        adjust(&mut config);
        let path = self.file("config.yml", render(&config));
        let Output { status, stderr, .. } =
            Command::new(KEYRAFT).args(["server", "--config"]).arg(&path).output().expect("the binary runs");
        let error = String::from_utf8(stderr).expect("errors are text");
        Ended { code: status.code(), error, config: path }
    }
}

impl Ended {
    /// Fails unless the process ended with this code and one line that names the setting and says this.
    #[track_caller]
    fn says(&self, code: i32, setting: &str, words: &[&str]) {
        let begins = format!("Error: {}: {setting}: ", self.config.display());
        let what = format!("{setting} {words:?}: {:?}\n{}", self.code, self.error);
        assert_eq!(self.code, Some(code), "{what}");
        assert!(self.error.starts_with(&begins), "{what}");
        assert!(self.error.ends_with('\n') && self.error.lines().count() == 1, "more than one line: {what}");
        assert!(words.iter().all(|word| self.error.contains(word)), "{what}");
    }
}

#[test]
fn every_bad_file_of_every_tls_setting_is_named_with_its_setting() {
    let node = Prepared::new();
    for (bad, words) in node.bad_files() {
        for (setting, adjust) in TLS_FILES {
            let words = match words {
                // A folder of CAs is read, and what else it holds is named.
                "folder" if setting.ends_with("ca") => "CA certificates and nothing else",
                "folder" => "Is a directory",
                words => words,
            };
            let ended = node.start(|config| adjust(config, bad.clone()));
            ended.says(2, setting, &[bad.to_str().expect("our names are text"), words]);
        }
    }
    assert!(!node.path("dev/node-1/data/log").exists(), "a start that failed changes nothing");
}

#[test]
fn files_that_do_not_belong_together_are_named() {
    let node = Prepared::new();
    let (api, peer) = (node.config.tls.key.clone(), node.config.cluster.key.clone());
    let words = ["private key of another certificate", "peer.key", "api.crt"];
    node.start(|config| config.tls.key = peer.clone()).says(2, "tls.key", &words);
    node.start(|config| config.cluster.key = api.clone()).says(2, "cluster.tls.key", &["api.key", "peer.crt"]);
    let other = node.config.tls.cert.clone();
    let ended = node.start(|config| config.cluster.ca = other.clone());
    ended.says(2, "cluster.tls.cert", &["peer.crt", "no CA in cluster.tls.ca signed it"]);
    let api = node.config.tls.clone();
    let ended = node.start(|config| (config.cluster.cert, config.cluster.key) = (api.cert.clone(), api.key.clone()));
    ended.says(2, "cluster.tls.cert", &["api.crt", "the other nodes would refuse"]);
}

#[test]
fn a_peer_certificate_that_the_other_nodes_would_refuse_is_named_with_the_reason() {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    let node = Prepared::new();
    let (ours, others) = (Authority::new("peers"), Authority::new("others"));
    let ca = node.file("ca.crt", ours.pem());
    let params = |usages: &[ExtendedKeyUsagePurpose], years: [i32; 2]| {
        let mut params = CertificateParams::new(["node-1".to_owned()]).expect("a valid name");
        params.extended_key_usages = usages.to_vec();
        (params.not_before, params.not_after) = (date_time_ymd(years[0], 1, 1), date_time_ymd(years[1], 1, 1));
        params
    };
    let both = [ServerAuth, ClientAuth];
    let table = [
        (&ours, params(&both, [2001, 2002]), "it expired on 2002-01-01T00:00:00Z; renew it with the same key"),
        (&ours, params(&both, [3001, 3002]), "it is not valid before 3001-01-01T00:00:00Z; check this machine's clock"),
        (&ours, params(&[ServerAuth], [2001, 3001]), "both serverAuth and clientAuth"),
        (&ours, params(&[ClientAuth], [2001, 3001]), "both serverAuth and clientAuth"),
        (&ours, params(&[], [2001, 3001]), "both serverAuth and clientAuth"),
        (&others, params(&both, [2001, 3001]), "no CA in cluster.tls.ca signed it"),
    ];
    for (authority, params, words) in table {
        let credential = authority.issue(&params);
        let (cert, key) = (node.file("p.crt", credential.pem()), node.file("p.key", pem_of_key(&credential)));
        let ended = node.start(|config| {
            (config.cluster.cert, config.cluster.key, config.cluster.ca) = (cert, key, ca.clone());
        });
        ended.says(2, "cluster.tls.cert", &["p.crt", words]);
    }
}

#[test]
fn a_data_folder_and_an_audit_file_that_cannot_be_used_are_named() {
    let node = Prepared::new();
    let file = node.file("file", "");
    let data = |path: &Path| node.start(|config| config.cluster.data = path.to_owned());
    data(Path::new("/proc/nope")).says(2, "cluster.data", &["/proc/nope", "No such file"]);
    data(&file).says(2, "cluster.data", &[file.to_str().expect("text"), "not a directory; name a folder"]);
    data(&file.join("below")).says(2, "cluster.data", &["below", "Not a directory", "; name a folder"]);
    let audit = |path: &Path| {
        node.start(|config| {
            let (max_size, max_age) = (1 << 20, std::time::Duration::from_secs(3_600));
            config.audit.file = Some(AuditFileConfig { path: path.to_owned(), max_size, max_age, keep: 1 });
        })
    };
    audit(node.folder.path()).says(2, "audit.file.path", &["is a directory; name a file"]);
    audit(&node.path("missing/audit.log")).says(
        2,
        "audit.file.path",
        &["missing/audit.log", "make the folder above it"],
    );
    audit(&file.join("audit.log")).says(2, "audit.file.path", &["file/audit.log", "Not a directory"]);
}

#[test]
fn an_address_that_cannot_be_listened_on_is_named() {
    let node = Prepared::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().map(|address| (taken, address)).expect("it is bound");
    // RFC 5737: no machine has it.
    let elsewhere = "192.0.2.1:7373".parse().expect("an address");
    let ended = node.start(|config| config.address = taken.1);
    ended.says(1, "address", &[&taken.1.to_string(), "in use", "; stop the process that listens there"]);
    let ended = node.start(|config| config.cluster.listen = taken.1);
    ended.says(1, "cluster.listen", &[&taken.1.to_string(), "in use", "; stop the process that listens there"]);
    let words = ["192.0.2.1:7373", "name an address of this machine"];
    node.start(|config| config.address = elsewhere).says(1, "address", &words);
    node.start(|config| config.cluster.listen = elsewhere).says(1, "cluster.listen", &words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_a_running_node_uses_is_left_alone() {
    let running = Processes::start().await;
    let node = Prepared::new();
    let data = running.data(0);
    let ended = tokio::task::spawn_blocking(move || node.start(|config| config.cluster.data = data)).await;
    let ended = ended.expect("the start ends");
    ended.says(1, "cluster.data", &["another process uses it: stop that process, or name another folder"]);
    crate::support::status::wait_for_state(&running.data(0), "serving").await;
}
