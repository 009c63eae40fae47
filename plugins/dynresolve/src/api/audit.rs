//! A log line for each write, refused ones too.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};

use axum::http::{Extensions, Method};

use super::refusal::Reason;

/// Most characters of a client's text in a line.
const MAX_TEXT: usize = 256;

/// What a handler knows of a write; it goes along with the response.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// A write to one service, with the records of the request.
    Service { fqdn: String, records: Vec<Ipv4Addr> },
    /// A write to all services, of which there are so many now.
    State(usize),
}

/// The line about a write.
pub(crate) fn line(
    zone: &str,
    client: SocketAddr,
    method: &Method,
    path: &str,
    status: u16,
    extensions: &Extensions,
) -> String {
    let mut line = format!(
        "audit zone={zone} client={client} method={}",
        plain(method.as_str())
    );
    // Writing to a string cannot fail.
    let _ = match extensions.get::<Subject>() {
        Some(Subject::Service { fqdn, records }) => {
            let records: Vec<String> = records.iter().map(ToString::to_string).collect();
            write!(
                line,
                " name={fqdn} records={}",
                if records.is_empty() {
                    "-".to_owned()
                } else {
                    records.join(",")
                }
            )
        }
        Some(Subject::State(count)) => write!(line, " name=* services={count}"),
        None => write!(line, " path=\"{}\"", plain(path)),
    };
    let _ = write!(line, " status={status}");
    let _ = match extensions.get::<Reason>() {
        Some(Reason(reason)) => write!(line, " outcome=refused reason=\"{}\"", plain(reason)),
        None => write!(line, " outcome=accepted"),
    };
    line
}

/// A client's text in printable ASCII without bare quotes.
fn plain(text: &str) -> String {
    text.chars()
        .take(MAX_TEXT)
        .flat_map(char::escape_default)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_was_done_and_escape_what_the_client_says() {
        let client: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        let line = |path: &str, status, extensions: &Extensions| {
            line("service.local.", client, &Method::PUT, path, status, extensions)
        };
        let mut extensions = Extensions::new();
        let records = vec![Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];
        extensions.insert(Subject::Service {
            fqdn: "a.service.local".to_owned(),
            records,
        });
        assert_eq!(
            line("/v1/services/a", 200, &extensions),
            "audit zone=service.local. client=127.0.0.1:4000 method=PUT name=a.service.local \
             records=10.0.0.1,10.0.0.2 status=200 outcome=accepted"
        );
        let mut extensions = Extensions::new();
        extensions.insert(Reason("got \"\u{1b}[31m\"".to_owned()));
        assert_eq!(
            line("/v1/x\" outcome=accepted \u{202e}\n", 400, &extensions),
            "audit zone=service.local. client=127.0.0.1:4000 method=PUT \
             path=\"/v1/x\\\" outcome=accepted \\u{202e}\\n\" status=400 outcome=refused \
             reason=\"got \\\"\\u{1b}[31m\\\"\""
        );
        assert!(line(&"x".repeat(10_000), 404, &Extensions::new()).len() < 500);
    }
}
