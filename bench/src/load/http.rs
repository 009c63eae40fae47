//! Requests of DNS over HTTPS (RFC 8484), made beforehand.

use std::io;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};

use crate::query::Queries;

/// One request for each query.
#[derive(Clone)]
pub(super) struct Requests(Arc<[(Uri, Option<Bytes>)]>);

impl Requests {
    pub(super) fn new(name: &str, queries: &Queries, get: bool) -> io::Result<Self> {
        let base = format!("https://{name}/dns-query");
        let requests = (0..queries.len()).map(|number| {
            let query = queries.get(number);
            let (uri, body) = if get {
                (format!("{base}?dns={}", URL_SAFE_NO_PAD.encode(query)), None)
            } else {
                (base.clone(), Some(Bytes::copy_from_slice(query)))
            };
            Ok((uri.parse::<Uri>().map_err(io::Error::other)?, body))
        });
        Ok(Self(requests.collect::<io::Result<_>>()?))
    }

    /// Head and body of request number `number`.
    pub(super) fn get(&self, number: usize) -> (Request<()>, Option<Bytes>) {
        let (uri, body) = &self.0[number];
        let mut request = Request::new(());
        *request.uri_mut() = uri.clone();
        let message = HeaderValue::from_static("application/dns-message");
        request.headers_mut().insert(header::ACCEPT, message.clone());
        if let Some(body) = body {
            *request.method_mut() = Method::POST;
            request.headers_mut().insert(header::CONTENT_TYPE, message);
            request
                .headers_mut()
                .insert(header::CONTENT_LENGTH, body.len().into());
        }
        (request, body.clone())
    }
}

/// Any status but 200 is no answer.
pub(super) fn check<T>(response: &http::Response<T>) -> io::Result<()> {
    match response.status() {
        http::StatusCode::OK => Ok(()),
        status => Err(io::Error::other(format!(
            "the server answers with status {status}"
        ))),
    }
}
