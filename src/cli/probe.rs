//! `catena probe`: asks an HTTP endpoint of a server, for health checks of containers that have no other client.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::flags::{FlagError, flag_of};

const HELP: &str = "\
Usage: catena probe [-timeout DURATION] [URL]

Asks URL, and ends with status 0 if the answer is 200 OK, else with 1 and a line that says why.

  URL                http://ADDRESS:PORT/PATH, or ADDRESS:PORT or :PORT for /health there; the default is the address of
                     DNS_PROXY_HEALTH if that has one, else 127.0.0.1:8080
  -timeout DURATION  how long it may take, as 500ms or 2s (default 2s)";

/// Where the health endpoint is unless somebody says so.
const DEFAULT: &str = ":8080";

/// The proxy's own setting.
const VARIABLE: &str = "DNS_PROXY_HEALTH";

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest answer that is looked at, in bytes.
const MAX_ANSWER: u64 = 4096;

/// What is to be asked.
#[derive(Debug, PartialEq, Eq)]
struct Probe {
    /// Host and port.
    server: String,
    path: String,
    timeout: Duration,
}

/// Asks, and says how it went by the exit status.
pub(super) fn run(words: &[String]) -> ExitCode {
    let health = std::env::var(VARIABLE).unwrap_or_default();
    let probe = match read(words, &health) {
        Ok(Some(probe)) => probe,
        Ok(None) => return super::say(HELP),
        Err(error) => {
            eprintln!("{error}\n{HELP}");
            return ExitCode::from(super::USAGE);
        }
    };
    match probe.ask() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("http://{}{}: {problem}", probe.server, probe.path);
            ExitCode::FAILURE
        }
    }
}

/// Reads the words behind `probe`; nothing where the help is wanted.
fn read(words: &[String], health: &str) -> Result<Option<Probe>, FlagError> {
    let mut url = None;
    let mut timeout = DEFAULT_TIMEOUT;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match flag_of(word)? {
            Some(("h" | "help", _)) => return Ok(None),
            Some(("timeout", value)) => {
                let text = value.map(str::to_owned).or_else(|| rest.next().cloned());
                let text = text.ok_or_else(|| FlagError::NoValue("timeout".to_owned()))?;
                timeout = duration(&text)?;
            }
            Some((name, _)) => return Err(FlagError::Unknown(name.to_owned())),
            None if url.is_none() => url = Some(word.as_str()),
            None => return Err(FlagError::Extra(word.clone())),
        }
    }
    let health = Some(health.trim()).filter(|health| health.contains(':'));
    let (server, path) = target(url.or(health).unwrap_or(DEFAULT))?;
    Ok(Some(Probe {
        server,
        path,
        timeout,
    }))
}

/// Host with port, and path.
fn target(text: &str) -> Result<(String, String), FlagError> {
    let bad = || FlagError::Syntax(format!("{text}, expected http://ADDRESS:PORT/PATH"));
    let (server, path) = match text.strip_prefix("http://") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None if text.contains('/') => return Err(bad()),
        None => (text, "/health"),
    };
    let path = if path.is_empty() { "/" } else { path };
    let port = server.rsplit_once(':').map(|(_, port)| port);
    if !port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port != 0)) {
        return Err(bad());
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad());
    }
    let any = ["0.0.0.0:", "[::]:", ":"]
        .iter()
        .find_map(|any| server.strip_prefix(any));
    let server = any.map_or_else(|| server.to_owned(), |port| format!("127.0.0.1:{port}"));
    Ok((server, path.to_owned()))
}

fn duration(text: &str) -> Result<Duration, FlagError> {
    let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let milliseconds = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        _ => None,
    };
    let number: Option<u64> = number.parse().ok();
    number
        .zip(milliseconds)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .filter(|time| (1..=60_000).contains(time))
        .map(Duration::from_millis)
        .ok_or_else(|| FlagError::BadValue {
            flag: "timeout".to_owned(),
            value: text.to_owned(),
            expected: "a duration from 1ms to 60s",
        })
}

impl Probe {
    fn ask(&self) -> Result<(), String> {
        let deadline = Instant::now() + self.timeout;
        let answer = self.exchange(deadline).map_err(|error| error.to_string())?;
        let status_line = answer.lines().next().unwrap_or_default().trim();
        let status = status_line.split(' ').nth(1);
        match status {
            Some("200") if status_line.starts_with("HTTP/1.") => Ok(()),
            _ if status_line.is_empty() => Err("no answer".to_owned()),
            _ => Err(format!("answers {}", status_line.escape_debug())),
        }
    }

    fn exchange(&self, deadline: Instant) -> std::io::Result<String> {
        let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time");
        let left = || match deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(late()),
            left => Ok(left),
        };
        let mut refused = None;
        for address in self.server.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left()?) {
                Err(error) => refused = Some(error),
                Ok(mut stream) => {
                    stream.set_write_timeout(Some(left()?))?;
                    let (path, server) = (&self.path, &self.server);
                    let request =
                        format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
                    stream.write_all(request.as_bytes())?;
                    let mut answer = Vec::new();
                    // The status line is enough, whatever comes behind it and when.
                    while !answer.contains(&b'\n') && (answer.len() as u64) < MAX_ANSWER {
                        stream.set_read_timeout(Some(left()?))?;
                        let mut part = [0; 512];
                        match stream.read(&mut part) {
                            Ok(0) => break,
                            Ok(count) => answer.extend_from_slice(&part[..count]),
                            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                                return Err(late());
                            }
                            Err(error) => return Err(error),
                        }
                    }
                    return Ok(String::from_utf8_lossy(&answer).into_owned());
                }
            }
        }
        Err(refused.unwrap_or_else(|| std::io::Error::other("no such host")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_asked_is_read() {
        for (line, health, server, path, timeout) in [
            ("", "", "127.0.0.1:8080", "/health", 2000),
            ("", "true", "127.0.0.1:8080", "/health", 2000),
            ("", ":9000", "127.0.0.1:9000", "/health", 2000),
            ("", "192.0.2.1:9000", "192.0.2.1:9000", "/health", 2000),
            ("", "0.0.0.0:9000", "127.0.0.1:9000", "/health", 2000),
            (":8181", ":9000", "127.0.0.1:8181", "/health", 2000),
            (
                "http://localhost:8181/ready",
                "",
                "localhost:8181",
                "/ready",
                2000,
            ),
            ("http://[::]:8181", "", "127.0.0.1:8181", "/", 2000),
            ("-timeout 500ms [::1]:1", "", "[::1]:1", "/health", 500),
            ("--timeout=5s", "", "127.0.0.1:8080", "/health", 5000),
        ] {
            let probe = read(&words(line), health).unwrap().unwrap();
            let want = Probe {
                server: server.to_owned(),
                path: path.to_owned(),
                timeout: Duration::from_millis(timeout),
            };
            assert_eq!(probe, want, "{line:?} {health:?}");
        }
        assert_eq!(read(&words("-h"), ""), Ok(None));
    }

    #[test]
    fn mistakes_are_told() {
        for (line, want) in [
            ("-x", "flag provided but not defined: -x"),
            ("-timeout", "flag needs an argument: -timeout"),
            (
                "-timeout 0s",
                "invalid value \"0s\" for flag -timeout: expected a duration from 1ms to 60s",
            ),
            (
                "-timeout 5",
                "invalid value \"5\" for flag -timeout: expected a duration from 1ms to 60s",
            ),
            ("a:1 b:1", "extra command line arguments: [b:1]"),
            (
                "localhost",
                "bad flag syntax: localhost, expected http://ADDRESS:PORT/PATH",
            ),
            (
                "https://a:1/",
                "bad flag syntax: https://a:1/, expected http://ADDRESS:PORT/PATH",
            ),
            ("a:0", "bad flag syntax: a:0, expected http://ADDRESS:PORT/PATH"),
        ] {
            let error = read(&words(line), "").unwrap_err();
            assert_eq!(error.to_string(), want, "{line}");
        }
    }

    /// Says this once, to whoever asks.
    fn server(says: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(says).unwrap();
            // Until the client has had enough.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        address
    }

    #[test]
    fn only_200_is_well() {
        for (says, want) in [
            (&b"HTTP/1.1 200 OK\r\n\r\nOK"[..], Ok(())),
            (b"HTTP/1.0 200\n", Ok(())),
            (
                b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
                Err("answers HTTP/1.1 503 Service Unavailable"),
            ),
            (
                b"SSH-2.0-x\x1b[31m 200\r\n",
                Err("answers SSH-2.0-x\\u{1b}[31m 200"),
            ),
            (b"HTTP/1.1 2", Err("no answer in time")),
        ] {
            let probe = Probe {
                server: server(says),
                path: "/health".to_owned(),
                timeout: Duration::from_millis(300),
            };
            assert_eq!(probe.ask(), want.map_err(str::to_owned), "{says:?}");
        }
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let probe = Probe {
            server: nobody.to_string(),
            path: "/".to_owned(),
            timeout: Duration::from_secs(2),
        };
        assert!(probe.ask().unwrap_err().contains("refused"));
    }
}
