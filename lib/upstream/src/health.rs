//! What all workers know of each upstream: whether it is up, and whether it has fallen silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::error::Protocol;
use crate::group::{Observer, Options};
use crate::probe;
use crate::target::Target;

/// What the workers of a group share. Each of them reads it for each query, and writes to it rarely.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) observer: Box<dyn Observer>,
    epoch: Instant,
}

/// One upstream.
pub(crate) struct Upstream {
    pub(crate) target: Target,
    /// The target in words, for errors.
    pub(crate) peer: Arc<str>,
    /// Failed probes in a row.
    fails: AtomicU32,
    standing: AtomicU8,
    /// How often it fell silent since it last answered a query.
    silences: AtomicU32,
    /// When the query went out that is to show whether it answers again; 0 for not yet. In milliseconds since `epoch`.
    tried: AtomicU64,
    /// When any worker last heard of it, to some milliseconds; 0 for never.
    heard: AtomicU64,
    /// The server's sockets, seen as one.
    datagrams: Path,
    /// The server's connections, seen as one.
    stream: Path,
    probing: Mutex<Option<AbortHandle>>,
    glancing: AtomicBool,
}

/// Nothing is known against it.
const FINE: u8 = 0;
/// It left queries unanswered; new ones avoid it.
const SILENT: u8 = 1;
/// It answered a probe; one query may show whether it answers queries too.
const TRIAL: u8 = 2;

impl Shared {
    pub(crate) fn new(targets: Vec<Target>, options: Options, observer: Box<dyn Observer>) -> Self {
        let upstreams = targets.into_iter().map(Upstream::new).collect();
        // So that no moment of this group is at 0 milliseconds.
        let epoch = Instant::now() - Duration::from_millis(1);
        Self {
            options,
            upstreams,
            observer,
            epoch,
        }
    }

    /// Whether so many probes failed that the upstream counts as down.
    pub(crate) fn is_down(&self, upstream: usize) -> bool {
        let limit = self.options.max_fails;
        limit != 0 && self.upstreams[upstream].fails.load(Ordering::Relaxed) > limit
    }

    pub(crate) fn is_silent(&self, upstream: usize) -> bool {
        self.upstreams[upstream].standing.load(Ordering::Relaxed) == SILENT
    }

    pub(crate) fn is_fine(&self, upstream: usize) -> bool {
        self.upstreams[upstream].standing.load(Ordering::Relaxed) == FINE
    }

    /// Whether a new query may go to the upstream. Of one that is on trial, the first caller gets a yes.
    pub(crate) fn admits(&self, upstream: usize) -> bool {
        let state = &self.upstreams[upstream];
        match state.standing.load(Ordering::Relaxed) {
            FINE => true,
            SILENT => false,
            _ => {
                let now = self.millis(Instant::now());
                let tried = state.tried.load(Ordering::Relaxed);
                // A trial that came to no end, as its client went away, must not bar the upstream for ever.
                (tried == 0 || now > tried + TRIAL_TIME)
                    && state
                        .tried
                        .compare_exchange(tried, now, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok()
            }
        }
    }

    /// An upstream answered a query.
    pub(crate) fn answered(&self, upstream: usize, now: Instant) {
        let state = &self.upstreams[upstream];
        self.heard_of(upstream, now);
        if state.standing.load(Ordering::Relaxed) != FINE {
            state.standing.store(FINE, Ordering::Relaxed);
            state.silences.store(0, Ordering::Relaxed);
        }
    }

    /// When any worker last heard of the upstream.
    pub(crate) fn last_heard(&self, upstream: usize) -> Option<Instant> {
        match self.upstreams[upstream].heard.load(Ordering::Relaxed) {
            0 => None,
            millis => Some(self.epoch + Duration::from_millis(millis)),
        }
    }

    fn heard_of(&self, upstream: usize, now: Instant) {
        let heard = &self.upstreams[upstream].heard;
        let now = self.millis(now);
        // Written now and then only, so that the line stays in the caches of all workers.
        if now > heard.load(Ordering::Relaxed) + HEARD_STEP {
            heard.store(now, Ordering::Relaxed);
        }
    }

    /// Notes that a query goes out at `now`. Says whether the server, be it in another worker, had a socket or connection
    /// already that was neither idle for too long nor too old; `lost` if the one at hand just broke.
    pub(crate) fn use_path(
        &self,
        (upstream, protocol): (usize, Protocol),
        now: Instant,
        options: &Options,
        lost: bool,
    ) -> bool {
        let path = self.upstreams[upstream].path(protocol);
        let at = self.millis(now);
        let made = path.made.load(Ordering::Relaxed);
        let used = path.used.load(Ordering::Relaxed);
        // Seldom enough that workers do not take the cache line from each other at each query.
        if at > used + HEARD_STEP {
            path.used.store(at, Ordering::Relaxed);
        }
        let within = |time: Duration, since: u64| u128::from(at.saturating_sub(since)) <= time.as_millis();
        let had = !lost
            && made != 0
            && within(options.expire, used)
            && options.max_age.is_none_or(|max| within(max, made));
        if !had {
            path.made.store(at, Ordering::Relaxed);
        }
        had
    }

    /// Notes that a connection ended by itself: the next one is new.
    pub(crate) fn lose_stream(&self, upstream: usize) {
        self.upstreams[upstream].stream.made.store(0, Ordering::Relaxed);
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX)
    }

    /// A query failed at the upstream: probes find out about it, unless that is switched off or under way.
    pub(crate) fn failed(self: &Arc<Self>, upstream: usize) {
        if self.options.max_fails != 0 {
            self.probe_until_healthy(upstream, Duration::ZERO);
        }
    }

    /// The upstream left queries unanswered for longer than can be explained.
    pub(crate) fn fell_silent(self: &Arc<Self>, upstream: usize) {
        let state = &self.upstreams[upstream];
        if state.standing.swap(SILENT, Ordering::Relaxed) == SILENT {
            return;
        }
        self.observer.fell_silent(upstream);
        // One that answers probes and no queries is tried more and more seldom.
        let before = state.silences.fetch_add(1, Ordering::Relaxed);
        let pause = match before {
            0 => Duration::ZERO,
            _ => (FIRST_PAUSE * 2u32.saturating_pow(before.min(10) - 1)).min(LONGEST_PAUSE),
        };
        self.probe_until_healthy(upstream, pause);
    }

    /// Asks an upstream once whether it is there, if nothing was heard of it for lack of queries.
    pub(crate) fn glance(self: &Arc<Self>, upstream: usize) {
        let state = &self.upstreams[upstream];
        if self.options.max_fails == 0 || state.glancing.swap(true, Ordering::Relaxed) {
            return;
        }
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let options = &shared.options;
            let state = &shared.upstreams[upstream];
            if probe::check(&state.target, &options.probe, options.source)
                .await
                .is_ok()
            {
                shared.heard_of(upstream, Instant::now());
            }
            state.glancing.store(false, Ordering::Relaxed);
        });
    }

    fn probe_until_healthy(self: &Arc<Self>, upstream: usize, pause: Duration) {
        let mut probing = self.upstreams[upstream].probing.lock();
        if probing.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let shared = Arc::clone(self);
        let task = tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            shared.probe_loop(upstream).await;
        });
        *probing = Some(task.abort_handle());
    }

    async fn probe_loop(&self, upstream: usize) {
        let state = &self.upstreams[upstream];
        let Options {
            probe,
            source,
            max_fails,
            ..
        } = &self.options;
        if *max_fails == 0 {
            // Without probes, a query has to find out.
            tokio::time::sleep(FIRST_PAUSE).await;
            state.put_on_trial();
            return;
        }
        while probe::check(&state.target, probe, *source).await.is_err() {
            state
                .fails
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |fails| fails.checked_add(1))
                .ok();
            self.observer.probe_failed(upstream);
            tokio::time::sleep(probe.interval).await;
        }
        state.fails.store(0, Ordering::Relaxed);
        state.put_on_trial();
    }

    /// Ends all probes.
    pub(crate) fn stop_probes(&self) {
        for state in &self.upstreams {
            if let Some(task) = state.probing.lock().take() {
                task.abort();
            }
        }
    }
}

/// Sockets or connections of all workers to one upstream, seen as one; times in milliseconds since `epoch`.
#[derive(Debug, Default)]
struct Path {
    /// When it was made; 0 for not at all.
    made: AtomicU64,
    /// When it was last used, to some milliseconds.
    used: AtomicU64,
}

impl Upstream {
    fn path(&self, protocol: Protocol) -> &Path {
        match protocol {
            Protocol::Udp => &self.datagrams,
            _ => &self.stream,
        }
    }

    fn new(target: Target) -> Self {
        Self {
            peer: target.to_string().into(),
            target,
            fails: AtomicU32::new(0),
            standing: AtomicU8::new(FINE),
            silences: AtomicU32::new(0),
            tried: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            datagrams: Path::default(),
            stream: Path::default(),
            probing: Mutex::new(None),
            glancing: AtomicBool::new(false),
        }
    }

    fn put_on_trial(&self) {
        self.tried.store(0, Ordering::Relaxed);
        // Nothing happens if it is fine by now.
        self.standing
            .compare_exchange(SILENT, TRIAL, Ordering::Relaxed, Ordering::Relaxed)
            .ok();
    }
}

/// Precision of the time when an upstream was last heard of, in milliseconds.
const HEARD_STEP: u64 = 8;

/// How long a trial may take until another query may try, in milliseconds.
const TRIAL_TIME: u64 = 1000;

/// How long an upstream is left alone that fell silent again after its probe; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
