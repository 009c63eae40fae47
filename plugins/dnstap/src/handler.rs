//! The links of the chain: each lets a query pass, and makes messages of it and of its answer.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use catena_core::message::{Request, Response, fit};
use catena_core::plugin::{
    Lifecycle, MessageSource, Next, Outcome, Plugin, PluginError, StartContext, StartError, StopReason, Tap,
    TapEvent, TapKind, TransferStream,
};
use catena_facts::Surroundings;

use crate::config::Config;
use crate::extra::Extra;
use crate::incoming::Incoming;
use crate::message::{self, Event, Frame};
use crate::metrics::Metrics;
use crate::outgoing::Outgoing;
use crate::unix::OwnSockets;

const NAME: &str = "dnstap";

/// What one `dnstap` directive asks for.
pub(crate) struct Dnstap {
    line: Arc<Line>,
    surroundings: Arc<Surroundings>,
}

/// The part that transfers hold on to when their query is over.
struct Line {
    way: Way,
    full: bool,
    /// Identity and version, as all messages begin with them.
    head: Vec<u8>,
    extra: Option<Extra>,
    sockets: Arc<OwnSockets>,
}

enum Way {
    Out(Outgoing),
    In(Incoming),
}

impl Dnstap {
    pub(crate) fn new(
        config: Config,
        metrics: Metrics,
        surroundings: Arc<Surroundings>,
        sockets: Arc<OwnSockets>,
    ) -> Self {
        let metrics = Arc::new(metrics);
        let line = Line {
            full: config.full,
            head: message::head(&config.identity, &config.version),
            extra: config.extra.clone(),
            sockets,
            way: match config.listen {
                true => Way::In(Incoming::new(config, metrics)),
                false => Way::Out(Outgoing::new(config, metrics)),
            },
        };
        Self {
            line: Arc::new(line),
            surroundings,
        }
    }

    fn extra(&self, request: &Request) -> Option<String> {
        let extra = self.line.extra.as_ref()?;
        Some(extra.fill(request, &self.surroundings))
    }

    /// Makes a message of one that travels between a client and the server.
    fn client(&self, request: &Request, kind: TapKind, asked: SystemTime, wire: &[u8]) {
        let event = Event {
            kind,
            stream: !request.transport().is_datagram(),
            asker: Some(request.peer()),
            answerer: None,
            asked,
            answered: message::is_response(kind).then(SystemTime::now),
            wire: Some(wire),
        };
        self.line.record(self.extra(request).as_deref(), event);
    }

    fn client_response(&self, request: &Request, asked: SystemTime, response: &Response) {
        if self.line.full {
            // What goes out is cut to the client's size; plugins before this one still want the whole answer.
            let wire = fit(response.clone(), request);
            self.client(request, TapKind::ClientResponse, asked, &wire);
        } else {
            self.client(request, TapKind::ClientResponse, asked, &[]);
        }
    }

    fn tapped(&self, request: &Request, asked: SystemTime, stream: TransferStream) -> TransferStream {
        TransferStream::new(Tapped {
            stream,
            line: Arc::clone(&self.line),
            extra: self.extra(request),
            event: Event {
                kind: TapKind::ClientResponse,
                stream: !request.transport().is_datagram(),
                asker: Some(request.peer()),
                answerer: None,
                asked,
                answered: None,
                wire: None,
            },
        })
    }
}

impl Line {
    /// Whether a message would go anywhere.
    fn is_wanted(&self) -> bool {
        match &self.way {
            // What cannot be sent is counted.
            Way::Out(_) => true,
            Way::In(incoming) => incoming.has_collectors(),
        }
    }

    fn record(&self, extra: Option<&str>, mut event: Event<'_>) {
        if !self.full {
            event.wire = None;
        }
        let frame: Frame = message::frame(&self.head, extra, &event);
        match &self.way {
            Way::Out(outgoing) => outgoing.push(frame),
            Way::In(incoming) => incoming.push(&frame),
        }
    }
}

impl fmt::Debug for Dnstap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dnstap")
    }
}

#[async_trait]
impl Plugin for Dnstap {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        if !self.line.is_wanted() {
            return next.run(request).await;
        }
        let asked = SystemTime::now();
        // Before the query goes on, or its message would come behind those of the upstream.
        self.client(request, TapKind::ClientQuery, asked, request.wire());
        match next.run(request).await {
            Ok(Outcome::Reply(response)) => {
                self.client_response(request, asked, &response);
                Ok(Outcome::Reply(response))
            }
            Ok(Outcome::Transfer(stream)) => Ok(Outcome::Transfer(self.tapped(request, asked, stream))),
            other => other,
        }
    }
}

impl Tap for Dnstap {
    fn tap(&self, request: &Request, event: TapEvent<'_>) {
        if !self.line.is_wanted() {
            return;
        }
        let event = Event {
            kind: event.kind,
            stream: event.stream,
            asker: event.local,
            answerer: Some(event.peer),
            asked: event.asked,
            answered: message::is_response(event.kind).then_some(event.at),
            wire: Some(event.wire),
        };
        self.line.record(self.extra(request).as_deref(), event);
    }
}

#[async_trait]
impl Lifecycle for Dnstap {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn start(&self, context: &StartContext) -> Result<(), StartError> {
        match &self.line.way {
            Way::Out(outgoing) => outgoing.start().await,
            Way::In(incoming) => incoming.start(&self.line.sockets, context.reload).await,
        }
        Ok(())
    }

    async fn stop(&self, _: StopReason) {
        match &self.line.way {
            Way::Out(outgoing) => outgoing.stop().await,
            Way::In(incoming) => incoming.stop().await,
        }
    }
}

/// A transfer whose messages are answers of their own.
struct Tapped {
    stream: TransferStream,
    line: Arc<Line>,
    extra: Option<String>,
    event: Event<'static>,
}

#[async_trait]
impl MessageSource for Tapped {
    async fn next(&mut self) -> Option<Result<Response, PluginError>> {
        let message = self.stream.next().await;
        if let Some(Ok(response)) = &message {
            let event = Event {
                answered: Some(SystemTime::now()),
                wire: Some(response.wire()),
                ..self.event
            };
            self.line.record(self.extra.as_deref(), event);
        }
        message
    }
}
