//! A start that fails prints one line with the configuration, the setting, the file and what to do.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use keyraft::config::{AuditFileConfig, Config, PeerTlsConfig, render};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;

use crate::support::certificates::{Authority, for_peer, pem_of_key};
use crate::support::processes::{Processes, free_ports};

const KEYRAFT: &str = env!("CARGO_BIN_EXE_keyraft");

/// A prepared node that never ran, and bad files for it.
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
    ("cluster.tls.cert", |config, path| peer_files(config).cert = path),
    ("cluster.tls.key", |config, path| peer_files(config).key = path),
    ("cluster.tls.ca", |config, path| peer_files(config).ca = Some(path)),
];

fn peer_files(config: &mut Config) -> &mut PeerTlsConfig {
    config.cluster.tls.as_mut().expect("the node has a certificate for peers")
}

impl Prepared {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let dir = folder.path().join("dev");
        let mut dev = Command::new(KEYRAFT);
        dev.args(["dev", "--prepare", "--nodes", "1", "--dir"]).arg(&dir);
        let made = dev.args(["--port", &free_ports(1).to_string()]).output().expect("the binary runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let (mut config, _) = Config::load(&dir.join("node-1/config.yml")).expect("`dev` writes a good one");
        // Other tests check what the node logs besides.
        "off".clone_into(&mut config.log.level);
        Self { folder, config }
    }

    /// The same with a certificate for peers, and the CA that issued it.
    fn with_peer_files() -> Self {
        let mut node = Self::new();
        let authority = Authority::new("peers");
        let own = authority.issue(&for_peer("node-1"));
        let cert = node.file("peer.crt", own.pem());
        let (key, ca) = (node.file("peer.key", pem_of_key(&own)), node.file("peer-ca.crt", authority.pem()));
        node.config.cluster.tls = Some(PeerTlsConfig { cert, key, ca: Some(ca) });
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("the folder is writable");
        path
    }

    /// Files with neither a readable certificate nor a readable key. Each has words of the error where a certificate is
    /// wanted, and where a key is.
    fn bad_files(&self) -> Vec<(PathBuf, [&'static str; 2])> {
        let [pem, key] = [&self.config.tls.cert, &self.config.tls.key]
            .map(|path| fs::read_to_string(path).expect("`dev` writes it"));
        let der = rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).expect("`dev` writes PEM");
        let folder = self.path("folder");
        fs::create_dir_all(&folder).expect("the folder is writable");
        fs::copy(&self.config.tls.key, folder.join("other.key")).expect("the folder is writable");
        let (circle, dangling, pipe) = (self.path("circle"), self.path("dangling"), self.path("pipe"));
        drop((symlink(&circle, &circle), symlink("/nowhere", &dangling)));
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("the folder is writable");
        let socket = self.path("socket");
        drop(UnixListener::bind(&socket));
        let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        let both = |words| [words, words];
        let [no_certificate, no_key] = ["holds no readable PEM certificate", "holds no readable PEM private key"];
        vec![
            (
                self.path("missing"),
                both("No such file or directory (os error 2); put the file there, or correct the path"),
            ),
            (folder, ["it is a folder; name a regular file"; 2]),
            (circle, both("symbolic links")),
            (dangling, both("it is a link to /nowhere, which does not exist; correct the link")),
            (pipe, both("it is a pipe; name a regular file")),
            (socket, both("it is a socket; name a regular file")),
            ("/dev/zero".into(), both("it is a device; name a regular file")),
            ("/dev/null".into(), both("is empty")),
            (self.file("empty", ""), both("is empty")),
            (self.file("blank", "\n\n"), both("is empty")),
            (self.file("text", "not a certificate\n"), [no_certificate, no_key]),
            (self.file("bytes", [0xff, 0, 0xfe]), [no_certificate, no_key]),
            (self.file("truncated", &pem[..pem.len() / 2]), [no_certificate, "a certificate and no private key"]),
            (self.file("cut.key", &key[..key.len() / 2]), ["a private key and no certificate", no_key]),
            (self.file("damaged", block("CERTIFICATE") + &block("PRIVATE KEY")), both("holds")),
            (
                self.file("request", block("CERTIFICATE REQUEST")),
                ["that the CA issued for it", "a certificate request"],
            ),
            (self.file("public", block("PUBLIC KEY")), both("holds a public key and no")),
            (
                self.file("der", &der),
                ["`openssl x509 -inform DER -in ", "holds a certificate in DER and no private key"],
            ),
            (
                self.file("pfx", b"\x30\x82\x0a\x00\x02\x01\x03\x30\x82\x09\x00"),
                ["`openssl pkcs12 -nokeys ", "`openssl pkcs12 -nocerts "],
            ),
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
    let node = Prepared::with_peer_files();
    for (bad, [of_certificate, of_key]) in node.bad_files() {
        for (setting, adjust) in TLS_FILES {
            let words = match setting {
                // A CA may be a folder, and the error names the bad file in it.
                setting if setting.ends_with("ca") && bad.is_dir() => "CA certificates and nothing else",
                setting if setting.ends_with("key") => of_key,
                _ => of_certificate,
            };
            let ended = node.start(|config| adjust(config, bad.clone()));
            ended.says(2, setting, &[bad.to_str().expect("our names are text"), words]);
        }
    }
    assert!(!node.path("dev/node-1/data/log").exists(), "a start that failed changes nothing");
}

#[test]
fn files_that_do_not_belong_together_are_named() {
    let mut node = Prepared::with_peer_files();
    let PeerTlsConfig { cert: peer_cert, key: peer, ca } = peer_files(&mut node.config).clone();
    let (api, ca) = (node.config.tls.key.clone(), ca.expect("the node has it"));
    let words = ["private key of another certificate", "peer.key", "api.crt"];
    node.start(|config| config.tls.key = peer.clone()).says(2, "tls.key", &words);
    node.start(|config| peer_files(config).key = api.clone()).says(2, "cluster.tls.key", &["api.key", "peer.crt"]);
    for (setting, of_api) in [("tls.key", true), ("cluster.tls.key", false)] {
        let own = if of_api { &node.config.tls.cert } else { &peer_cert };
        let [ca, own] = [&ca, own].map(|path| fs::read_to_string(path).expect("the file is there"));
        let chain = node.file("chain.crt", ca + &own);
        let ended = node.start(|config| {
            *(if of_api { &mut config.tls.cert } else { &mut peer_files(config).cert }) = chain.clone();
        });
        ended.says(2, setting, &["chain.crt", "the one at place 2: put that one first"]);
    }
    let other = node.config.tls.cert.clone();
    let ended = node.start(|config| peer_files(config).ca = Some(other.clone()));
    ended.says(2, "cluster.tls.cert", &["peer.crt", "no CA in cluster.tls.ca signed it"]);
    let api = node.config.tls.clone();
    let ended = node.start(|config| {
        let files = peer_files(config);
        (files.cert, files.key) = (api.cert.clone(), api.key.clone());
    });
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
            config.cluster.tls = Some(PeerTlsConfig { cert, key, ca: Some(ca.clone()) });
        });
        ended.says(2, "cluster.tls.cert", &["p.crt", words]);
    }
}

#[test]
fn a_key_for_peers_that_cannot_be_used_is_named_and_stays() {
    let node = Prepared::new();
    let key = node.config.cluster.data.join("peer.key");
    let other = fs::read_to_string(&node.config.tls.key).expect("`dev` writes it");
    for content in ["", "text", &other, &other[..other.len() / 2]] {
        fs::write(&key, content).expect("the folder is writable");
        let words = [key.to_str().expect("text"), "does not hold the key that this node made", "Never delete it"];
        node.start(|_| {}).says(2, "cluster.data", &words);
        assert_eq!(fs::read_to_string(&key).expect("it is still there"), content);
    }
    fs::remove_file(&key).expect("the file is ours");
    fs::create_dir(&key).expect("the folder is writable");
    node.start(|_| {}).says(2, "cluster.data", &["it is a folder", "Never delete this file"]);
    fs::remove_dir(&key).expect("the folder is ours");
    // Nobody can say any more whether this node belongs to a cluster.
    fs::write(node.config.cluster.data.join("cluster.id"), vec![7; 32_768]).expect("the folder is writable");
    node.start(|_| {}).says(2, "cluster.data", &["peer.key is missing", "put the file back"]);
    assert!(!key.exists());
}

#[test]
fn a_data_folder_and_an_audit_file_that_cannot_be_used_are_named() {
    let node = Prepared::new();
    let file = node.file("file", "");
    let data = |path: &Path| node.start(|config| config.cluster.data = path.to_owned());
    data(Path::new("/proc/nope")).says(2, "cluster.data", &["/proc/nope", "No such file"]);
    data(&file).says(2, "cluster.data", &[file.to_str().expect("text"), "not a directory; name a folder"]);
    let link = node.path("link");
    symlink("/nowhere/data", &link).expect("the folder is writable");
    data(&link).says(2, "cluster.data", &["a link to a folder that does not exist; make the folder"]);
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
fn a_data_folder_that_needs_somebody_ends_the_start_with_2() {
    let node = Prepared::new();
    let data = &node.config.cluster.data;
    // This start makes the key for peers, which the next ones must find.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound");
    node.start(|config| config.address = address).says(1, "address", &["in use"]);
    fs::create_dir_all(data.join("log")).expect("the folder is writable");
    fs::write(data.join("log/x"), "x").expect("the folder is writable");
    node.start(|_| {}).says(2, "cluster.data", &["says which cluster they belong to", "Delete nothing"]);
    fs::remove_dir_all(data.join("log")).expect("the folder is writable");
    fs::write(data.join("cluster.id"), vec![7; 32_768]).expect("the folder is writable");
    let words = ["nothing beside it says whose folder this is", "name an empty folder instead"];
    node.start(|_| {}).says(2, "cluster.data", &words);
}

#[test]
fn an_address_that_the_node_cannot_listen_on_is_named() {
    let node = Prepared::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().map(|address| (taken, address)).expect("it is bound");
    // RFC 5737 reserves this address, so no machine has it.
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
