//! Who may do what is as the contract says, for 100,000 made-up requests: the API and an oracle written from the
//! contract alone agree on every one of them.

pub mod cases;
mod oracle;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ::http::{Request, Version};
use bytes::Bytes;
use futures::future::join_all;
use http_body_util::{BodyExt, Full};
use keyraft::config::{Config, RouteConfig};
use keyraft::http::{Answer, Api, ConnectedClient};
use keyraft::policy::{Identity, Pattern, Policy, PolicyName};
use keyraft::tls::{CertificateError, PublicTls};
use tokio_util::sync::CancellationToken;

use self::cases::Chance;
use self::oracle::{Asker, Patterns, Verdict};
use super::cluster;
use super::streams::Lines;
use crate::support::api_key::ApiKey;
use crate::support::cluster::TestCluster;
use crate::support::connection;
use crate::support::http::{self, Http};
use crate::support::settings::{self, ADMIN, ADMIN_KEY, APP, APP_KEY, OPS, OPS_KEY};

/// A failure names it, and the request; the same seed makes the same requests.
const SEED: u64 = 0x004b_4559_5241_4654;
const POLICIES: usize = 200;
const CASES: usize = 100_000;
const OVER_TLS: usize = 400;
/// Requests that are under way at a time.
const LANES: usize = 8;

struct Case {
    asker: Asker,
    method: &'static str,
    target: String,
    expected: Verdict,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_and_the_oracle_agree() {
    let mut chance = Chance(SEED);
    let policies: Vec<_> = (0..POLICIES).map(|_| cases::policy(&mut chance)).collect();
    let cases: Vec<_> = (0..CASES).map(|_| case(&mut chance, &policies)).collect();
    assert_all_kinds(&cases);
    let node = start(&policies).await;
    let (api, tls) = (node.api(0), Arc::new(public_tls(&node)));
    let lanes = cases.chunks(CASES.div_ceil(LANES)).map(|lane| disagreements(&api, &tls, lane));
    let wrong: Vec<_> = join_all(lanes).await.into_iter().flatten().collect();
    assert!(
        wrong.is_empty(),
        "seed {SEED:#x}: {} of {CASES}:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn they_agree_over_tls_too() {
    let mut chance = Chance(SEED + 1);
    let policies: Vec<_> = (0..POLICIES).map(|_| cases::policy(&mut chance)).collect();
    let node = start(&policies).await;
    let mut wrong = Vec::new();
    for _ in 0..OVER_TLS {
        let asker = chance.one_of(&[Asker::Unknown, Asker::Admin, Asker::Assigned(0), Asker::Assigned(1)]);
        let mut case = case_of(&mut chance, &policies, asker);
        // A stream has an end then, and nothing else minds.
        case.target = case.target.split('?').next().unwrap_or_default().to_owned() + "?follow=false";
        let client = connection::Client::new(credential(&case.asker));
        let version = chance.one_of(&[Http::One, Http::Two]);
        let ask = async |method| {
            let request = http::Request::new(method, &case.target, Some(""));
            http::send(&node.endpoint(0), &client, version, &request).await.expect("the node answers")
        };
        let mut answer = ask(case.method).await;
        if asks_again(case.method, answer.status) {
            answer = ask("GET").await;
            assert_eq!(answer.status, 400, "HEAD {}", case.target);
        }
        let got = verdict(answer.status, answer.header("content-type"), &answer.body);
        wrong.extend((got != case.expected).then(|| disagreement(&case, got)));
    }
    assert!(wrong.is_empty(), "seed {:#x}:\n{}", SEED + 1, wrong.join("\n"));
}

/// A deny rule that another path of the same action gets round would deny nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_for_one_path_of_a_log_decides_every_path_of_it() {
    let node = start(&[Patterns::default()]).await;
    let app = node.user(connection::Client::new(credential(&Asker::Assigned(0))));
    for log in ["/v1/log/audit", "/v1/log/error"] {
        let paths = ["", "/", "/trace", "/trace/"].map(|end| format!("{log}{end}"));
        for pattern in &paths {
            let allows = Patterns { allow: vec![pattern.clone()], deny: Vec::new() };
            let denies = Patterns { allow: vec!["/v1/log/*".to_owned()], deny: vec![pattern.clone()] };
            for (patterns, expected) in [(allows, Verdict::Permitted), (denies, Verdict::Forbidden)] {
                let body = serde_json::json!({ "allow": patterns.allow, "deny": patterns.deny });
                node.admin().ask(0, "PUT", "/v1/policy/write/p0", Some(&body)).await.expect("a good policy");
                for path in &paths {
                    assert_eq!(
                        oracle::judge(std::slice::from_ref(&patterns), &Asker::Assigned(0), "GET", path),
                        expected
                    );
                    if expected == Verdict::Permitted {
                        let lines = Lines::open(&node, 0, APP_KEY, Http::Two, path).await;
                        assert_eq!(lines.content_type, "application/x-ndjson", "{pattern} and {path}");
                    } else {
                        let refused = app.ask(0, "GET", path, None).await.expect_err(path);
                        assert_eq!(refused.status, Some(403), "{pattern} and {path}");
                    }
                }
            }
        }
    }
}

/// A node with these policies, each with one identity, where some routes skip authentication.
async fn start(policies: &[Patterns]) -> TestCluster {
    cluster(1, |config: &mut Config| {
        let open = RouteConfig { skip_auth: true, timeout: None };
        config.api = oracle::OPEN.map(|path| (path.to_owned(), open)).into();
        let named = |(number, policy): (usize, &Patterns)| {
            let name = PolicyName::parse(&format!("p{number}")).expect("a name");
            (name, (Policy::new(parsed(&policy.allow), parsed(&policy.deny)), vec![identity(number)]))
        };
        config.policies = policies.iter().enumerate().map(named).collect::<BTreeMap<_, _>>();
    })
    .await
}

fn parsed(patterns: &[String]) -> Vec<Pattern> {
    patterns.iter().map(|text| Pattern::parse(text).expect("a pattern that can match")).collect()
}

/// The identity of a policy; the first two belong to API keys, so that somebody can ask over TLS.
fn identity(number: usize) -> Identity {
    match number {
        0 => settings::identity(APP),
        1 => settings::identity(OPS),
        _ => {
            let mut bytes = [0xee; 32];
            bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
            Identity::from_bytes(bytes)
        }
    }
}

fn credential(asker: &Asker) -> Option<crate::support::certificates::Credential> {
    let key = match asker {
        Asker::Admin => ADMIN_KEY,
        Asker::Assigned(0) => APP_KEY,
        Asker::Assigned(_) => OPS_KEY,
        Asker::Unknown | Asker::Unassigned => return None,
    };
    Some(ApiKey::parse(key).credential())
}

fn case(chance: &mut Chance, policies: &[Patterns]) -> Case {
    let asker = match chance.below(100) {
        0..3 => Asker::Unknown,
        3..6 => Asker::Admin,
        6..10 => Asker::Unassigned,
        _ => Asker::Assigned(chance.below(POLICIES)),
    };
    case_of(chance, policies, asker)
}

fn case_of(chance: &mut Chance, policies: &[Patterns], asker: Asker) -> Case {
    let number = if let Asker::Assigned(number) = asker { number } else { chance.below(POLICIES) };
    let near = [&policies[number].allow[..], &policies[number].deny[..]].concat();
    let target = cases::target(chance, &near);
    let method = cases::method(chance, &target);
    let expected = oracle::judge(policies, &asker, method, &target);
    let query = chance.one_of(&["", "", "", "?", "?enclave=x", "?/../%zz"]);
    Case { asker, method, target: target + query, expected }
}

/// Requests that are all alike would agree on anything.
fn assert_all_kinds(cases: &[Case]) {
    let mut kinds = HashMap::<_, usize>::new();
    cases.iter().for_each(|case| *kinds.entry(case.expected).or_default() += 1);
    for (verdict, percent) in [
        (Verdict::BadPath, 1),
        (Verdict::UnknownPath, 3),
        (Verdict::WrongMethod, 3),
        (Verdict::NoCertificate, 1),
        (Verdict::Forbidden, 15),
        (Verdict::Permitted, 15),
    ] {
        let share = kinds.get(&verdict).copied().unwrap_or_default() * 100 / cases.len();
        assert!(share >= percent, "only {share} % of the requests are {verdict:?}: {kinds:?}");
    }
}

fn public_tls(node: &TestCluster) -> PublicTls {
    PublicTls::load(&node.config(0).tls, true).expect("the certificates are there")
}

async fn disagreements(api: &Arc<Api>, tls: &Arc<PublicTls>, cases: &[Case]) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in cases {
        let certificate = match case.asker {
            Asker::Unknown if case.target.len() % 2 == 0 => Err(CertificateError::Several),
            Asker::Unknown => Ok(None),
            Asker::Admin => Ok(Some(settings::identity(ADMIN))),
            Asker::Unassigned => Ok(Some(Identity::from_bytes([7; 32]))),
            Asker::Assigned(number) => Ok(Some(identity(number))),
        };
        let client =
            ConnectedClient { ip: None, certificate, tls: Arc::clone(tls), draining: CancellationToken::new() };
        let ask = async |method| {
            let request = Request::builder().method(method).uri(&case.target).version(Version::HTTP_2);
            let request = request.body(Full::<Bytes>::default()).expect("a request that HTTP can carry");
            let (parts, mut body) = request.into_parts();
            api.answer(&client, &parts, &mut body).await
        };
        let mut answer = ask(case.method).await;
        if asks_again(case.method, answer.status().as_u16()) {
            answer = ask("GET").await;
            assert_eq!(answer.status().as_u16(), 400, "HEAD {}", case.target);
        }
        let got = verdict_of(answer).await;
        wrong.extend((got != case.expected).then(|| disagreement(case, got)));
    }
    wrong
}

async fn verdict_of(answer: Answer) -> Verdict {
    let status = answer.status().as_u16();
    let content_type = answer.headers().get("content-type").cloned();
    // A stream that is served has no end.
    let body = if status == 400 { answer.collect().await.expect("a body").to_bytes() } else { Bytes::new() };
    verdict(status, content_type.as_ref().and_then(|value| value.to_str().ok()), &body)
}

/// An answer to HEAD has no body to say which 400 it is, but it has the status of GET, whose answer has one.
fn asks_again(method: &str, status: u16) -> bool {
    method == "HEAD" && status == 400
}

fn verdict(status: u16, content_type: Option<&str>, body: &[u8]) -> Verdict {
    let says = |text: &str| body.starts_with(format!("{{\"message\":\"{text}").as_bytes());
    match status {
        400 if says("invalid request path") => Verdict::BadPath,
        400 if says("tls: ") => Verdict::NoCertificate,
        403 => Verdict::Forbidden,
        404 if content_type.is_some_and(|value| value.starts_with("text/plain")) => Verdict::UnknownPath,
        405 => Verdict::WrongMethod,
        _ => Verdict::Permitted,
    }
}

fn disagreement(case: &Case, got: Verdict) -> String {
    format!("{:?} {} {}: {got:?}, and the oracle says {:?}", case.asker, case.method, case.target, case.expected)
}
