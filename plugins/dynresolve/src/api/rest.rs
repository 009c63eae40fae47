//! What is left of a request's body when its response is there.
//!
//! A client that is still sending may read the response only when it is through, and one that is cut off meanwhile
//! sees a broken connection in its place: HTTP/1.1 would close it, HTTP/2 reset the stream. So what comes yet is read
//! for a while, and thrown away.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use tokio::time::timeout;

/// How long a client may go on sending.
const LONGEST: Duration = Duration::from_secs(2);

/// How much it may send, in bytes.
const MOST: usize = 32 << 20;

/// A request's body, which its handler need not read to the end.
pub(super) struct Lent(Arc<Mutex<Shared>>);

/// The same body for the time after the response.
pub(super) struct Rest(Arc<Mutex<Shared>>);

struct Shared {
    body: Incoming,
    /// Whether the client sends: it may want to be told to (RFC 9110, section 10.1.1).
    comes: bool,
}

/// Makes a body outlive its handler. `waits` says that the client sends nothing before somebody reads.
pub(super) fn lend(body: Incoming, waits: bool) -> (Lent, Rest) {
    let body = Arc::new(Mutex::new(Shared { body, comes: !waits }));
    (Lent(Arc::clone(&body)), Rest(body))
}

impl Rest {
    /// Reads what comes yet, within bounds.
    pub(super) async fn discard(self) {
        let mut rest = Lent(self.0);
        let mut read = 0;
        let all = async {
            while let Some(Ok(frame)) = rest.frame().await {
                read += frame.data_ref().map_or(0, Bytes::len);
                if read > MOST {
                    break;
                }
            }
        };
        let _ = timeout(LONGEST, all).await;
    }

    /// Whether something is on its way yet.
    pub(super) fn comes(&self) -> bool {
        let shared = self.0.lock();
        shared.comes && !shared.body.is_end_stream()
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut shared = self.0.lock();
        shared.comes = true;
        Pin::new(&mut shared.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().body.size_hint()
    }
}
