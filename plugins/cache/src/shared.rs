//! What came of a query, for all who waited for it.

use std::sync::Arc;

use catena_core::message::{Rcode, Request, Response};
use catena_core::plugin::{ExtendedError, Outcome, PluginError};

use crate::entry::Entry;
use crate::fetch::{Fetched, for_client};
use crate::store::bits;

/// An outcome for clients who did not ask themselves.
#[derive(Debug)]
pub(crate) struct Shared {
    question: Box<[u8]>,
    bits: u8,
    said: Said,
}

/// What the plugins behind said.
#[derive(Debug)]
pub(crate) enum Said {
    Reply {
        response: Response,
        refreshes: bool,
        entry: Option<Arc<Entry>>,
    },
    Status(Rcode),
    Drop,
    Failed(Failure),
    /// It can be given once only, as a transfer.
    Unique,
}

/// What an error says.
#[derive(Debug)]
pub(crate) struct Failure {
    plugin: &'static str,
    message: String,
    is_prefixed: bool,
    rcode: Rcode,
    extended: Option<ExtendedError>,
}

impl Shared {
    /// What was said to `request`, with these bits DO and CD.
    pub(crate) fn new(request: &Request, bits: u8, said: Said) -> Self {
        Self {
            question: request.question().into(),
            bits,
            said,
        }
    }

    /// What was fetched for `request`.
    pub(crate) fn of(request: &Request, fetched: &Fetched) -> Self {
        let said = match &fetched.outcome {
            Ok(Outcome::Reply(response)) => Said::Reply {
                response: response.clone(),
                refreshes: fetched.refreshes,
                entry: fetched.entry.clone(),
            },
            Ok(Outcome::Status(rcode)) => Said::Status(*rcode),
            Ok(Outcome::Drop) => Said::Drop,
            Ok(_) => Said::Unique,
            Err(error) => Said::Failed(Failure {
                plugin: error.plugin(),
                message: error.message().to_owned(),
                is_prefixed: error.to_string().len() != error.message().len(),
                rcode: error.rcode(),
                extended: error.extended().cloned(),
            }),
        };
        Self::new(request, fetched.bits, said)
    }

    #[cfg(test)]
    pub(crate) const fn said(&self) -> &Said {
        &self.said
    }

    /// The outcome for this client, unless it has to ask itself.
    pub(crate) fn for_client(&self, request: &mut Request) -> Option<Result<Outcome, PluginError>> {
        if !self.is_for(request) {
            return None;
        }
        match &self.said {
            // Who asks over a stream does so to get the whole.
            Said::Reply { response, .. } if response.tc() && !request.transport().is_size_limited() => None,
            Said::Reply { response, .. } => {
                let copy = response.copy_for(request);
                Some(Ok(for_client(copy, request).into()))
            }
            Said::Status(rcode) => Some(Ok(Outcome::Status(*rcode))),
            Said::Drop => Some(Ok(Outcome::Drop)),
            Said::Failed(failure) => Some(Err(failure.to_error())),
            Said::Unique => None,
        }
    }

    /// Whether it may take the place of this client's expired answer.
    pub(crate) fn refreshes(&self, request: &Request) -> bool {
        matches!(self.said, Said::Reply { refreshes: true, .. }) && self.is_for(request)
    }

    /// What is kept of it.
    pub(crate) const fn entry(&self) -> Option<&Arc<Entry>> {
        match &self.said {
            Said::Reply { entry, .. } => entry.as_ref(),
            _ => None,
        }
    }

    /// Whether the client has the same question: who waits is found by a digest, which two questions may share.
    fn is_for(&self, request: &Request) -> bool {
        let parts = |question: &[u8]| {
            let (name, fixed) = question.split_last_chunk::<4>()?;
            Some((name.to_ascii_lowercase(), *fixed))
        };
        self.bits == bits(request) && parts(&self.question) == parts(request.question())
    }
}

impl Failure {
    fn to_error(&self) -> PluginError {
        let message = self.message.clone();
        let error = if self.is_prefixed {
            PluginError::new(self.plugin, message)
        } else {
            PluginError::bare(self.plugin, message)
        };
        let error = error.with_rcode(self.rcode);
        match &self.extended {
            Some(extended) => error.with_extended(extended.code, extended.text.clone()),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::message::QueryBuilder;

    #[test]
    fn nobody_gets_the_outcome_of_another_question_that_has_the_same_digest() {
        let query = |name: &str, qtype: u16| QueryBuilder::new(name, qtype).unwrap();
        let asked = query("a.example.org.", 65).to_request().unwrap();
        let shared = Shared::new(&asked, bits(&asked), Said::Status(Rcode::REFUSED));
        for (case, client, gets) in [
            ("the same", query("a.example.org.", 65), true),
            ("other letters", query("A.example.ORG.", 65), true),
            ("another name", query("b.example.org.", 65), false),
            ("another type", query("a.example.org.", 97), false),
            ("another class", query("a.example.org.", 65).class(3), false),
            ("DO", query("a.example.org.", 65).edns(1232, true), false),
            ("CD", query("a.example.org.", 65).checking_disabled(true), false),
        ] {
            let outcome = shared.for_client(&mut client.to_request().unwrap());
            assert_eq!(outcome.is_some(), gets, "case {case}");
        }
    }
}
