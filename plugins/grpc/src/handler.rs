//! What happens to one query.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use catena_core::message::{QName, Rcode, Request, Response};
use catena_core::plugin::{
    HopObserver, Lifecycle, Next, Outcome, Plugin, PluginError, StartContext, StartError,
};
use catena_metrics::Registry;
use catena_upstream::{Answer, ExchangeError, Group, Options, Order, Protocol};
use tokio::time::timeout;

use crate::config::Config;
use crate::metrics::{Counting, Metrics};

const NAME: &str = "grpc";

/// All attempts for one query together. The client has gone by then.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection that carried no call for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// The status NOT_FOUND, which some servers send in place of NXDOMAIN.
const NOT_FOUND: u32 = 5;

/// Passes queries on as one directive says.
pub(crate) struct Grpc {
    config: Config,
    group: Group,
    metrics: Arc<Metrics>,
    observer: OnceLock<Arc<dyn HopObserver>>,
}

impl Grpc {
    pub(crate) fn new(config: Config, registry: &Registry, workers: usize) -> Self {
        let metrics = Metrics::new(registry, &config.targets);
        let options = Options {
            read_timeout: PATIENCE,
            expire: IDLE,
            // As in CoreDNS, nobody is asked but for answers.
            max_fails: 0,
            ..Options::default()
        };
        let counting = Counting(Arc::clone(&metrics));
        Self {
            group: Group::new(config.targets.clone(), options, workers, counting),
            config,
            metrics,
            observer: OnceLock::new(),
        }
    }

    fn matches(&self, name: &QName) -> bool {
        let Config { from, except, .. } = &self.config;
        name.is_within(from)
            && (name.as_wire() == from.as_wire() || !except.iter().any(|ignored| name.is_within(ignored)))
    }

    /// Asks the upstreams in this order until one answers.
    ///
    /// # Errors
    ///
    /// None did; what the last one failed of.
    async fn ask(&self, request: &mut Request, order: &Order) -> Result<Response, PluginError> {
        let mut last = None;
        for place in 0..self.group.len() {
            let left = PATIENCE.saturating_sub(request.received().elapsed());
            if left.is_zero() {
                break;
            }
            let upstream = order.at(place);
            let Some(answered) = self.call(upstream, request, left).await else {
                break;
            };
            match answered {
                Ok(answer) => {
                    let mut response = answer.response;
                    self.metrics.answered(upstream, response.rcode(), answer.elapsed);
                    response.set_id(request.id());
                    return Ok(response);
                }
                Err(ExchangeError::Rpc(status)) if status.code == NOT_FOUND => {
                    return Ok(made(request, Rcode::NXDOMAIN));
                }
                Err(ExchangeError::OtherQuestion) => return Ok(made(request, Rcode::FORMERR)),
                Err(ExchangeError::Malformed) => {
                    let error = PluginError::bare(NAME, ExchangeError::Malformed.to_string());
                    return Err(error.with_rcode(Rcode::FORMERR));
                }
                Err(error) => last = Some(error),
            }
        }
        Err(PluginError::bare(
            NAME,
            last.map_or_else(out_of_time, |error| words(&error)),
        ))
    }

    /// Calls one upstream; `None` when the time that is left is over.
    async fn call(
        &self,
        upstream: usize,
        request: &Request,
        left: Duration,
    ) -> Option<Result<Answer, ExchangeError>> {
        let address = self.group.address(upstream);
        let _hop = self
            .observer
            .get()
            .and_then(|observer| observer.ask(request, address));
        let mut exchange = self.group.exchange(upstream, request.wire(), Protocol::Grpc);
        timeout(left, exchange.answer()).await.ok()
    }
}

/// An answer without records that the upstream did not send itself.
fn made(request: &mut Request, rcode: Rcode) -> Response {
    let mut response = request.reply().finish();
    response.set_rcode(rcode);
    response
}

#[async_trait]
impl Plugin for Grpc {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        if !self.matches(request.qname()) {
            return next.run(request).await;
        }
        let order = self
            .config
            .policy
            .order(self.group.len())
            .map_err(|error| PluginError::bare(NAME, error.to_string()))?;
        let falls = next.plugin_name().is_some() && self.config.fallthrough.covers(request.qname());
        match self.ask(request, &order).await {
            Ok(response) if response.rcode() == Rcode::NXDOMAIN && falls => next.run(request).await,
            Ok(response) => Ok(Outcome::Reply(response)),
            Err(_) if falls => next.run(request).await,
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Lifecycle for Grpc {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn start(&self, context: &StartContext) -> Result<(), StartError> {
        if let Some(observer) = context.services.first::<dyn HopObserver>() {
            self.observer.get_or_init(|| Arc::clone(observer));
        }
        Ok(())
    }
}

/// The error in the words of Go's gRPC library, which operators of CoreDNS know.
fn words(error: &ExchangeError) -> String {
    match error {
        ExchangeError::Rpc(_) => error.to_string(),
        ExchangeError::Timeout(_) => out_of_time(),
        ExchangeError::Network(network) if network.step == "dial" => {
            format!("rpc error: code = Unavailable desc = connection error: desc = \"transport: {error}\"")
        }
        _ => format!("rpc error: code = Unavailable desc = {error}"),
    }
}

fn out_of_time() -> String {
    "rpc error: code = DeadlineExceeded desc = context deadline exceeded".to_owned()
}
