//! The link of the chain: chooses the queries that are followed, and tells of them at their end.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use catena_core::log::TypeName;
use catena_core::message::{HttpHeaders, Rcode, Request};
use catena_core::plugin::{
    AtOnce, Hop, HopObserver, MetadataProvider, MetadataSink, Next, Outcome, Plugin, PluginError,
};

use crate::backlog::Backlog;
use crate::config::{Config, NAME};
use crate::following::Following;
use crate::parent::Parent;
use crate::span::{Query, rcode_text};
use crate::target::Kind;
use crate::{datadog, otlp, zipkin};

/// Under which the number of the trace is found.
const LABEL: &str = "trace/traceid";

/// Follows queries of one block.
pub(crate) struct Trace {
    kind: Kind,
    every: u64,
    client_server: bool,
    backlog: Arc<Backlog>,
    count: AtomicU64,
}

impl Trace {
    pub(crate) fn new(config: &Config, backlog: Arc<Backlog>) -> Self {
        Self {
            kind: config.target.kind,
            every: config.every,
            client_server: config.client_server,
            backlog,
            count: AtomicU64::new(0),
        }
    }

    /// Counts a query, and says whether its turn has come.
    fn is_due(&self) -> bool {
        match self.every {
            0 => false,
            1 => true,
            every => (self.count.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(every),
        }
    }

    /// What the client says of a trace of its own. CoreDNS does not look at it for Datadog.
    fn parent(&self, request: &Request) -> Parent {
        match request.extensions().get::<HttpHeaders>() {
            Some(headers) if self.kind != Kind::Datadog => Parent::of(headers),
            _ => Parent::None,
        }
    }

    fn begin(&self, request: &Request) -> Following {
        // Without the system's randomness, numbers of traces are no longer apart from those of other servers.
        let seed = getrandom::u64().unwrap_or_default();
        let wide = self.kind != Kind::Zipkin;
        Following::begin(seed, self.parent(request), wide, self.client_server)
    }

    fn trace_text(&self, trace: u128) -> String {
        match self.kind {
            Kind::Datadog => datadog::trace_text(trace),
            Kind::Otlp => otlp::trace_text(trace),
            Kind::Zipkin => zipkin::trace_text(trace),
        }
    }
}

#[async_trait]
impl Plugin for Trace {
    fn name(&self) -> &'static str {
        NAME
    }

    fn serve_at_once(&self, request: &mut Request) -> AtOnce {
        if self.is_due() && self.parent(request) != Parent::Unsampled {
            AtOnce::Wait
        } else {
            AtOnce::Pass
        }
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        let following = self.begin(request);
        request.extensions_mut().insert(following.clone());
        let mut end = End {
            backlog: &self.backlog,
            query: Some(described(request, following.is_shared())),
            following,
        };
        let result = next.run(request).await;
        end.with(&result);
        result
    }
}

/// Datadog is told of queries alone, as by CoreDNS: then there is nothing to follow.
impl HopObserver for Trace {
    fn enter(&self, request: &Request, plugin: &'static str) -> Option<Hop> {
        let following = request.extensions().get::<Following>()?;
        (self.kind != Kind::Datadog).then(|| following.enter(plugin))
    }

    fn ask(&self, request: &Request, upstream: SocketAddr) -> Option<Hop> {
        let following = request.extensions().get::<Following>()?;
        (self.kind != Kind::Datadog).then(|| following.ask(upstream))
    }
}

impl MetadataProvider for Trace {
    fn provide(&self, request: &Request, sink: &mut dyn MetadataSink) {
        if let Some(following) = request.extensions().get::<Following>() {
            sink.add(LABEL, &self.trace_text(following.trace()));
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace(1 in {})", self.every)
    }
}

/// Hands the spans of a query over when it ends, also when a plugin before this one gives the query up.
struct End<'a> {
    backlog: &'a Backlog,
    following: Following,
    /// Taken at the end.
    query: Option<Query>,
}

impl End<'_> {
    fn with(&mut self, result: &Result<Outcome, PluginError>) {
        let Some(mut query) = self.query.take() else {
            return;
        };
        match result {
            Ok(outcome) => {
                query.rcode = rcode_text(outcome.rcode().unwrap_or(Rcode::NOERROR));
                query.error = None;
            }
            Err(error) => {
                query.rcode = rcode_text(error.rcode());
                query.error = Some(error.to_string());
            }
        }
        self.hand_over(query);
    }

    fn hand_over(&self, query: Query) {
        let (spans, lost) = self.following.end(query);
        self.backlog.add(spans, lost);
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        if let Some(query) = self.query.take() {
            self.hand_over(query);
        }
    }
}

/// A query as the client asked it; its end is that of one which is given up.
fn described(request: &Request, shared: bool) -> Query {
    Query {
        name: request.qname().to_string(),
        qtype: TypeName(request.qtype_code()).to_string(),
        proto: request.transport().protocol(),
        remote: request.peer().ip(),
        rcode: rcode_text(Rcode::SERVFAIL),
        error: Some("given up".to_owned()),
        shared,
    }
}
