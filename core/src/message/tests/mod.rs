//! Tests of what the parts do together.

mod admit;
mod fit;
mod properties;
mod request;
mod response;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use hickory_proto::op::Message;

use super::{Admitted, ListenerContext, Policy, Request, Transport, admit as admit_message};

/// Bytes from hexadecimal digits.
fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Admits one message into a new request.
fn admit(bytes: &[u8], transport: Transport, policy: Policy) -> (Admitted, Request) {
    let server = Arc::from("dns://:53");
    let context = ListenerContext {
        transport,
        peer: SocketAddr::from(([192, 0, 2, 1], 5353)),
        local: SocketAddr::from(([127, 0, 0, 1], 53)),
        server: &server,
        received: Instant::now(),
    };
    let mut request = Request::new();
    let admitted = admit_message(&mut request, bytes, &context, policy);
    (admitted, request)
}

/// Decodes with hickory-proto, which knows nothing of this module.
fn decode(wire: &[u8]) -> Message {
    Message::from_vec(wire).unwrap()
}
