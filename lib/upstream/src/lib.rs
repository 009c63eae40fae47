//! The client side of DNS for plugins that ask other servers.
//!
//! A [`Group`] is the set of upstreams that a forwarder chooses from. It keeps sockets and connections to each of them,
//! a set for each worker thread, and sends many queries on each at the same time:
//!
//! ```no_run
//! use catena_upstream::{Group, Options, Protocol, Target};
//!
//! # async fn example(query: &[u8]) -> Result<(), catena_upstream::ExchangeError> {
//! let targets = vec![Target::new(([192, 0, 2, 53], 53).into())];
//! let group = Group::new(targets, Options::default(), 1, ());
//! let answer = group.exchange(0, query, Protocol::Udp).answer().await?;
//! println!("{} after {:?}", answer.response.rcode(), answer.elapsed);
//! # Ok(())
//! # }
//! ```
//!
//! An upstream is a [`Target`]: one that speaks plain DNS, which is asked over UDP or TCP as the caller says, or one over
//! TLS, HTTP/2, HTTP/3 or QUIC, or in gRPC calls, which is asked in its own way. Connections are few and kept, and carry
//! many queries at a time; when one ends, the queries on it are sent again on another.
//!
//! What it guards against:
//!
//! - **Forged answers.** Over UDP a query leaves from one of several random ports, which change often, with a random id;
//!   only the question itself, letter by letter, with that id at that port is an answer. Whatever else arrives is
//!   dropped and the query waits on. When too much of it arrives at a socket, the socket is closed and its queries go
//!   over TCP. Equal questions are not asked any number of times at once.
//! - **Errors that anybody can send.** An error message without a question is held back for a moment, in case the real
//!   answer is still to come.
//! - **Upstreams that fall silent.** The time each usually takes is known; one that leaves queries unanswered for longer
//!   while others answer is noticed long before the queries time out, see [`Event::Silence`].

#![forbid(unsafe_code)]

mod clock;
mod connection;
mod connections;
mod cork;
mod error;
mod group;
mod health;
mod http;
mod http1;
mod http2;
mod http3;
mod local;
mod lookup;
mod multiplex;
mod policy;
mod probe;
mod quic;
pub mod random;
mod receive;
mod rtt;
mod slots;
mod stream;
mod target;
mod tls;
mod twins;
mod udp;
mod wire;
mod words;

pub use error::{BadReply, ExchangeError, NetworkError, Protocol, Route, RpcStatus};
pub use group::{Answer, Event, Exchange, Group, MAX_WAITING, Observer, Options, ProbeOptions};
pub use lookup::{LookupError, lookup_host};
pub use policy::{Order, Policy};
pub use target::{Method, Scheme, Target};
pub use tls::{Tls, TlsError, server_name};
pub use words::{name_servers, parse_address};
