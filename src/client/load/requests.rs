//! The requests of a load test, built before it starts so that sending one costs little.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Uri};

use super::bench_keys::{BenchKeys, CONTEXT};
use super::{Http, LoadOperation, LoadPlan};
use crate::client::Endpoint;
use crate::policy::{ActionKind, KeyAction, SystemAction};

/// The requests to one server.
pub struct Requests {
    /// What precedes the path in a URI: scheme and host over HTTP/2, nothing over HTTP/1.1.
    base: String,
    headers: HeaderMap,
    prefix: String,
    /// By operation: one request for each key, or a single one if the operation uses no key.
    prepared: Vec<(LoadOperation, Vec<Template>)>,
}

struct Template {
    method: Method,
    uri: Uri,
    body: Bytes,
}

impl Requests {
    /// Builds the requests of a plan to one server.
    pub fn new(plan: &LoadPlan, endpoint: &Endpoint, keys: &BenchKeys) -> Self {
        let mut headers = HeaderMap::new();
        let base = match plan.http {
            Http::One => {
                let host = HeaderValue::try_from(endpoint.authority()).expect("an endpoint is a valid host");
                headers.insert(HOST, host);
                String::new()
            }
            Http::Two => endpoint.to_string(),
        };
        let mut requests = Self { base, headers, prefix: keys.prefix.clone(), prepared: Vec::new() };
        for operation in plan.mix.operations().filter(|operation| *operation != LoadOperation::Create) {
            requests.prepared.push((operation, requests.templates(operation, keys)));
        }
        requests
    }

    /// A request of an operation, on the key that a random number selects.
    pub fn prepared(&self, operation: LoadOperation, random: usize) -> Request<Full<Bytes>> {
        let list = self.prepared.iter().find(|(one, _)| *one == operation).map(|(_, list)| list);
        let list = list.expect("every operation of the mix has its requests");
        self.request(&list[random % list.len()])
    }

    /// The request that creates the `count`th key of a client.
    pub fn create(&self, worker: usize, count: u64) -> Request<Full<Bytes>> {
        let path = action(LoadOperation::Create).on(&BenchKeys::created_name(&self.prefix, worker, count)).path();
        self.request(&self.template(Method::PUT, &path, String::new()))
    }

    fn request(&self, template: &Template) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(template.body.clone()));
        *request.method_mut() = template.method.clone();
        *request.uri_mut() = template.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    fn templates(&self, operation: LoadOperation, keys: &BenchKeys) -> Vec<Template> {
        let once = |name| vec![self.template(Method::GET, &action(operation).on(name).path(), String::new())];
        match operation {
            LoadOperation::Status | LoadOperation::Connect => once(""),
            LoadOperation::List => once(&keys.prefix),
            _ => keys.list.iter().map(|(name, ciphertext)| self.on_key(operation, name, ciphertext)).collect(),
        }
    }

    fn on_key(&self, operation: LoadOperation, name: &str, ciphertext: &[u8]) -> Template {
        let context = BASE64_STANDARD.encode(CONTEXT);
        let body = match operation {
            LoadOperation::Generate => format!(r#"{{"context":"{context}"}}"#),
            // The context also serves as plaintext and message: a data key has 32 bytes too.
            LoadOperation::Encrypt => format!(r#"{{"plaintext":"{context}","context":"{context}"}}"#),
            LoadOperation::Decrypt => {
                format!(r#"{{"ciphertext":"{}","context":"{context}"}}"#, BASE64_STANDARD.encode(ciphertext))
            }
            LoadOperation::Hmac => format!(r#"{{"message":"{context}"}}"#),
            _ => String::new(),
        };
        let method = if operation == LoadOperation::Describe { Method::GET } else { Method::PUT };
        self.template(method, &action(operation).on(name).path(), body)
    }

    fn template(&self, method: Method, path: &str, body: String) -> Template {
        let uri =
            Uri::try_from(format!("{}{path}", self.base)).expect("names of bench keys and endpoints need no escapes");
        Template { method, uri, body: body.into() }
    }
}

/// What the requests of an operation ask for.
fn action(operation: LoadOperation) -> ActionKind {
    match operation {
        LoadOperation::Create => KeyAction::Create.into(),
        LoadOperation::Generate => KeyAction::Generate.into(),
        LoadOperation::Encrypt => KeyAction::Encrypt.into(),
        LoadOperation::Decrypt => KeyAction::Decrypt.into(),
        LoadOperation::Hmac => KeyAction::Hmac.into(),
        LoadOperation::Describe => KeyAction::Describe.into(),
        LoadOperation::List => KeyAction::List.into(),
        LoadOperation::Status => SystemAction::Status.into(),
        LoadOperation::Connect => SystemAction::Version.into(),
    }
}
