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
mod error;
mod group;
mod health;
mod local;
mod lookup;
mod probe;
pub mod random;
mod receive;
mod rtt;
mod slots;
mod stream;
mod tcp;
mod twins;
mod udp;
mod wire;

pub use error::{ExchangeError, NetworkError, Protocol, Route};
pub use group::{Answer, Event, Exchange, Group, MAX_WAITING, Observer, Options, ProbeOptions, Target};
pub use lookup::{LookupError, lookup_host};
