//! Every request of a load test, made beforehand.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Uri};

use super::bench_keys::{CONTEXT, Stock};
use super::{Http, LoadPlan, Operation};
use crate::client::Endpoint;

/// Makes the requests to one server.
pub struct Requests {
    /// What comes before the path in a URI.
    base: String,
    headers: HeaderMap,
    prefix: String,
    /// By operation; each list has one for each key.
    ready: Vec<(Operation, Vec<Template>)>,
}

struct Template {
    method: Method,
    uri: Uri,
    body: Bytes,
}

impl Requests {
    /// Those of the plan to one server.
    pub fn new(plan: &LoadPlan, endpoint: &Endpoint, stock: &Stock) -> Self {
        let mut headers = HeaderMap::new();
        let base = match plan.http {
            Http::One => {
                let host = HeaderValue::try_from(endpoint.authority()).expect("an endpoint is a valid host");
                headers.insert(HOST, host);
                String::new()
            }
            Http::Two => endpoint.to_string(),
        };
        let mut requests = Self { base, headers, prefix: stock.prefix.clone(), ready: Vec::new() };
        for operation in plan.mix.operations().filter(|operation| *operation != Operation::Create) {
            requests.ready.push((operation, requests.templates(operation, stock)));
        }
        requests
    }

    /// The request of an operation on a key that a random number chooses.
    pub fn ready(&self, operation: Operation, random: usize) -> Request<Full<Bytes>> {
        let list = self.ready.iter().find(|(one, _)| *one == operation).map(|(_, list)| list);
        let list = list.expect("every operation of the mix has its requests");
        self.request(&list[random % list.len()])
    }

    /// The request that creates the `count`th key of a client.
    pub fn create(&self, worker: usize, count: u64) -> Request<Full<Bytes>> {
        let path = format!("/v1/key/create/{}", Stock::created_name(&self.prefix, worker, count));
        self.request(&self.template(Method::PUT, &path, String::new()))
    }

    fn request(&self, template: &Template) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(template.body.clone()));
        *request.method_mut() = template.method.clone();
        *request.uri_mut() = template.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    fn templates(&self, operation: Operation, stock: &Stock) -> Vec<Template> {
        let keyless = |path: &str| vec![self.template(Method::GET, path, String::new())];
        match operation {
            Operation::Status => keyless("/v1/status"),
            Operation::Connect => keyless("/version"),
            Operation::List => keyless(&format!("/v1/key/list/{}", stock.prefix)),
            _ => stock.keys.iter().map(|(name, ciphertext)| self.on_key(operation, name, ciphertext)).collect(),
        }
    }

    fn on_key(&self, operation: Operation, name: &str, ciphertext: &[u8]) -> Template {
        let context = BASE64_STANDARD.encode(CONTEXT);
        let body = match operation {
            Operation::Generate => format!(r#"{{"context":"{context}"}}"#),
            // The context does for a plaintext and a message: it is 32 bytes too.
            Operation::Encrypt => format!(r#"{{"plaintext":"{context}","context":"{context}"}}"#),
            Operation::Decrypt => {
                format!(r#"{{"ciphertext":"{}","context":"{context}"}}"#, BASE64_STANDARD.encode(ciphertext))
            }
            Operation::Hmac => format!(r#"{{"message":"{context}"}}"#),
            _ => String::new(),
        };
        let method = if operation == Operation::Describe { Method::GET } else { Method::PUT };
        self.template(method, &format!("/v1/key/{}/{name}", operation.name()), body)
    }

    fn template(&self, method: Method, path: &str, body: String) -> Template {
        let uri = Uri::try_from(format!("{}{path}", self.base)).expect("key names and endpoints need no escapes");
        Template { method, uri, body: body.into() }
    }
}
