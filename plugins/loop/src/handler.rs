//! What happens to one query.

use std::sync::Arc;

use catena_core::message::{Rcode, Request};
use catena_core::plugin::{AtOnce, Outcome, Plugin};

use crate::probe::{Detector, HINFO, Seen};

/// Watches for the probe.
#[derive(Debug)]
pub(crate) struct Loop {
    detector: Arc<Detector>,
}

impl Loop {
    pub(crate) fn new(detector: Arc<Detector>) -> Self {
        Self { detector }
    }
}

impl Plugin for Loop {
    fn name(&self) -> &'static str {
        "loop"
    }

    fn serve_at_once(&self, request: &mut Request) -> AtOnce {
        if request.qtype_code() != HINFO {
            return AtOnce::Pass;
        }
        match self.detector.saw(request.qname(), request.peer()) {
            Seen::Looped => AtOnce::Answer(Outcome::Status(Rcode::SERVFAIL)),
            Seen::Other => AtOnce::Pass,
        }
    }
}
