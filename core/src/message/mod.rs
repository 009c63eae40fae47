//! Queries and answers: a view on the wire first, typed records when a plugin asks for them.
//!
//! A listener hands what it received to [`admit()`], which fills a [`Request`] or refuses. A plugin writes its answer
//! with [`Request::reply`], which yields a [`Response`]; [`fit()`] makes of it what the client can take.
//!
//! ```
//! use std::net::Ipv4Addr;
//!
//! use catena_core::message::{CLASS_IN, Owner, QueryBuilder, fit};
//! use hickory_proto::rr::RecordType;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut request = QueryBuilder::new("www.Example.org.", RecordType::A)?.edns(1232, false).to_request()?;
//! assert_eq!(request.qname().to_string(), "www.example.org.");
//! let response = request
//!     .reply()
//!     .authoritative(true)
//!     .answer(Owner::Question, RecordType::A, CLASS_IN, 3600, Ipv4Addr::new(192, 0, 2, 1))
//!     .finish();
//! let wire = fit(response, &request);
//! assert_eq!(wire.len(), request.wire().len() + 16);
//! # Ok(())
//! # }
//! ```

pub mod admit;
mod compress;
mod dress;
pub mod edns;
mod extensions;
pub mod fit;
mod kept;
pub mod name;
mod query;
mod rcode;
mod rdata;
mod reply;
mod request;
mod response;
mod rewrite;
pub mod testing;
#[cfg(test)]
mod tests;
mod tls_session;
mod transport;
mod wire;

pub use admit::{Admitted, DropReason, Policy, Refusal, admit};
pub use edns::{Edns, EdnsOptions};
pub use extensions::{Extensions, HttpHeaders};
pub use fit::{error_reply, fit, fit_to};
pub use kept::Kept;
pub use name::{NameError, QName, Zone};
pub use query::QueryBuilder;
pub use rcode::Rcode;
pub use reply::{Owner, Rdata, RdataWriter, ReplyBuilder};
pub use request::{AnswerOptions, ListenerContext, QueryError, Request};
pub use response::Response;
pub use tls_session::TlsSession;
pub use transport::Transport;
pub use wire::{
    CLASS_ANY, CLASS_CH, CLASS_IN, HEADER_LEN, MAX_MESSAGE_LEN, MIN_UDP_SIZE, MessageError, RecordView,
    Records, Section,
};
