//! What is found under `/debug/pprof`.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use catena_http::{Handler, Reply, RequestHead, text, with_type};
use hyper::Method;
use hyper::header::{CONTENT_DISPOSITION, HeaderName, HeaderValue, LOCATION};
use tokio::task::spawn_blocking;

use crate::metrics::Metrics;
use crate::profile::Profile;
use crate::{cpu, heap, index, slot, threads};

/// The way in, which leads to [`FOLDER`].
pub(crate) const PATH: &str = "/debug/pprof";

/// Where the pages are.
pub(crate) const FOLDER: &str = "/debug/pprof/";

/// How long to look at the processors unless the request says otherwise, as in Go's library.
const DEFAULT_SECONDS: u64 = 30;

/// The longest look.
const MAX_SECONDS: u64 = 300;

const NO_TRACE: &str = "Catena has no execution traces. `profile` shows where processor time goes, and the plugin `trace` \
                        how long each plugin takes for a query.\n";
const NO_ALLOCS: &str = "Allocations since the start are not counted. `heap` shows the memory in use.\n";
const NO_MUTEX: &str = "Locks are not watched. `block` shows how long each thread waited, and `profile` where processor \
                        time goes.\n";
const NO_BLOCK: &str =
    "The profile of blocking is off. Write `block` into the block of `pprof` in the Corefile.\n";

/// The pages of one block.
#[derive(Debug)]
pub(crate) struct Pages {
    block: bool,
    metrics: Metrics,
}

impl Pages {
    pub(crate) fn new(block: bool, metrics: Metrics) -> Self {
        Self { block, metrics }
    }

    async fn cpu(&self, query: &str) -> Reply {
        let seconds = seconds(query);
        if seconds > MAX_SECONDS {
            self.metrics.too_long();
            return text(400, format!("a profile takes at most {MAX_SECONDS} seconds\n"));
        }
        let Some(place) = slot::take() else {
            return self.busy();
        };
        let taken = cpu::take(Duration::from_secs(seconds), place).await;
        self.file("profile", taken)
    }

    async fn heap(&self) -> Reply {
        let Some(place) = slot::take() else {
            return self.busy();
        };
        let taken = blocking(move || {
            let _place = place;
            heap::take()
        });
        self.file("heap", taken.await)
    }

    async fn threads(
        &self,
        name: &'static str,
        query: &str,
        make: fn(&[threads::Thread]) -> Profile,
    ) -> Reply {
        let readable = parameter(query, "debug").is_some_and(|value| value != "0");
        let listed = match blocking(threads::list).await {
            Ok(listed) => listed,
            Err(error) => return failed(&error),
        };
        if readable {
            self.metrics.took(name);
            return text(200, threads::text(&listed));
        }
        self.file(name, make(&listed).finish())
    }

    /// Another profile is being taken.
    fn busy(&self) -> Reply {
        self.metrics.busy();
        text(
            503,
            "Another profile is being taken, and there is one at a time. Try again when it is done.\n",
        )
    }

    /// Answers with a profile, or with why there is none.
    fn file(&self, name: &'static str, taken: io::Result<Vec<u8>>) -> Reply {
        let bytes = match taken {
            Ok(bytes) => bytes,
            Err(error) => return failed(&error),
        };
        self.metrics.took(name);
        let mut reply = with_type(200, HeaderValue::from_static("application/octet-stream"), bytes);
        let headers = reply.headers_mut();
        if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
            headers.insert(CONTENT_DISPOSITION, disposition);
        }
        headers.insert(
            HeaderName::from_static("x-content-type-options"),
            HeaderValue::from_static("nosniff"),
        );
        reply
    }
}

#[async_trait]
impl Handler for Pages {
    async fn handle(&self, request: &RequestHead) -> Reply {
        let query = request.uri.query().unwrap_or_default();
        let Some(page) = request.uri.path().strip_prefix(FOLDER) else {
            return redirect(&request.method);
        };
        match page {
            "" => html(index::html()),
            "allocs" => text(501, NO_ALLOCS),
            "block" if self.block => self.threads("block", query, threads::block_profile).await,
            "block" => text(501, NO_BLOCK),
            "cmdline" => text(200, command_line(std::env::args_os())),
            "goroutine" => self.threads("goroutine", query, threads::profile).await,
            "heap" => self.heap().await,
            "mutex" => text(501, NO_MUTEX),
            "profile" => self.cpu(query).await,
            // Profiles have the names of functions in them: there is nothing to ask for.
            "symbol" => text(200, "num_symbols: 0\n"),
            "threadcreate" => self.threads("threadcreate", query, threads::profile).await,
            "trace" => text(501, NO_TRACE),
            _ => text(404, "Unknown profile\n"),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

fn failed(error: &io::Error) -> Reply {
    text(500, format!("The profile cannot be taken: {error}\n"))
}

fn html(body: String) -> Reply {
    with_type(200, HeaderValue::from_static("text/html; charset=utf-8"), body)
}

fn redirect(method: &Method) -> Reply {
    let mut reply = match *method {
        Method::GET | Method::HEAD => html(format!("<a href=\"{FOLDER}\">Found</a>.\n\n")),
        _ => text(302, ""),
    };
    *reply.status_mut() = hyper::StatusCode::FOUND;
    reply
        .headers_mut()
        .insert(LOCATION, HeaderValue::from_static(FOLDER));
    reply
}

/// The arguments with a NUL between each two, as Go's library gives them.
fn command_line(arguments: impl Iterator<Item = std::ffi::OsString>) -> String {
    let arguments: Vec<String> = arguments
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    arguments.join("\0")
}

/// How long to look; what is no such number counts as none, as in Go's library.
fn seconds(query: &str) -> u64 {
    let given = parameter(query, "seconds").and_then(|value| value.parse::<u64>().ok());
    given.filter(|&seconds| seconds > 0).unwrap_or(DEFAULT_SECONDS)
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_as_go_reads_them() {
        for (query, want) in [
            ("", 30),
            ("seconds=5", 5),
            ("debug=1&seconds=7&seconds=8", 7),
            ("seconds=0", 30),
            ("seconds=-1", 30),
            ("seconds=x", 30),
            ("seconds", 30),
            ("xseconds=5", 30),
            ("seconds=99999999999999999999999", 30),
        ] {
            assert_eq!(seconds(query), want, "{query}");
        }
    }

    #[test]
    fn arguments_are_separated_by_nul() {
        let arguments = ["catena", "-conf", "a b"].map(Into::into);
        assert_eq!(command_line(arguments.into_iter()), "catena\0-conf\0a b");
    }
}
