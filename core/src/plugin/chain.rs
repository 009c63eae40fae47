//! The plugins of a server block in their order, and the way from one to the next.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use super::panics::{self, PanicPolicy};
use super::{AtOnce, Hop, HopObserver, Outcome, Plugin, PluginError};
use crate::counters::Counters;
use crate::message::Request;

/// The plugins that serve a block, in their order.
pub struct Chain {
    links: Box<[Link]>,
    policy: PanicPolicy,
    counters: Arc<Counters>,
    observer: Option<Arc<dyn HopObserver>>,
}

struct Link {
    plugin: Arc<dyn Plugin>,
    name: &'static str,
    panics: AtomicU64,
}

impl Chain {
    /// A chain of these plugins.
    #[must_use]
    pub fn new(plugins: Vec<Arc<dyn Plugin>>, policy: PanicPolicy, counters: Arc<Counters>) -> Self {
        let link = |plugin: Arc<dyn Plugin>| Link {
            name: plugin.name(),
            plugin,
            panics: AtomicU64::new(0),
        };
        Self {
            links: plugins.into_iter().map(link).collect(),
            policy,
            counters,
            observer: None,
        }
    }

    /// Tells this observer of each plugin that a query meets.
    #[must_use]
    pub fn with_observer(mut self, observer: Option<Arc<dyn HopObserver>>) -> Self {
        self.observer = observer;
        self
    }

    /// Whether no plugin serves the block.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// The plugins' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.links.iter().map(|link| link.name)
    }

    /// How often plugins of this name panicked in this chain.
    #[must_use]
    pub fn panics(&self, name: &str) -> u64 {
        let of_name = self.links.iter().filter(|link| link.name == name);
        of_name.map(|link| link.panics.load(Ordering::Relaxed)).sum()
    }

    /// The way into the chain: runs its first plugin.
    #[must_use]
    pub fn start(self: &Arc<Self>) -> Next<'_> {
        Next {
            chain: self,
            index: 0,
        }
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// The rest of the chain behind a plugin. It can be run any number of times, also never.
#[derive(Clone, Copy, Debug)]
pub struct Next<'a> {
    chain: &'a Arc<Chain>,
    index: usize,
}

impl<'a> Next<'a> {
    /// Runs the rest of the chain.
    ///
    /// Behind the last plugin the future gives the error "no next plugin found". A panic of the plugin that is run
    /// comes back as an error too ([`PluginError::is_panic`]).
    pub fn run<'r>(mut self, request: &'r mut Request) -> Run<'r>
    where
        'a: 'r,
    {
        let observer = self.chain.observer.as_deref();
        let mut stay = None;
        let link = loop {
            let Some(link) = self.chain.links.get(self.index) else {
                return Run(State::End(Some(Err(self.no_next()))));
            };
            self.index += 1;
            if let Some(hop) = observer.and_then(|observer| observer.enter(request, link.name)) {
                stay = Some(Box::new(Stay { hop, around: stay }));
            }
            match catch_unwind(AssertUnwindSafe(|| link.plugin.serve_at_once(request))) {
                Ok(AtOnce::Pass) => {}
                Ok(AtOnce::Answer(outcome)) => return Run(State::End(Some(Ok(outcome)))),
                Ok(AtOnce::Wait) => break link,
                Err(_) => return Run(State::End(Some(Err(self.chain.caught(link))))),
            }
        };
        // A plugin written without `async fn` runs code here already.
        let call = once(move || link.plugin.serve_dns(request, self));
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(future) => Run(State::Call {
                future,
                link,
                chain: self.chain,
                _stay: stay,
            }),
            Err(_) => Run(State::End(Some(Err(self.chain.caught(link))))),
        }
    }

    /// The error of a chain that ended, under the name of its last plugin.
    fn no_next(&self) -> PluginError {
        let last = self
            .index
            .checked_sub(1)
            .and_then(|index| self.chain.links.get(index));
        PluginError::no_next(last.map_or("server", |link| link.name))
    }

    /// Whether no plugin follows.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.index >= self.chain.links.len()
    }

    /// The name of the plugin that would be run.
    #[must_use]
    pub fn plugin_name(&self) -> Option<&'static str> {
        self.chain.links.get(self.index).map(|link| link.name)
    }

    /// The same as a value of its own, for work that outlives the query.
    #[must_use]
    pub fn to_owned(&self) -> OwnedNext {
        OwnedNext {
            chain: Arc::clone(self.chain),
            index: self.index,
        }
    }
}

/// The rest of the chain, kept alive by itself.
#[derive(Clone, Debug)]
pub struct OwnedNext {
    chain: Arc<Chain>,
    index: usize,
}

impl OwnedNext {
    /// The borrowed form.
    #[must_use]
    pub fn as_next(&self) -> Next<'_> {
        Next {
            chain: &self.chain,
            index: self.index,
        }
    }

    /// Runs the rest of the chain.
    pub fn run<'r>(&'r self, request: &'r mut Request) -> Run<'r> {
        self.as_next().run(request)
    }
}

/// Says that a closure runs once, so that it may hand out what it captured.
fn once<T>(call: impl FnOnce() -> T) -> impl FnOnce() -> T {
    call
}

impl Chain {
    fn caught(&self, link: &Link) -> PluginError {
        link.panics.fetch_add(1, Ordering::Relaxed);
        panics::caught(link.name, self.policy, &self.counters)
    }
}

/// The future of [`Next::run`]: one plugin at work, with a barrier that no panic passes.
pub struct Run<'r>(State<'r>);

/// A query's stay at a plugin that is observed, and at those before it that let the query pass. The inner one ends first.
struct Stay {
    #[expect(dead_code, reason = "its end is what the observer waits for")]
    hop: Hop,
    #[expect(dead_code, reason = "its end is what the observer waits for")]
    around: Option<Box<Self>>,
}

type Serving<'r> = Pin<Box<dyn Future<Output = Result<Outcome, PluginError>> + Send + 'r>>;

enum State<'r> {
    Call {
        future: Serving<'r>,
        link: &'r Link,
        chain: &'r Chain,
        /// Behind the future, so that it ends after all that the future holds.
        _stay: Option<Box<Stay>>,
    },
    End(Option<Result<Outcome, PluginError>>),
}

impl Future for Run<'_> {
    type Output = Result<Outcome, PluginError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Call {
                future, link, chain, ..
            } => match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
                Ok(polled) => polled,
                Err(_) => Poll::Ready(Err(chain.caught(link))),
            },
            // Polled again after its end, which a correct caller does not do: stay pending for ever.
            State::End(outcome) => outcome.take().map_or(Poll::Pending, Poll::Ready),
        }
    }
}

impl fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Run")
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::task::Waker;

    use async_trait::async_trait;
    use parking_lot::Mutex;

    use super::*;
    use crate::message::{QueryBuilder, Rcode};

    /// Does at once what it is told, and says REFUSED when it may wait.
    struct Quick(fn() -> AtOnce);

    #[async_trait]
    impl Plugin for Quick {
        fn name(&self) -> &'static str {
            "quick"
        }

        fn serve_at_once(&self, _: &mut Request) -> AtOnce {
            (self.0)()
        }

        async fn serve_dns(&self, _: &mut Request, _: Next<'_>) -> Result<Outcome, PluginError> {
            Ok(Outcome::Status(Rcode::REFUSED))
        }
    }

    /// Has nothing but a name.
    struct Nothing;

    impl Plugin for Nothing {
        fn name(&self) -> &'static str {
            "nothing"
        }
    }

    const ANSWER: fn() -> AtOnce = || AtOnce::Answer(Outcome::Drop);
    const PANIC: fn() -> AtOnce = || panic!("no chain ends here");

    fn run(plugins: Vec<Arc<dyn Plugin>>) -> (Result<Outcome, PluginError>, Arc<Chain>) {
        run_observed(plugins, None)
    }

    fn run_observed(
        plugins: Vec<Arc<dyn Plugin>>,
        observer: Option<Arc<dyn HopObserver>>,
    ) -> (Result<Outcome, PluginError>, Arc<Chain>) {
        let chain = Chain::new(plugins, PanicPolicy::Catch, Arc::new(Counters::new(1)));
        let chain = Arc::new(chain.with_observer(observer));
        let mut request = QueryBuilder::new("a.", 1_u16).unwrap().to_request().unwrap();
        let mut running = chain.start().run(&mut request);
        let polled = Pin::new(&mut running).poll(&mut Context::from_waker(Waker::noop()));
        drop(running);
        let Poll::Ready(outcome) = polled else {
            panic!("nothing to wait for");
        };
        (outcome, chain)
    }

    #[test]
    fn what_is_decided_at_once_holds() {
        for (case, first, wanted) in [
            ("answers", ANSWER, None),
            ("passes", || AtOnce::Pass, Some(Rcode::YXDOMAIN)),
            ("waits", || AtOnce::Wait, Some(Rcode::REFUSED)),
        ] {
            let second: fn() -> AtOnce = || AtOnce::Answer(Outcome::Status(Rcode::YXDOMAIN));
            let (outcome, _) = run(vec![Arc::new(Quick(first)), Arc::new(Quick(second))]);
            assert_eq!(outcome.unwrap().rcode(), wanted, "{case}");
        }
    }

    #[test]
    fn a_plugin_without_an_answer_passes() {
        let (outcome, _) = run(vec![Arc::new(Nothing), Arc::new(Quick(ANSWER))]);
        assert!(matches!(outcome, Ok(Outcome::Drop)), "{outcome:?}");
    }

    #[test]
    fn the_last_plugin_is_named_when_the_chain_ends() {
        for (plugins, want) in [
            (vec![], "plugin/server: no next plugin found"),
            (
                vec![Arc::new(Nothing) as Arc<dyn Plugin>],
                "plugin/nothing: no next plugin found",
            ),
            (
                vec![Arc::new(Nothing), Arc::new(Quick(|| AtOnce::Pass))],
                "plugin/quick: no next plugin found",
            ),
        ] {
            assert_eq!(run(plugins).0.unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn a_panic_at_once_is_caught_and_counted() {
        let (outcome, chain) = run(vec![Arc::new(Nothing), Arc::new(Quick(PANIC))]);
        let error = outcome.unwrap_err();
        assert!(error.is_panic() && error.plugin() == "quick", "{error}");
        assert_eq!((chain.panics("quick"), chain.panics("nothing")), (1, 0));
    }

    /// Writes down when queries come to a plugin and leave it.
    #[derive(Default)]
    struct Diary(Arc<Mutex<Vec<String>>>);

    impl Diary {
        fn text(&self) -> String {
            self.0.lock().join(" ")
        }
    }

    impl HopObserver for Diary {
        fn enter(&self, _: &Request, plugin: &'static str) -> Option<Hop> {
            if plugin == "nothing" {
                return None;
            }
            self.0.lock().push(format!("+{plugin}"));
            Some(Box::new(Leaves(plugin, Arc::clone(&self.0))))
        }

        fn ask(&self, _: &Request, _: SocketAddr) -> Option<Hop> {
            None
        }
    }

    struct Leaves(&'static str, Arc<Mutex<Vec<String>>>);

    impl Drop for Leaves {
        fn drop(&mut self) {
            self.1.lock().push(format!("-{}", self.0));
        }
    }

    /// Waits behind a name of its own.
    struct Slow;

    impl Plugin for Slow {
        fn name(&self) -> &'static str {
            "slow"
        }
    }

    #[test]
    fn an_observer_sees_each_plugin_come_and_go() {
        let quick = |at_once| Arc::new(Quick(at_once)) as Arc<dyn Plugin>;
        let slow = || Arc::new(Slow) as Arc<dyn Plugin>;
        for (case, plugins, want) in [
            ("an answer at once", vec![quick(ANSWER)], "+quick -quick"),
            (
                "one that passes is around those behind it",
                vec![slow(), quick(|| AtOnce::Pass), slow(), quick(ANSWER)],
                "+slow +quick +slow +quick -quick -slow -quick -slow",
            ),
            (
                "one that is not watched",
                vec![Arc::new(Nothing), quick(ANSWER)],
                "+quick -quick",
            ),
            ("a panic", vec![slow(), quick(PANIC)], "+slow +quick -quick -slow"),
            ("the end of the chain", vec![slow()], "+slow -slow"),
        ] {
            let diary = Arc::new(Diary::default());
            let _ = run_observed(plugins, Some(Arc::clone(&diary) as _));
            assert_eq!(diary.text(), want, "case {case}");
        }
    }
}
