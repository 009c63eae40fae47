//! A server block without a server: setup, and queries without sockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use catena_core::config::{self, BuildContext, Plan, Registry};
use catena_core::corefile::testing::parse_directives;
use catena_core::corefile::{Collector, ConfigErrors, Corefile, Directive, ServerBlock, Source, Span, Token};
use catena_core::counters::Counters;
use catena_core::log;
use catena_core::message::{
    Admitted, ListenerContext, Policy, Rcode, Request, Response, admit, error_reply, fit,
};
use catena_core::plugin::{
    BlockSettings, Definition, Handover, Outcome, Plugin, PluginError, Services, Setup, Shared, StartContext,
    StartError, StopReason,
};
use catena_core::server::Site;

use crate::answer::Answer;
use crate::case::Ask;
use crate::folder::Folder;
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::plugins::Plugins;
use crate::query::Query;

/// How many workers a setup is told of.
const WORKERS: usize = 1;

/// The plugins of one server block, set up and ready to be asked; there are no sockets and no further threads.
///
/// Its text is what stands between the braces of a server block. Errors name its first line as line 1 of "Corefile".
///
/// ```
/// use catena_testkit::{Handler, RECORDS, Records};
///
/// let end = Records::new("b.example.org. 60 IN A 192.0.2.2");
/// let handler = Handler::builder([], "").end(end.clone()).build().unwrap();
/// handler.ask("b.example.org. A").assert_answer(["b.example.org. 60 IN A 192.0.2.2"]);
/// assert_eq!(end.count(), 1);
///
/// let errors = Handler::builder([RECORDS], "records {\n  nonsense\n}").build().unwrap_err();
/// assert!(errors.to_string().starts_with("Corefile:2:3: plugin/records: "));
/// ```
#[derive(Debug)]
pub struct Handler {
    plan: Plan,
    runtime: tokio::runtime::Runtime,
    shared: Shared,
    logs: Logs,
    folder: Folder,
}

/// What a [`Handler`] is made of.
#[derive(Debug)]
pub struct HandlerBuilder {
    registry: Registry,
    text: String,
    keys: String,
    end: Option<End>,
    paused: bool,
    folder: Folder,
    shared: Shared,
    values: Vec<(String, String)>,
}

/// The plugin that a test puts behind all others.
#[derive(Clone, Default)]
struct End(Arc<Mutex<Option<Arc<dyn Plugin>>>>);

impl std::fmt::Debug for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("End")
    }
}

/// The directive of [`End`]; no Corefile can name it, since it is no word.
static END: Definition = Definition::new("end of the chain", |setup: &mut Setup<'_>| {
    let end: Arc<End> = setup.shared();
    let plugin = end.0.lock().ok().and_then(|plugin| plugin.clone());
    plugin.into_iter().for_each(|plugin| setup.add_shared(plugin));
    Ok(())
});

impl HandlerBuilder {
    /// The keys of the block, such as `example.org example.net:1053`; `.` by default.
    #[must_use]
    pub fn keys(mut self, keys: &str) -> Self {
        keys.clone_into(&mut self.keys);
        self
    }

    /// Puts a plugin behind all others.
    #[must_use]
    pub fn end(mut self, plugin: impl Plugin) -> Self {
        self.end = Some(End(Arc::new(Mutex::new(Some(Arc::new(plugin))))));
        self
    }

    /// Puts a file into the folder from which relative paths start; placeholders as for the text.
    #[must_use]
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.folder.write(name, content);
        self
    }

    /// Fills in `value` for `@NAME@` in the text; `@DIR@` is the folder.
    #[must_use]
    pub fn with(mut self, name: &str, value: &(impl ToString + ?Sized)) -> Self {
        self.values.push((name.to_owned(), value.to_string()));
        self
    }

    /// Puts a value where the plugins find it with [`Setup::shared`].
    #[must_use]
    pub fn share<T: Send + Sync + 'static>(self, value: Arc<T>) -> Self {
        self.shared.put(value);
        self
    }

    /// Stops the clock: time passes only with [`Handler::pass`], and where all that runs waits for it.
    #[must_use]
    pub fn paused(mut self) -> Self {
        self.paused = true;
        self
    }

    /// Runs the setups.
    ///
    /// # Errors
    ///
    /// All that is wrong with the text.
    pub fn build(self) -> Result<Handler, ConfigErrors> {
        let mut text = self.text.replace("@DIR@", &self.folder.path().to_string_lossy());
        for (name, value) in &self.values {
            text = text.replace(&format!("@{name}@"), value);
        }
        let mut directives = parse_directives(&text)?;
        let mut errors = Collector::default();
        let known = self.registry.names();
        for directive in directives
            .iter()
            .filter(|directive| !known.contains(&directive.name()))
        {
            errors.push(directive.error(format!(
                "Error during parsing: Unknown directive '{}'",
                directive.name()
            )));
        }
        errors.finish(())?;
        if let Some(end) = self.end {
            directives.push(Directive::new(word(END.name), Vec::new(), None));
            self.shared.put(Arc::new(end));
        }
        let keys = self.keys.split_whitespace().map(word).collect();
        let corefile = Corefile {
            blocks: vec![ServerBlock { keys, directives }],
            files: Vec::new(),
            warnings: Vec::new(),
        };
        let logs = Logs::new();
        let plugins = self.registry.definitions().iter().copied();
        let context = BuildContext {
            registry: &Registry::new(plugins.chain([END])),
            shared: &self.shared,
            previous: &Handover::default(),
            counters: &Arc::new(Counters::new(WORKERS)),
            log: logs.sink(),
            workers: WORKERS,
            default_port: 53,
            folder: self.folder.path().to_owned(),
        };
        let plan = config::build(&corefile, &context)?;
        Ok(Handler {
            plan,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(self.paused)
                .build()
                .expect("a runtime"),
            shared: self.shared,
            logs,
            folder: self.folder,
        })
    }
}

/// A word that stands nowhere.
fn word(text: &str) -> Token {
    let source = Arc::new(Source::new("Corefile", None, text));
    Token::new(text, Span::new(source, 1, 1, 1), false)
}

impl Handler {
    /// Sets a block up with these plugins.
    ///
    /// # Panics
    ///
    /// A setup refuses the text.
    #[track_caller]
    #[must_use]
    pub fn new(plugins: impl Plugins, text: &str) -> Self {
        let built = Self::builder(plugins, text).build();
        built.unwrap_or_else(|errors| panic!("the setup fails:\n{errors}"))
    }

    /// What to set up, with more to say about it.
    #[must_use]
    pub fn builder(plugins: impl Plugins, text: &str) -> HandlerBuilder {
        HandlerBuilder {
            registry: plugins.registry(),
            text: text.to_owned(),
            keys: ".".to_owned(),
            end: None,
            paused: false,
            folder: Folder::new(),
            shared: Shared::default(),
            values: Vec::new(),
        }
    }

    /// Asks, and gives the answer as a client would see it.
    ///
    /// # Panics
    ///
    /// The query is dropped.
    #[track_caller]
    pub fn ask(&self, query: impl Into<Query>) -> Answer {
        let query = query.into();
        let answer = self.try_ask(&query);
        answer.unwrap_or_else(|| panic!("{} is dropped", query.question()))
    }

    /// Asks, and gives what the chain makes of it.
    ///
    /// # Errors
    ///
    /// The chain's.
    ///
    /// # Panics
    ///
    /// No query reaches the chain.
    #[track_caller]
    pub fn outcome(&self, query: impl Into<Query>) -> Result<Outcome, PluginError> {
        let mut request = Request::new();
        match self.admit(&query.into(), &mut request) {
            Ok(site) => self.block_on(run(site, &mut request)),
            Err(_) => panic!("no query reaches the chain"),
        }
    }

    /// Lets a request through the chain, in a runtime of the test's own.
    ///
    /// # Errors
    ///
    /// The chain's.
    pub async fn serve(&self, request: &mut Request) -> Result<Outcome, PluginError> {
        match self.site(request) {
            Some(site) => run(site, request).await,
            None => Ok(Outcome::Status(Rcode::REFUSED)),
        }
    }

    /// Runs a future where the plugins run, on their clock.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let _log = tracing::dispatcher::set_default(&log::dispatch(self.logs.sink().clone()));
        self.runtime.block_on(future)
    }

    /// Starts the plugins, as a server does before it serves.
    ///
    /// # Errors
    ///
    /// That of the first plugin that cannot start.
    pub fn start(&self) -> Result<(), StartError> {
        self.block_on(async {
            for block in &self.plan.blocks {
                let mut context = StartContext::detached(self.shared.clone(), self.logs.sink().clone());
                context.services = Arc::clone(&block.services);
                for life in &block.lifecycles {
                    life.start(&context).await?;
                }
                for life in &block.lifecycles {
                    life.started().await;
                }
            }
            Ok(())
        })
    }

    /// Stops the plugins, as a server does at its end.
    pub fn stop(&self) {
        self.block_on(async {
            for life in self
                .plan
                .blocks
                .iter()
                .flat_map(|block| block.lifecycles.iter().rev())
            {
                life.before_stop(StopReason::Shutdown).await;
                life.stop(StopReason::Shutdown).await;
            }
        });
    }

    /// Lets time pass for what the plugins do in the background. With a paused clock it takes no time.
    pub fn pass(&self, time: Duration) {
        self.block_on(async { tokio::time::sleep(time).await });
    }

    /// The names of the chain's plugins, in their order.
    #[must_use]
    pub fn chain(&self) -> Vec<&'static str> {
        self.sites()
            .next()
            .map_or_else(Vec::new, |site| site.chain.names().collect())
    }

    /// The block's settings.
    #[must_use]
    pub fn settings(&self) -> &BlockSettings {
        &self.plan.blocks[0].settings
    }

    /// The block's services.
    #[must_use]
    pub fn services(&self) -> &Arc<Services> {
        &self.plan.blocks[0].services
    }

    /// What the setup warns of, as log lines.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.plan.warnings
    }

    /// The whole configuration.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What is logged.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// The metrics as they are now.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics::of(&self.shared.of::<catena_metrics::Registry>())
    }

    /// What belongs to all blocks of a server.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Replaces a file in the folder in one go.
    pub fn write(&self, name: &str, content: &str) {
        self.folder.write(name, content);
    }

    /// Removes a file from the folder.
    pub fn remove(&self, name: &str) {
        self.folder.remove(name);
    }

    /// The path of a file in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.file(name)
    }

    fn sites(&self) -> impl Iterator<Item = &Site> {
        self.plan.listeners.iter().flat_map(|listener| &listener.sites)
    }

    /// The site with the longest zone.
    fn site(&self, request: &Request) -> Option<&Site> {
        self.sites()
            .filter(|site| request.qname().is_within(&site.zone))
            .filter(|site| site.filters.iter().all(|filter| filter.accepts(request)))
            .max_by_key(|site| site.zone.label_count())
    }

    /// Takes a query in as a listener does; what does not reach the chain is answered at once or dropped.
    fn admit(&self, query: &Query, request: &mut Request) -> Result<&Site, Option<Vec<u8>>> {
        let context = ListenerContext {
            transport: query.transport(),
            peer: SocketAddr::new(query.source(), 40_212),
            local: SocketAddr::from((Ipv4Addr::LOCALHOST, 53)),
            server: &Arc::from("dns://:53"),
            received: Instant::now(),
        };
        let policy = Policy {
            other_classes: self.plan.listeners.iter().any(|listener| listener.other_classes),
        };
        match admit(request, &query.to_wire(), &context, policy) {
            Admitted::Query => {}
            Admitted::Answer { wire, .. } => return Err(Some(wire)),
            Admitted::Drop(_) => return Err(None),
        }
        self.site(request).ok_or_else(|| {
            let response = error_reply(request, Rcode::REFUSED);
            Some(fit(response, request))
        })
    }
}

impl Ask for Handler {
    fn try_ask(&self, query: &Query) -> Option<Answer> {
        let mut request = Request::new();
        let wire = match self.admit(query, &mut request) {
            Ok(site) => {
                let outcome = self.block_on(run(site, &mut request));
                let response = self.block_on(response(outcome, &mut request))?;
                fit(response, &request)
            }
            Err(answered) => answered?,
        };
        let answer = Answer::from_wire(wire.clone());
        Some(answer.unwrap_or_else(|error| panic!("a malformed answer ({error}): {wire:02x?}")))
    }
}

async fn run(site: &Site, request: &mut Request) -> Result<Outcome, PluginError> {
    request.set_zone(&site.zone);
    site.chain.start().run(request).await
}

/// What the server makes of an outcome; of a transfer the first message.
async fn response(outcome: Result<Outcome, PluginError>, request: &mut Request) -> Option<Response> {
    let error = match outcome {
        Ok(Outcome::Reply(response)) => return Some(response),
        Ok(Outcome::Status(rcode)) => return Some(error_reply(request, rcode)),
        Ok(Outcome::Transfer(mut stream)) => match stream.next().await? {
            Ok(first) => return Some(first),
            Err(error) => error,
        },
        Ok(_) => return None,
        Err(error) => error,
    };
    let mut response = error_reply(request, error.rcode());
    if let Some(extended) = error.extended()
        && request.edns().is_some()
    {
        response.add_extended_error(extended.code, &extended.text);
    }
    Some(response)
}

#[cfg(test)]
mod tests;
