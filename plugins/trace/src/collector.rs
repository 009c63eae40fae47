//! The way to a collector: an HTTP/1.1 connection that is kept.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::target::Target;

/// An answer says next to nothing; a longer one costs the connection.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) body: Bytes,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// A collector and the connection to it.
pub(crate) struct Collector {
    target: Target,
    tls: Option<TlsConnector>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Collector {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            target,
            tls: None,
            connection: None,
        }
    }

    /// Sends a batch, and gives the status that the collector answered with within `patience`.
    ///
    /// # Errors
    ///
    /// It cannot be reached, does not answer in time, or its answer is not HTTP.
    pub(crate) async fn send(&mut self, batch: &Batch, patience: Duration) -> io::Result<StatusCode> {
        match timeout(patience, self.exchange(batch)).await {
            Ok(result) => result,
            Err(_) => {
                self.connection = None;
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no answer within {patience:?}"),
                ))
            }
        }
    }

    async fn exchange(&mut self, batch: &Batch) -> io::Result<StatusCode> {
        // A kept connection may have been closed by the other side meanwhile.
        if let Some(mut kept) = self.connection.take()
            && kept.ready().await.is_ok()
            && let Ok(response) = kept.send_request(self.request(batch)?).await
        {
            return self.finish(kept, response).await;
        }
        let mut connection = self.connect().await?;
        let response = connection.send_request(self.request(batch)?).await;
        self.finish(connection, response.map_err(io::Error::other)?).await
    }

    /// Reads the answer to its end, so that the connection can be kept.
    async fn finish(
        &mut self,
        connection: SendRequest<Full<Bytes>>,
        response: Response<Incoming>,
    ) -> io::Result<StatusCode> {
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
        if body.collect().await.is_ok() {
            self.connection = Some(connection);
        }
        Ok(status)
    }

    fn request(&self, batch: &Batch) -> io::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.target.path)
            .header(HOST, self.target.authority())
            .header(USER_AGENT, concat!("catena/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, HeaderValue::from_static(batch.content_type));
        for (name, value) in &batch.headers {
            request = request.header(HeaderName::from_static(name), value);
        }
        request
            .body(Full::new(batch.body.clone()))
            .map_err(io::Error::other)
    }

    async fn connect(&mut self) -> io::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect((self.target.host.as_str(), self.target.port)).await?;
        stream.set_nodelay(true)?;
        if !self.target.tls {
            return open(stream).await;
        }
        let name = ServerName::try_from(self.target.host.clone()).map_err(io::Error::other)?;
        let tls = match &self.tls {
            Some(tls) => tls.clone(),
            None => {
                let config = tokio::task::spawn_blocking(client_config);
                let tls = TlsConnector::from(config.await.map_err(io::Error::other)??);
                self.tls.insert(tls).clone()
            }
        };
        open(tls.connect(name, stream).await?).await
    }
}

async fn open<S>(stream: S) -> io::Result<SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (connection, work) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // It ends with the sender; what goes wrong with it, the sender hears of too.
    drop(tokio::spawn(work));
    Ok(connection)
}

/// Trusts the authorities that the system trusts. Reads files, so it may block.
fn client_config() -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    // Those that cannot be read are missed when a certificate is checked.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
