//! Answers to requests that are refused.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::render;

/// Why a request is refused: a status and a message, with one more header for some.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    message: String,
    header: Option<(HeaderName, HeaderValue)>,
}

/// What the audit says of a refused request.
#[derive(Clone, Debug)]
pub(crate) struct Reason(pub(crate) String);

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            header: None,
        }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn unauthorized() -> Self {
        let challenge = HeaderValue::from_static("Bearer realm=\"dynresolve\"");
        let message = "expected the header `Authorization: Bearer TOKEN` with the token of this instance";
        Self::new(StatusCode::UNAUTHORIZED, message).with(WWW_AUTHENTICATE, challenge)
    }

    pub(crate) fn forbidden() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "this address is in none of the networks that `api allow` names",
        )
    }

    pub(crate) fn no_service(fqdn: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no service {fqdn}"))
    }

    pub(crate) fn no_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "there is no such path: see /v1/openapi.json",
        )
    }

    pub(crate) fn method(allowed: &'static str) -> Self {
        let message = format!("expected one of the methods {allowed}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, message).with(ALLOW, HeaderValue::from_static(allowed))
    }

    pub(crate) fn timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "the body took too long")
    }

    pub(crate) fn too_large(most: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("expected a body of at most {most} bytes"),
        )
    }

    pub(crate) fn too_fast(wait: Duration) -> Self {
        // Whole seconds, of which the last one has begun.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let message = "more writes than `api rate-limit` allows";
        Self::new(StatusCode::TOO_MANY_REQUESTS, message).with(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the request failed inside of the server",
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = json(self.status, render::error(&self.message));
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response.extensions_mut().insert(Reason(self.message));
        response
    }
}

/// A response with a JSON body.
pub(crate) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
