//! The paths, and what is checked before each of them.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use super::refusal::Refusal;
use super::{Api, audit, endpoints};

/// Where the description of the API is, which needs no token.
pub(crate) const OPENAPI: &str = "/v1/openapi.json";

/// The client of a request; each has one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client(pub(crate) SocketAddr);

/// All paths. Methods are told apart by the endpoints, so that each refusal has the same form.
pub(crate) fn router(api: &Arc<Api>) -> Router {
    Router::new()
        .route(OPENAPI, any(endpoints::openapi))
        .route("/v1/services", any(endpoints::services))
        .route("/v1/services/{name}", any(endpoints::service))
        .route("/v1/services/{name}/records", any(endpoints::records))
        .route("/v1/state", any(endpoints::state))
        .fallback(endpoints::unknown)
        .layer(from_fn_with_state(Arc::clone(api), guard))
        .with_state(Arc::clone(api))
}

/// Lets in who may; counts each request, and logs each write.
async fn guard(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let client = request.extensions().get::<Client>().copied();
    let response = match check(&api, client, request.headers(), &path) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    let status = response.status().as_u16();
    api.instance.metrics.request(method.as_str(), status);
    if let Some(Client(client)) = client.filter(|_| is_write(&method)) {
        let zone = api.instance.zones.get(0).as_str();
        let line = audit::line(zone, client, &method, &path, status, response.extensions());
        tracing::info!(target: "plugin/dynresolve", "{line}");
    }
    response
}

fn check(api: &Api, client: Option<Client>, headers: &HeaderMap, path: &str) -> Result<(), Refusal> {
    if !client.is_some_and(|Client(client)| api.access.allows(client.ip())) {
        return Err(Refusal::forbidden());
    }
    let shown = headers
        .get(AUTHORIZATION)
        .is_some_and(|value| api.access.knows(value.as_bytes()));
    if !shown && path != OPENAPI {
        return Err(Refusal::unauthorized());
    }
    Ok(())
}

fn is_write(method: &Method) -> bool {
    ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}
