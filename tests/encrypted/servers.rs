//! Servers that listen over every transport.

#![allow(unreachable_pub, reason = "a module of a test binary, as those beside it")]

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use catena_testkit::{Client, Over, Pki, TestServer, TestServerBuilder, Trust, Upstream};

use crate::common::{Catena, Folder};

/// The keys of one zone for all transports. TCP and UDP have ports of their own, so that three do.
pub fn keys(zone: &str) -> String {
    let mut keys = String::new();
    for (scheme, port) in [
        ("dns", "@PORT@"),
        ("tls", "@P1@"),
        ("quic", "@P1@"),
        ("https", "@P2@"),
        ("https3", "@P2@"),
        ("grpc", "@P3@"),
    ] {
        let _ = write!(keys, "{scheme}://{zone}:{port} ");
    }
    keys
}

/// A block that serves a zone over all transports.
pub fn block(zone: &str, directives: &str) -> String {
    format!(
        "{}{{\n    bind 127.0.0.1\n    tls cert.pem key.pem\n{directives}\n}}\n",
        keys(zone)
    )
}

/// Forwards to this upstream, which is asked once for a query, however long it holds its answer.
pub fn forward_to(upstream: &Upstream) -> String {
    format!(
        "    forward . {} {{\n        read_timeout 1m\n        max_fails 0\n    }}",
        upstream.address()
    )
}

/// Which of the ports a transport is on.
pub const fn port_number(over: Over) -> usize {
    match over {
        Over::Udp | Over::Tcp => 0,
        Over::Tls | Over::Quic => 1,
        Over::Grpc => 3,
        _ => 2,
    }
}

/// A server in this process, with all plugins.
pub fn in_process(corefile: &str) -> TestServerBuilder {
    TestServer::builder(catena::plugins::registry(), corefile).encrypted()
}

/// A client of such a server.
#[track_caller]
pub fn client(server: &TestServer, over: Over) -> Client {
    server.client_on(server.port_of(port_number(over)), over)
}

/// The built program with a certificate, and clients that trust it.
pub struct Served {
    pub catena: Catena,
    /// Keeps the authority's files.
    pki: Pki,
    pub trust: Trust,
}

impl Served {
    /// Serves a Corefile.
    pub fn new(corefile: &str) -> Self {
        Self::with(Folder::with(corefile), &[])
    }

    /// Serves the Corefile in a folder.
    pub fn with(folder: Folder, args: &[&str]) -> Self {
        let pki = Pki::new("authority");
        put_certificate(&folder, &pki, &["dns.test", "127.0.0.1"]);
        let trust = Trust::new(&pki, "dns.test");
        Self {
            catena: folder.serve(args),
            trust,
            pki,
        }
    }

    /// The file of the authority's certificate.
    pub fn authority(&self) -> &Path {
        self.pki.ca()
    }

    pub fn address(&self, over: Over) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.catena.folder.port(port_number(over))))
    }

    #[track_caller]
    pub fn client(&self, over: Over) -> Client {
        self.try_client(over)
            .unwrap_or_else(|error| panic!("{over:?}: {error}\n{}", self.catena.lines().join("\n")))
    }

    pub fn try_client(&self, over: Over) -> Result<Client, String> {
        Client::builder(self.address(over), over)
            .trusting(&self.trust)
            .try_open()
    }
}

/// Puts a fresh certificate for these names beside the Corefile.
pub fn put_certificate(folder: &Folder, pki: &Pki, names: &[&str]) {
    let identity = pki.identity(names);
    let read = |path: &Path| std::fs::read_to_string(path).expect("a file of the authority");
    folder.write("cert.pem", &read(&identity.certificate));
    folder.write("key.pem", &read(&identity.key));
}
