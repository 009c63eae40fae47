//! Serving: from the flags to the exit status.

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;

use catena_core::config::Registry;
use catena_core::instance::{CorefileSource, MAX_CONNECTIONS, Options, Server};
use catena_core::log::LogSink;
use catena_core::plugin::Control;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::flags::Flags;

/// The Corefile of the working folder.
const DEFAULT_FILE: &str = "Corefile";

/// Descriptors that are left for everything but clients' connections.
const RESERVED_DESCRIPTORS: u64 = 1024;

/// Serves the Corefile until a signal ends it.
pub(super) fn run(source: CorefileSource, flags: &Flags, registry: Registry) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    // The control runtime's blocking threads may still wait for something slow at the end; nobody waits for them.
    let status = runtime.block_on(serve(source, flags, registry));
    runtime.shutdown_background();
    status
}

async fn serve(source: CorefileSource, flags: &Flags, registry: Registry) -> ExitCode {
    // From here on a signal waits for the server instead of ending the process half-way through its start.
    let signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("cannot watch signals: {error}")),
    };
    let log = LogSink::stdout();
    let dispatch = catena_core::log::dispatch(log.clone());
    // Another program's subscriber is left in place if this one is embedded there.
    let _ = tracing::dispatcher::set_global_default(dispatch);
    let mut options = Options::new(source, registry);
    options.default_port = flags.port;
    options.log = log.clone();
    options.announce = !flags.quiet;
    options.banner = super::version_lines();
    options.max_connections = max_connections();
    let server = match Server::start(options).await {
        Ok(server) => server,
        Err(error) => {
            log.flush();
            return fail(&error.to_string());
        }
    };
    write_pidfile(&flags.pidfile, &log);
    tokio::spawn(signals.follow(server.control(), log.clone()));
    let status = server.run().await;
    if !flags.pidfile.is_empty() {
        // It may be gone already; then there is nothing to do.
        let _ = std::fs::remove_file(&flags.pidfile);
    }
    log.flush();
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}

fn fail(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}

/// Where the Corefile comes from: `-conf`, the working folder, or the built-in default.
pub(super) fn source(flags: &Flags) -> std::io::Result<CorefileSource> {
    if flags.conf == "stdin"
        && let Some(text) = piped()?
    {
        return Ok(CorefileSource::text("stdin", text));
    }
    if !flags.conf.is_empty() && flags.conf != "stdin" {
        return Ok(CorefileSource::File(flags.conf.clone().into()));
    }
    if Path::new(DEFAULT_FILE).exists() {
        return Ok(CorefileSource::File(DEFAULT_FILE.into()));
    }
    Ok(CorefileSource::built_in(flags.port))
}

/// What comes by standard input, if that is a pipe or a file.
fn piped() -> std::io::Result<Option<Vec<u8>>> {
    let mut stdin = std::io::stdin();
    let is_null = std::fs::read_link("/proc/self/fd/0").is_ok_and(|target| target == Path::new("/dev/null"));
    if stdin.is_terminal() || is_null {
        return Ok(None);
    }
    let mut text = Vec::new();
    stdin.read_to_end(&mut text)?;
    Ok(Some(text))
}

/// Connections that the limit on descriptors allows; the limit is raised as far as the system lets.
fn max_connections() -> usize {
    let descriptors = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(RESERVED_DESCRIPTORS * 2);
    let left = descriptors
        .saturating_sub(RESERVED_DESCRIPTORS)
        .max(descriptors / 2);
    usize::try_from(left)
        .unwrap_or(MAX_CONNECTIONS)
        .min(MAX_CONNECTIONS)
}

fn write_pidfile(path: &str, log: &LogSink) {
    if path.is_empty() {
        return;
    }
    if let Err(error) = std::fs::write(path, format!("{}\n", std::process::id())) {
        log.line(&format!("[ERROR] Could not write pidfile: open {path}: {error}"));
    }
}

/// The signals that CoreDNS knows.
struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    usr1: Signal,
    usr2: Signal,
    hup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Does what the signals say, until the server has ended.
    async fn follow(mut self, control: Control, log: LogSink) {
        let mut interrupts = 0;
        loop {
            tokio::select! {
                _ = self.term.recv() => {
                    log.line("[INFO] SIGTERM: Shutting down servers then terminating");
                    control.stop(0);
                }
                _ = self.int.recv() => {
                    interrupts += 1;
                    if interrupts > 1 {
                        log.line("[INFO] SIGINT: Force quit");
                        log.flush();
                        std::process::exit(2);
                    }
                    log.line("[INFO] SIGINT: Shutting down");
                    control.stop(0);
                }
                _ = self.quit.recv() => {
                    log.line("[INFO] SIGQUIT: Quitting process immediately");
                    log.flush();
                    std::process::exit(0);
                }
                _ = self.usr1.recv() => reload(control.clone(), log.clone()),
                _ = self.usr2.recv() => {
                    log.line("[ERROR] SIGUSR2: upgrading in place is not supported; SIGUSR1 reloads the Corefile");
                }
                // Sent when a terminal goes away; not meant for a server.
                _ = self.hup.recv() => {}
            }
        }
    }
}

/// Reloads beside the watching of signals, so that a second one can still end the process.
fn reload(control: Control, log: LogSink) {
    log.line("[INFO] SIGUSR1: Reloading");
    tokio::spawn(async move {
        if let Err(error) = control.reload().await {
            log.line(&format!(
                "[ERROR] SIGUSR1: {}",
                error.lines().next().unwrap_or_default()
            ));
        }
    });
}
