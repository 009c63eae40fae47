//! The handle by which plugins and the program steer the server.

use std::fmt;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// What the server is asked to do.
pub(crate) enum ControlRequest {
    /// Read the Corefile again and take it over if it is good. The reply is the error's text.
    Reload(oneshot::Sender<Result<(), String>>),
    /// Answer what has come, and end with this exit status.
    Stop(i32),
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

    /// Reads the Corefile again and takes it over; returns when it serves, or when it was refused.
    ///
    /// # Errors
    ///
    /// What is wrong with the new configuration, in words for the log. The old one goes on.
    pub async fn reload(&self) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let ended = || "the server has ended".to_owned();
        self.requests
            .send(ControlRequest::Reload(reply))
            .map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Makes the server answer what has come and end with this exit status. Returns at once.
    pub fn stop(&self, status: i32) {
        // The only error is that the server has ended already.
        let _ = self.requests.send(ControlRequest::Stop(status));
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Control")
    }
}
