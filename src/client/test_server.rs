//! An HTTPS server on a free port, whose answers a test chooses.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{ApiClient, Endpoint};
use crate::config::TlsConfig;
use crate::error_code::{ErrorCode, HEADER};
use crate::tls::{Alpn, ClientTls, Credentials, PublicTls, Trust};

/// How a test server answers a request.
pub type Handler = dyn Fn(Request<Bytes>) -> Response<Full<Bytes>> + Send + Sync;

/// An error answer with a code, and with a message that means nothing.
pub fn refuse(status: u16, code: ErrorCode) -> Response<Full<Bytes>> {
    let body = Full::new(Bytes::from_static(br#"{"message":"so"}"#));
    Response::builder().status(status).header(HEADER, code.as_str()).body(body).unwrap()
}

/// The server side of TLS, and the file with the certificate that a client must trust.
pub struct TestServerTls {
    tls: PublicTls,
    pub ca: PathBuf,
    _folder: TempDir,
}

impl TestServerTls {
    /// Creates a new certificate for 127.0.0.1.
    pub fn new(certificate_required: bool) -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let config = TlsConfig {
            key,
            cert: cert.clone(),
            password: None,
            verify_clients: false,
            ca: None,
            proxies: Vec::new(),
            proxy_header: None,
        };
        Self { tls: PublicTls::load(&config, !certificate_required).unwrap(), ca: cert, _folder: folder }
    }
}

/// A running test server, which stops when it is dropped.
pub struct TestServer {
    pub endpoint: Endpoint,
    pub tls: Arc<TestServerTls>,
    task: JoinHandle<()>,
}

impl TestServer {
    /// Starts a server with a certificate of its own.
    pub async fn start(handler: impl Fn(Request<Bytes>) -> Response<Full<Bytes>> + Send + Sync + 'static) -> Self {
        Self::start_with(Arc::new(TestServerTls::new(false)), handler).await
    }

    /// Starts a server with the certificate of another one.
    pub async fn start_with(
        tls: Arc<TestServerTls>,
        handler: impl Fn(Request<Bytes>) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() };
        let task = tokio::spawn(serve(listener, tls.clone(), Arc::new(handler)));
        Self { endpoint, tls, task }
    }

    /// A client of these endpoints that trusts this server.
    pub fn client(&self, endpoints: Vec<Endpoint>, alpn: Alpn) -> ApiClient {
        let trust = Trust::Ca(self.tls.ca.clone());
        ApiClient::new(endpoints, ClientTls::new(&Credentials::Nothing, &trust, alpn).unwrap())
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, tls: Arc<TestServerTls>, handler: Arc<Handler>) {
    while let Ok((tcp, _)) = listener.accept().await {
        tokio::spawn(serve_connection(tcp, tls.clone(), handler.clone()));
    }
}

async fn serve_connection(tcp: TcpStream, tls: Arc<TestServerTls>, handler: Arc<Handler>) {
    let Ok(accepted) = tls.tls.accept(tcp).await else { return };
    let service = service_fn(|request: Request<Incoming>| {
        let handler = handler.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Ok::<_, Infallible>(handler(Request::from_parts(parts, body)))
        }
    });
    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    let _ = server.serve_connection(TokioIo::new(accepted.stream), service).await;
}
