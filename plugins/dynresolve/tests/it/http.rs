//! A small client of HTTP/1.1: what it sends is exactly what a test says.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use catena_testkit::TestServer;

/// The token of all tests.
pub(crate) const TOKEN: &str = "secret";

/// How long a response may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client of one API.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<String>,
}

/// A response.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.body);
        self
    }

    /// The message of a refusal.
    #[track_caller]
    pub(crate) fn error(&self) -> String {
        let value: serde_json::Value = serde_json::from_str(&self.body).expect("a body in JSON");
        value["error"].as_str().expect("the field `error`").to_owned()
    }
}

impl Http {
    /// A client of the API on `@P1@`.
    pub(crate) fn of(server: &TestServer) -> Self {
        Self::on(server.port_of(1))
    }

    pub(crate) fn on(port: u16) -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            token: Some(TOKEN.to_owned()),
        }
    }

    pub(crate) fn with_token(&self, token: Option<&str>) -> Self {
        Self {
            token: token.map(str::to_owned),
            ..self.clone()
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection to the API");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "")
    }

    pub(crate) fn put(&self, path: &str, body: &str) -> Reply {
        self.send("PUT", path, body)
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Reply {
        self.send("POST", path, body)
    }

    pub(crate) fn delete(&self, path: &str, body: &str) -> Reply {
        self.send("DELETE", path, body)
    }

    /// Registers a service with these last octets of 192.0.2.0/24.
    #[track_caller]
    pub(crate) fn register(&self, name: &str, octets: &[u8]) {
        let records: Vec<String> = octets
            .iter()
            .map(|octet| format!("\"192.0.2.{octet}\""))
            .collect();
        let body = format!("{{\"type\":\"A\",\"records\":[{}]}}", records.join(","));
        self.put(&format!("/v1/services/{name}"), &body).expect(200);
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: &str) -> Reply {
        let tried = self.try_send(method, path, body.as_bytes());
        tried.unwrap_or_else(|| panic!("no response to {method} {path}"))
    }

    /// Sends a request on a connection of its own.
    pub(crate) fn try_send(&self, method: &str, path: &str, body: &[u8]) -> Option<Reply> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        // A server that refuses a body need not read it.
        let _ = stream.write_all(&[self.head(method, path, body.len(), "close").as_bytes(), body].concat());
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        parse(&text)
    }

    pub(crate) fn head(&self, method: &str, path: &str, length: usize, connection: &str) -> String {
        let token = self
            .token
            .as_ref()
            .map(|token| format!("Authorization: Bearer {token}\r\n"));
        format!(
            "{method} {path} HTTP/1.1\r\nHost: api\r\n{}Content-Length: {length}\r\nConnection: {connection}\r\n\r\n",
            token.unwrap_or_default()
        )
    }
}

/// Reads one response off a connection that stays open.
pub(crate) fn read_reply(stream: &mut TcpStream) -> Option<Reply> {
    let mut text = Vec::new();
    loop {
        if let Some(reply) = parse(&text) {
            let length = reply
                .header("content-length")
                .and_then(|length| length.parse().ok())
                .unwrap_or(0);
            if reply.body.len() >= length {
                return Some(reply);
            }
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => text.extend_from_slice(&buffer[..count]),
        }
    }
}

fn parse(text: &[u8]) -> Option<Reply> {
    let text = String::from_utf8_lossy(text);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}
