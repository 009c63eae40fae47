//! What the server asks of a plugin and does for it around the queries, and what a plugin may do with the rest of the
//! chain.

mod common;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use catena_core::config::Registry;
use catena_core::corefile::ConfigErrors;
use catena_core::counters::Event;
use catena_core::message::{QueryBuilder, Rcode, Request};
use catena_core::plugin::{
    BlockInfo, Definition, Lifecycle, Next, Outcome, Plugin, PluginError, Services, Setup, StartContext,
    StartError, StopReason,
};
use common::{FIXED, Running, ask, query, rcode_of};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

const NOERROR: u8 = 0;
const SERVFAIL: u8 = 2;
const REFUSED: u8 = 5;

/// What the plugins of a server were asked to do, in this order. It outlives reloads.
#[derive(Default)]
struct Journal(Mutex<Vec<String>>);

impl Journal {
    fn note(&self, line: String) {
        self.0.lock().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

/// A plugin that keeps a journal; its word says which one it is and what it does wrong.
struct Clerk {
    name: String,
    journal: Arc<Journal>,
    /// Counts this plugin's configurations, the first of which had none to take over.
    inherited: Arc<AtomicUsize>,
}

#[async_trait]
impl Lifecycle for Clerk {
    fn name(&self) -> &'static str {
        "clerk"
    }

    fn validate(&self, _: &BlockInfo, _: &Services) -> Result<(), ConfigErrors> {
        self.journal.note(format!("{} is validated", self.name));
        Ok(())
    }

    async fn start(&self, context: &StartContext) -> Result<(), StartError> {
        let beside = if context.reload { " beside another" } else { "" };
        let before = self.inherited.load(Ordering::Relaxed);
        self.journal
            .note(format!("{} starts{beside}, {before} before it", self.name));
        if self.name == "lame" {
            return Err(StartError::new("lame"));
        }
        Ok(())
    }

    async fn started(&self) {
        self.journal.note(format!("{} serves", self.name));
    }

    async fn before_stop(&self, reason: StopReason) {
        self.journal.note(format!("{} is to stop: {reason:?}", self.name));
    }

    async fn stop(&self, reason: StopReason) {
        self.journal.note(format!("{} stops: {reason:?}", self.name));
    }
}

fn set_up_clerk(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    for directive in setup.directives() {
        let name = directive.one_arg("NAME")?.as_str().to_owned();
        let before: Option<Arc<AtomicUsize>> = setup.previous();
        let inherited = Arc::new(AtomicUsize::new(
            before.map_or(0, |count| count.load(Ordering::Relaxed) + 1),
        ));
        setup.keep(Arc::clone(&inherited));
        let journal = setup.shared();
        setup.lifecycle(Arc::new(Clerk {
            name,
            journal,
            inherited,
        }));
    }
    Ok(())
}

/// Runs the rest of the chain twice, and once more behind the query: with `held` in its name that waits for the test.
struct Again(Arc<Later>);

struct Later {
    gate: Semaphore,
    outcomes: Mutex<Vec<Option<Rcode>>>,
}

impl Default for Later {
    fn default() -> Self {
        Self {
            gate: Semaphore::new(0),
            outcomes: Mutex::default(),
        }
    }
}

#[async_trait]
impl Plugin for Again {
    fn name(&self) -> &'static str {
        "again"
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        next.run(request).await?;
        let (later, rest) = (Arc::clone(&self.0), next.to_owned());
        let copy = Request::from_wire_over(request.wire(), request.transport());
        let mut copy = copy.expect("a query once is one again");
        tokio::spawn(async move {
            later.gate.acquire().await.expect("a gate").forget();
            let outcome = rest.run(&mut copy).await;
            let rcode = outcome.ok().and_then(|outcome| outcome.rcode());
            later.outcomes.lock().push(rcode);
        });
        next.run(request).await
    }
}

/// Fails, with an extended error where the client may see it.
struct Failing;

#[async_trait]
impl Plugin for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    async fn serve_dns(&self, _: &mut Request, _: Next<'_>) -> Result<Outcome, PluginError> {
        Err(PluginError::new("failing", "no upstream")
            .with_rcode(Rcode::REFUSED)
            .with_extended(22, "no upstream"))
    }
}

fn registry() -> Registry {
    Registry::new([
        Definition::new("clerk", set_up_clerk),
        Definition::new("again", |setup| {
            setup.add(Again(setup.shared()));
            Ok(())
        }),
        Definition::new("failing", |setup| {
            setup.add(Failing);
            Ok(())
        }),
        Definition::new("counted", |setup| {
            setup.add(Counted(setup.shared()));
            Ok(())
        }),
        FIXED,
    ])
}

/// Counts what comes by.
struct Counted(Arc<Count>);

#[derive(Default)]
struct Count(AtomicUsize);

#[async_trait]
impl Plugin for Counted {
    fn name(&self) -> &'static str {
        "counted"
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        self.0.0.fetch_add(1, Ordering::Relaxed);
        next.run(request).await
    }
}

fn start(corefile: &str) -> Running {
    Running::start_with(corefile, registry(), 1)
}

#[test]
fn plugins_are_validated_and_started_in_the_order_of_their_blocks_and_stopped_in_the_other() {
    let server =
        start("a.org:@PORT@ {\n clerk one\n clerk two\n fixed\n}\nb.org:@PORT@ {\n clerk three\n fixed\n}\n");
    let journal: Arc<Journal> = server.shared.of();
    assert_eq!(
        journal.take(),
        [
            "one is validated",
            "two is validated",
            "three is validated",
            "one starts, 0 before it",
            "two starts, 0 before it",
            "three starts, 0 before it",
            "one serves",
            "two serves",
            "three serves",
        ]
    );
    assert_eq!(server.stop(), 0);
    let mut lines = journal.take();
    // All are told at the same time.
    lines[..3].sort_unstable();
    assert_eq!(
        lines,
        [
            "one is to stop: Shutdown",
            "three is to stop: Shutdown",
            "two is to stop: Shutdown",
            "three stops: Shutdown",
            "two stops: Shutdown",
            "one stops: Shutdown",
        ]
    );
}

#[test]
fn a_new_configuration_starts_beside_the_old_one_takes_its_state_over_and_then_the_old_one_stops() {
    let server = start("a.org:@PORT@ {\n clerk old\n fixed\n}\n");
    let journal: Arc<Journal> = server.shared.of();
    journal.take();
    let lines_of = |name: &str| {
        let mut lines = journal.0.lock().clone();
        lines.retain(|line| line.split(' ').next() == Some(name));
        lines
    };
    for (round, before, name) in [(1, "old", "new"), (2, "new", "newest")] {
        let corefile = format!("a.org:@PORT@ {{\n clerk {name}\n fixed\n}}\n");
        server.reload(&corefile).expect("reload");
        assert_eq!(
            lines_of(name),
            [
                format!("{name} is validated"),
                format!("{name} starts beside another, {round} before it"),
                format!("{name} serves"),
            ]
        );
        let last = format!("{before} stops: Reload");
        common::until(&last, || lines_of(before).last() == Some(&last));
    }
    // Another block has other state.
    server
        .reload("b.org:@PORT@ {\n clerk other\n fixed\n}\n")
        .expect("reload");
    assert_eq!(lines_of("other")[1], "other starts beside another, 0 before it");
}

#[test]
fn when_a_plugin_cannot_start_those_before_it_are_stopped_again_and_the_running_ones_go_on() {
    let server = start("a.org:@PORT@ {\n clerk old\n fixed\n}\n");
    let journal: Arc<Journal> = server.shared.of();
    journal.take();
    let error = server
        .reload("a.org:@PORT@ {\n clerk one\n clerk two\n clerk lame\n clerk four\n fixed\n}\n")
        .expect_err("one cannot start");
    assert!(error.contains("lame"), "{error}");
    assert_eq!(
        journal.take()[4..],
        [
            "one starts beside another, 1 before it",
            "two starts beside another, 1 before it",
            "lame starts beside another, 1 before it",
            "two stops: Failed",
            "one stops: Failed",
        ]
    );
    assert_eq!(rcode_of(&ask(&server.udp(), &query(1, "a.org."))), NOERROR);
}

#[test]
fn when_a_port_cannot_be_had_the_new_plugins_are_stopped_again_and_the_running_ones_go_on() {
    let server = start("a.org:@PORT@ {\n clerk old\n fixed\n}\n");
    let journal: Arc<Journal> = server.shared.of();
    journal.take();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let corefile = format!("a.org:@PORT@ b.org:{port} {{\n clerk new\n fixed\n}}\n");
    server.reload(&corefile).expect_err("the port is taken");
    assert_eq!(
        journal.take(),
        [
            "new is validated",
            "new starts beside another, 1 before it",
            "new stops: Failed",
        ]
    );
    assert_eq!(rcode_of(&ask(&server.udp(), &query(1, "a.org."))), NOERROR);
}

#[test]
fn a_plugin_may_run_the_rest_of_the_chain_again_and_also_when_the_query_is_long_answered() {
    let server = start("a.org:@PORT@ {\n again\n counted\n fixed\n}\n");
    let (later, count): (Arc<Later>, Arc<Count>) = (server.shared.of(), server.shared.of());
    assert_eq!(rcode_of(&ask(&server.udp(), &query(1, "a.org."))), NOERROR);
    assert_eq!(count.0.load(Ordering::Relaxed), 2);
    // The configuration that the query began with is gone.
    server.reload("a.org:@PORT@ {\n failing\n}\n").expect("reload");
    later.gate.add_permits(1);
    common::until("the rest of the chain has run", || {
        !later.outcomes.lock().is_empty()
    });
    assert_eq!(*later.outcomes.lock(), [Some(Rcode::NOERROR)]);
    assert_eq!(count.0.load(Ordering::Relaxed), 3);
}

#[test]
fn an_error_has_its_rcode_and_tells_clients_with_edns_more() {
    let server = start("a.org:@PORT@ {\n failing\n}\nb.org:@PORT@ {\n counted\n}\n");
    let socket = server.udp();
    let edns = |name: &str| {
        let query = QueryBuilder::new(name, 1_u16).expect("a name");
        ask(&socket, &query.edns(1232, false).to_wire())
    };
    let answer = edns("a.org.");
    assert_eq!(rcode_of(&answer), REFUSED);
    // RFC 8914, section 2: the code, then the text.
    let option = [&[0, 15, 0, 13, 0, 22][..], b"no upstream"].concat();
    assert!(answer.ends_with(&option), "{answer:?}");
    assert_eq!(
        rcode_of(&ask(&socket, &query(1, "a.org."))),
        REFUSED,
        "without EDNS"
    );
    assert_eq!(rcode_of(&edns("b.org.")), SERVFAIL, "the chain's end");
    assert_eq!(rcode_of(&ask(&socket, &query(1, "b.org."))), SERVFAIL);
    assert_eq!(server.counters.get(Event::Panic), 0);
}
