//! Any configuration, written as a file, reads back equal.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keyraft::config::{
    AuditConfig, AuditFileConfig, CacheConfig, ClusterConfig, Config, ConsistencyConfig, LimitsConfig, LogConfig,
    LogFormat, Password, PeerConfig, PeerTlsConfig, RouteConfig, SKIP_AUTH, SealConfig, SyslogAddress, SyslogConfig,
    TimingConfig, TlsConfig, render,
};
use keyraft::policy::{ActionKind, Identity, PATHS, Pattern, Policy, PolicyName};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::loaded;

#[test]
fn a_written_configuration_reads_back_equal() {
    for seed in 0..300 {
        let config = Draw(StdRng::seed_from_u64(seed)).config();
        let text = render(&config);
        assert_eq!(loaded(&text), config, "seed {seed}\n{text}");
    }
}

/// Draws random configurations that a file can express.
struct Draw(StdRng);

impl Draw {
    fn config(&mut self) -> Config {
        let proxies = self.identities();
        let (address, listen) = (self.address(1..30_000), self.address(30_000..60_000));
        Config {
            address: address.parse().unwrap(),
            admin: self.maybe(|draw| Identity::from_bytes(draw.0.random())),
            tls: TlsConfig {
                key: self.text().into(),
                cert: self.text().into(),
                password: self.maybe(|draw| Password(draw.text())),
                verify_clients: self.0.random(),
                ca: self.maybe(|draw| draw.text().into()),
                proxy_header: (!proxies.is_empty()).then(|| "X-Client_Cert".to_owned()),
                proxies,
            },
            api: self.api(),
            policies: self.policies(),
            keys: self.names(),
            deletion_window: self.time(0),
            cache: CacheConfig {
                any: self.time(0),
                unused: self.time(0),
                capacity: self.0.random_range(1..=10_000_000),
            },
            log: self.log(),
            audit: self.audit(),
            cluster: self.cluster(listen),
            seal: self.seal(),
            consistency: ConsistencyConfig { lease: self.time(1), offline: self.time(0) },
            limits: LimitsConfig {
                connections: self.0.random_range(1..=1_000_000),
                reserved_files: self.0.random_range(64..=1_000_000),
                streams: self.0.random_range(1..=65_536),
                handshake_timeout: self.time(1),
                header_timeout: self.time(1),
                first_request_timeout: self.time(1),
                write_timeout: self.time(1),
                idle_timeout: self.time(1),
                max_age: self.time(1),
                drain_timeout: self.time(0),
                audit_queue: self.0.random_range(16..=16_777_216),
            },
        }
    }

    /// A text, not empty, with characters that mean something in YAML or in references to the environment.
    fn text(&mut self) -> String {
        const PARTS: [&str; 24] = [
            "a",
            "/",
            "node-1",
            "null",
            "~",
            "on",
            "0x1f",
            "1e5",
            ": ",
            " #",
            "'",
            "\"",
            "\\",
            "${PORT}",
            "$",
            "{",
            "}",
            "[",
            "*",
            "&",
            "\n",
            "\t",
            "é€😀",
            "\u{85}\u{2028}\u{feff}\u{7f}\u{0}",
        ];
        (0..self.0.random_range(1..6)).map(|_| *PARTS.choose(&mut self.0).unwrap()).collect()
    }

    fn maybe<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.0.random::<bool>().then(|| draw(self))
    }

    /// From `least` seconds to a minute.
    fn time(&mut self, least: u64) -> Duration {
        let ns = self.0.random_range(least * 1_000_000_000..=60_000_000_000);
        let precision = *[1, 1_000, 1_000_000, 1_000_000_000].choose(&mut self.0).unwrap();
        Duration::from_nanos(ns.div_ceil(precision) * precision)
    }

    fn address(&mut self, ports: std::ops::Range<u16>) -> String {
        let host = *["0.0.0.0", "127.0.0.1", "[::1]"].choose(&mut self.0).unwrap();
        format!("{host}:{}", self.0.random_range(ports))
    }

    fn identities(&mut self) -> Vec<Identity> {
        let all: BTreeSet<[u8; 32]> = (0..self.0.random_range(0..3)).map(|_| self.0.random()).collect();
        all.into_iter().map(Identity::from_bytes).collect()
    }

    fn names(&mut self) -> Vec<String> {
        (0..self.0.random_range(0..4))
            .map(|i| format!("{}{i}", ["k", "null-", "1e", "0x"].choose(&mut self.0).unwrap()))
            .collect()
    }

    fn api(&mut self) -> BTreeMap<String, RouteConfig> {
        let routes: Vec<_> = PATHS.choose_multiple(&mut self.0, 3).map(|row| row.path).collect();
        let settings = |route: &str| {
            let skip_auth = SKIP_AUTH.map(ActionKind::path).contains(&route) && self.0.random();
            let timeout = self.maybe(|draw| draw.time(1));
            (route.trim_end_matches('/').to_owned(), RouteConfig { skip_auth, timeout })
        };
        routes.into_iter().map(settings).collect()
    }

    fn policies(&mut self) -> BTreeMap<PolicyName, (Policy, Vec<Identity>)> {
        let names = self.names();
        names.iter().map(|name| (PolicyName::parse(name).unwrap(), (self.policy(), self.identities()))).collect()
    }

    fn policy(&mut self) -> Policy {
        Policy::new(self.patterns(), self.patterns())
    }

    fn patterns(&mut self) -> Vec<Pattern> {
        const STARTS: [&str; 4] = ["/v1/key/create/", "/v1/key/list/", "/v1/enclave/", "/"];
        let text = |draw: &mut Self| format!("{}{}*", STARTS.choose(&mut draw.0).unwrap(), draw.text());
        let texts: Vec<_> = (0..self.0.random_range(0..9)).map(|_| text(self)).collect();
        texts.iter().chain([&"*".to_owned()]).filter_map(|text| Pattern::written(text).ok()).collect()
    }

    fn log(&mut self) -> LogConfig {
        let level = *["info", "WARN", "info,keyraft=debug"].choose(&mut self.0).unwrap();
        let format = *[LogFormat::Text, LogFormat::Json].choose(&mut self.0).unwrap();
        LogConfig { error: self.0.random(), audit: self.0.random(), level: level.to_owned(), format }
    }

    fn audit(&mut self) -> AuditConfig {
        let path = self.text().into();
        let file = AuditFileConfig {
            path,
            max_size: self.0.random_range(65_536..=1 << 40),
            max_age: self.time(60).max(Duration::from_secs(60)),
            keep: self.0.random_range(1..=100_000),
        };
        let address = match self.0.random_range(0..3) {
            0 => SyslogAddress::Unix(self.text().into()),
            1 => SyslogAddress::Udp("[::1]:514".to_owned()),
            _ => SyslogAddress::Tcp("log.example.com:601".to_owned()),
        };
        let syslog = SyslogConfig { address, ..SyslogConfig::default() };
        // A required audit trail needs a sink, and the file is one.
        AuditConfig { required: self.0.random(), file: Some(file), syslog: self.maybe(|_| syslog) }
    }

    fn cluster(&mut self, listen: String) -> ClusterConfig {
        let count = self.0.random_range(1..6);
        let peers: Vec<_> = (0..count).map(Self::peer).collect();
        let heartbeat = self.time(0).max(Duration::from_millis(1)).min(Duration::from_secs(9));
        let election_min = heartbeat + Duration::from_millis(self.0.random_range(1..1000));
        let election_max = election_min + Duration::from_nanos(self.0.random_range(1..1000));
        ClusterConfig {
            name: peers.choose(&mut self.0).unwrap().name.clone(),
            listen: listen.parse().unwrap(),
            tls: self.maybe(|draw| PeerTlsConfig {
                cert: draw.text().into(),
                key: draw.text().into(),
                ca: draw.maybe(|draw| draw.text().into()),
            }),
            data: self.text().into(),
            bootstrap_key: self.maybe(|draw| draw.text().into()),
            vm_generation: self.maybe(|draw| draw.text().into()),
            peers,
            handshakes: self.0.random_range(1..=65_536),
            connections: self.0.random_range(65_537..=1_000_000),
            timing: TimingConfig { heartbeat, election_min, election_max },
            snapshot: keyraft::config::SnapshotConfig {
                log_bytes: self.0.random_range(65_536..=1 << 40),
                keep_entries: self.0.random_range(0..=10_000_000),
                checkpoint_every: Duration::from_millis(self.0.random_range(100..=3_600_000)),
                transfer_timeout: Duration::from_millis(self.0.random_range(1_000..=86_400_000)),
            },
            storage: keyraft::config::StorageConfig {
                low: self.maybe(|draw| draw.0.random_range(4 << 20..=1 << 50)),
                reserve: self.maybe(|draw| draw.0.random_range(0..=1 << 20)),
                stall: Duration::from_millis(self.0.random_range(100..=600_000)),
            },
        }
    }

    fn peer(i: usize) -> PeerConfig {
        let host = ["10.0.0.1", "[::1]", "node.example.com"][i % 3];
        PeerConfig {
            name: format!("{}-{i}", i * 10),
            peer_address: format!("{host}:{}", 7473 + i),
            api_address: format!("{host}:{}", 7373 + i),
        }
    }

    fn seal(&mut self) -> SealConfig {
        if self.0.random() { SealConfig::File(self.text().into()) } else { SealConfig::Env("ROOT_KEY".to_owned()) }
    }
}
