//! What each path does.

use std::error::Error;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use super::Api;
use super::audit::Subject;
use super::refusal::{Refusal, json};
use crate::body;
use crate::names::{NameProblem, ServiceName};
use crate::render;
use crate::service::Service;
use crate::store::{Changed, Removed};

/// Largest body with one service, in bytes.
const MAX_BODY: usize = 1 << 20;

/// Largest body with all services, in bytes.
const MAX_STATE: usize = 10 << 20;

type Shared = State<Arc<Api>>;
type Name = Result<Path<String>, PathRejection>;

/// The description of the API.
pub(super) async fn openapi(method: Method) -> Response {
    match method {
        Method::GET | Method::HEAD => json(StatusCode::OK, include_str!("openapi.json")),
        _ => Refusal::method("GET, HEAD").into_response(),
    }
}

/// Every other path.
pub(super) async fn unknown() -> Refusal {
    Refusal::no_path()
}

/// `/v1/services`
pub(super) async fn services(State(api): Shared, method: Method) -> Result<Response, Refusal> {
    match method {
        Method::GET | Method::HEAD => {
            let list = move || {
                let (store, ttl) = (api.instance.store(), api.instance.config.ttl);
                render::services(&api.instance.zones, &store.snapshot(), ttl)
            };
            Ok(json(StatusCode::OK, aside(list).await?))
        }
        _ => Err(Refusal::method("GET, HEAD")),
    }
}

/// `/v1/services/{name}`
pub(super) async fn service(
    State(api): Shared,
    name: Name,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    match method {
        Method::GET | Method::HEAD => {
            let name = read_name(&api, name)?;
            let found = api.instance.store().get(&name);
            found
                .map(|service| shown(&api, &name, &service))
                .ok_or_else(|| Refusal::no_service(&name.fqdn()))
        }
        Method::PUT => {
            take_write(&api)?;
            let name = read_name(&api, name)?;
            let body = read_body(&api, &headers, body, MAX_BODY).await;
            let put = body.and_then(|body| Ok(body::service(&body)?)).map(|service| {
                api.instance.store().put(&name, &service);
                api.instance.wrote(&Changed::Names(vec![name.qname()]));
                (shown(&api, &name, &service), service.records)
            });
            Ok(about(&name, put))
        }
        Method::DELETE => {
            take_write(&api)?;
            let name = read_name(&api, name)?;
            let deleted = if api.instance.store().delete(&name) {
                api.instance.wrote(&Changed::Names(vec![name.qname()]));
                Ok((StatusCode::NO_CONTENT.into_response(), Vec::new()))
            } else {
                Err(Refusal::no_service(&name.fqdn()))
            };
            Ok(about(&name, deleted))
        }
        _ => Err(Refusal::method("DELETE, GET, HEAD, PUT")),
    }
}

/// `/v1/services/{name}/records`
pub(super) async fn records(
    State(api): Shared,
    name: Name,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    if method != Method::POST && method != Method::DELETE {
        return Err(Refusal::method("DELETE, POST"));
    }
    take_write(&api)?;
    let name = read_name(&api, name)?;
    let given = read_body(&api, &headers, body, MAX_BODY)
        .await
        .and_then(|body| Ok(body::records(&body)?));
    let written = given.and_then(|given| {
        let store = api.instance.store();
        let response = if method == Method::POST {
            let added = store.add(&name, &given.records, given.ttl);
            let service = added.map_err(|error| Refusal::bad_request(format!("records: {error}")))?;
            shown(&api, &name, &service)
        } else {
            match store.remove(&name, &given.records) {
                Removed::Missing => return Err(Refusal::no_service(&name.fqdn())),
                Removed::Left(service) => shown(&api, &name, &service),
                Removed::Deleted => StatusCode::NO_CONTENT.into_response(),
            }
        };
        api.instance.wrote(&Changed::Names(vec![name.qname()]));
        Ok((response, given.records))
    });
    Ok(about(&name, written))
}

/// `/v1/state`
pub(super) async fn state(
    State(api): Shared,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    if method != Method::PUT {
        return Err(Refusal::method("PUT"));
    }
    take_write(&api)?;
    let body = read_body(&api, &headers, body, MAX_STATE).await?;
    let zones = Arc::clone(&api.instance.zones);
    let replace = {
        let api = Arc::clone(&api);
        move || -> Result<(usize, Changed), Refusal> {
            let services = body::state(&body, &api.instance.zones)?;
            drop(body);
            Ok((services.len(), api.instance.store().replace(&services)))
        }
    };
    let (count, changed) = aside(replace).await??;
    api.instance.wrote(&changed);
    let mut response = json(StatusCode::OK, render::count(&zones, count));
    response.extensions_mut().insert(Subject::State(count));
    Ok(response)
}

impl From<body::BodyError> for Refusal {
    fn from(error: body::BodyError) -> Self {
        Self::bad_request(error.to_string())
    }
}

fn take_write(api: &Api) -> Result<(), Refusal> {
    api.access.take_write().map_err(Refusal::too_fast)
}

/// The name in the path.
fn read_name(api: &Api, name: Name) -> Result<ServiceName, Refusal> {
    let read = name
        .map_err(|_| NameProblem::Label)
        .and_then(|Path(name)| api.instance.zones.read(&name));
    read.map_err(|problem| Refusal::bad_request(format!("name: {problem}")))
}

/// The body, if it comes in time and is no larger than it may be.
async fn read_body(api: &Api, headers: &HeaderMap, body: Body, most: usize) -> Result<Vec<u8>, Refusal> {
    let announced = headers
        .get(axum::http::header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    if announced
        .and_then(|value| value.parse::<u64>().ok())
        .is_some_and(|length| length > most as u64)
    {
        return Err(Refusal::too_large(most));
    }
    let room = announced.and_then(|value| value.parse().ok()).unwrap_or(0);
    match timeout(api.limits.body, gather(Limited::new(body, most), room)).await {
        Err(_) => Err(Refusal::timeout()),
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(Refusal::too_large(most)),
        Ok(Err(error)) => Err(Refusal::bad_request(format!("the body: {error}"))),
    }
}

/// Gathers a body in one piece, without a second copy of a large one. `room` is the length that was announced.
async fn gather(mut body: Limited<Body>, room: usize) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    // What is announced need not come: large room is taken as it does.
    let mut gathered = Vec::with_capacity(room.min(MAX_BODY));
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            gathered.extend_from_slice(&data);
        }
    }
    Ok(gathered)
}

fn shown(api: &Api, name: &ServiceName, service: &Service) -> Response {
    let ttl = api.instance.config.ttl;
    json(
        StatusCode::OK,
        render::service(&api.instance.zones, name, service, ttl),
    )
}

/// Tells the audit what was written.
fn about(name: &ServiceName, written: Result<(Response, Vec<std::net::Ipv4Addr>), Refusal>) -> Response {
    let (mut response, records) = written.unwrap_or_else(|refusal| (refusal.into_response(), Vec::new()));
    response.extensions_mut().insert(Subject::Service {
        fqdn: name.fqdn(),
        records,
    });
    response
}

/// Runs what takes long on another thread.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Refusal::internal())
}
