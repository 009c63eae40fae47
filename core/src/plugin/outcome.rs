//! What a plugin decided about a query.

use std::fmt;

use async_trait::async_trait;

use super::PluginError;
use crate::message::{Rcode, Response};

/// What a plugin decided about one query.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// One complete message, in wire form or as records; the listener fits it to the transport.
    Reply(Response),
    /// No message: the server answers with this RCODE and the question alone.
    Status(Rcode),
    /// A zone transfer: one or more messages (RFC 5936).
    Transfer(TransferStream),
    /// Deliberate silence, as `acl` with `drop` wants it.
    Drop,
}

impl Outcome {
    /// The RCODE that the client will see; `None` for silence and transfers.
    #[must_use]
    pub fn rcode(&self) -> Option<Rcode> {
        match self {
            Self::Reply(response) => Some(response.rcode()),
            Self::Status(rcode) => Some(*rcode),
            Self::Transfer(_) | Self::Drop => None,
        }
    }
}

impl From<Response> for Outcome {
    fn from(response: Response) -> Self {
        Self::Reply(response)
    }
}

/// What a plugin decided about one query without waiting; see [`Plugin::serve_at_once`](super::Plugin::serve_at_once).
#[derive(Debug)]
pub enum AtOnce {
    /// The query ends here, and this comes of it.
    Answer(Outcome),
    /// The query is for the plugins behind, whose outcome shall stay as it is.
    Pass,
    /// The plugin has to wait for something, or to see what comes back from behind.
    Wait,
}

/// Gives the messages of a transfer one after the other, so that a large zone never stands in memory twice.
#[async_trait]
pub trait MessageSource: Send {
    /// The next message; `None` after the last one.
    async fn next(&mut self) -> Option<Result<Response, PluginError>>;
}

/// The messages of a zone transfer, in their order.
pub struct TransferStream(Box<dyn MessageSource>);

impl TransferStream {
    /// Wraps a source of messages.
    pub fn new(source: impl MessageSource + 'static) -> Self {
        Self(Box::new(source))
    }

    /// A stream of messages that are there already.
    #[must_use]
    pub fn from_messages(messages: Vec<Response>) -> Self {
        Self::new(Ready(messages.into_iter()))
    }

    /// The next message; `None` after the last one.
    ///
    /// # Errors
    ///
    /// An error ends the transfer; the connection is closed.
    pub async fn next(&mut self) -> Option<Result<Response, PluginError>> {
        self.0.next().await
    }
}

impl fmt::Debug for TransferStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransferStream")
    }
}

struct Ready(std::vec::IntoIter<Response>);

#[async_trait]
impl MessageSource for Ready {
    async fn next(&mut self) -> Option<Result<Response, PluginError>> {
        self.0.next().map(Ok)
    }
}
