//! The handle by which plugins and the program steer the server.

use std::fmt;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What the server is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlRequest {
    /// Read the Corefile again and take it over if it is good.
    Reload,
    /// Answer what has come, and end.
    Stop,
    /// End at once, with this exit status.
    Exit(i32),
}

/// Asks the server to do something. Clones reach the same server.
#[derive(Clone)]
pub struct Control {
    requests: UnboundedSender<ControlRequest>,
}

impl Control {
    pub(crate) fn new() -> (Self, UnboundedReceiver<ControlRequest>) {
        let (requests, receiver) = unbounded_channel();
        (Self { requests }, receiver)
    }

    /// Asks; returns at once. A server that has ended ignores it.
    pub fn ask(&self, request: ControlRequest) {
        // The only error is that nobody listens any more.
        let _ = self.requests.send(request);
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Control")
    }
}
