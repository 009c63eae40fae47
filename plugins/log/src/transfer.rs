//! Logs an answer of many messages when the last one is out.

use std::time::Instant;

use async_trait::async_trait;
use catena_core::log::LogSink;
use catena_core::message::Response;
use catena_core::plugin::{MessageSource, PluginError, TransferStream};

use crate::classify::Kind;
use crate::format::Format;
use crate::line::{AnswerFacts, Answered};

/// Hands a transfer's messages on, and writes the line when it ends, also when the client is gone before.
pub(crate) struct Logged {
    pub(crate) stream: TransferStream,
    /// The format with all that the query tells written out.
    pub(crate) format: Format,
    pub(crate) log: LogSink,
    pub(crate) started: Instant,
    /// The last message's header, and the sum of all sizes.
    pub(crate) answered: Answered,
}

#[async_trait]
impl MessageSource for Logged {
    async fn next(&mut self) -> Option<Result<Response, PluginError>> {
        let next = self.stream.next().await;
        if let Some(Ok(message)) = &next {
            let Answered { header, size } = Answered::reply(message);
            self.answered = Answered {
                header,
                size: self.answered.size + size,
            };
        }
        next
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let mut line = String::new();
        let duration = self.started.elapsed();
        let facts = AnswerFacts {
            answered: self.answered,
            kind: Kind::Meta,
            duration,
        };
        self.format.write_bound(&mut line, &facts);
        self.log.line(&line);
    }
}
