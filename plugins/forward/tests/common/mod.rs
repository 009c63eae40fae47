//! Upstreams with certificates, and a server that says why it failed.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "helpers of tests, of which each file uses a part"
)]

use async_trait::async_trait;
use catena_core::corefile::ConfigErrors;
use catena_core::message::{Rcode, Request, Transport};
use catena_core::plugin::{Definition, Next, Outcome, Plugin, PluginError, Setup};
use catena_plugin_forward::PLUGIN;
use catena_testkit::{Pki, TestServer, Upstream};

pub const ZONE: &str = "a.example.org. 60 IN A 192.0.2.1";
pub const ANSWER: [&str; 1] = ["a.example.org. 60 IN A 192.0.2.1"];

/// Whom the certificates of upstreams are for.
pub const NAMES: [&str; 2] = ["dns.example.org", "127.0.0.1"];

pub const SCHEMES: [(&str, Transport); 4] = [
    ("tls", Transport::Tls),
    ("https", Transport::Https),
    ("https3", Transport::Https3),
    ("quic", Transport::Quic),
];

/// Answers failures with their text in an extended error.
struct Complain;

static COMPLAIN: Definition = Definition::new("complain", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    setup.add(Complain);
    Ok(())
}

#[async_trait]
impl Plugin for Complain {
    fn name(&self) -> &'static str {
        "complain"
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        let error = match next.run(request).await {
            Err(error) => error.to_string(),
            answered => return answered,
        };
        let mut response = request.reply().finish();
        response.set_rcode(Rcode::SERVFAIL);
        response.add_extended_error(0, &error);
        Ok(response.into())
    }
}

/// A server whose answers to what failed say why, with `complain` in the block.
pub fn server(corefile: &str) -> TestServer {
    TestServer::start([COMPLAIN, PLUGIN], corefile)
}

/// An upstream with a certificate that is in order.
pub struct Secure {
    pub pki: Pki,
    pub upstream: Upstream,
}

impl Secure {
    pub fn start(transport: Transport) -> Self {
        let pki = Pki::new("upstreams");
        let tls = pki.identity(&NAMES).server(&[]);
        Self {
            upstream: Upstream::start_over(transport, ZONE, Some(tls)),
            pki,
        }
    }

    /// A block that forwards to it.
    pub fn corefile(&self, scheme: &str, options: &str) -> String {
        corefile(&self.pki, scheme, &self.upstream.to_string(), options)
    }
}

pub fn corefile(pki: &Pki, scheme: &str, upstream: &str, options: &str) -> String {
    format!(
        ".:@PORT@ {{\ncomplain\nforward . {scheme}://{upstream} {{\ntls {}\ntls_servername dns.example.org\n{options}\n}}\n}}",
        pki.ca().display()
    )
}
