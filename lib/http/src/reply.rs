//! Requests and answers as handlers see them.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

/// Method, path with query, headers.
pub type RequestHead = hyper::http::request::Parts;

/// An answer, whole in memory.
pub type Reply = Response<Full<Bytes>>;

/// An answer of plain text.
#[must_use]
pub fn text(status: u16, body: impl Into<Bytes>) -> Reply {
    with_type(
        status,
        HeaderValue::from_static("text/plain; charset=utf-8"),
        body,
    )
}

/// An answer with a content type.
#[must_use]
pub fn with_type(status: u16, content_type: HeaderValue, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply
}

/// The answer for a path that nobody serves, in the words of Go's library.
#[must_use]
pub fn not_found() -> Reply {
    let mut reply = text(404, "404 page not found\n");
    let nosniff = (
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    reply.headers_mut().insert(nosniff.0, nosniff.1);
    reply
}
