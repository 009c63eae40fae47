//! Queries and answers: a view on the wire first, typed records when a plugin asks for them.

pub mod name;
mod transport;

pub use name::{NameError, QName, Zone};
pub use transport::Transport;
