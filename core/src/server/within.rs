//! Time limits that cost nothing where there is nothing to wait for.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

/// What a future gives within so long; none where it takes longer. Mostly it is ready, and no timer is made.
pub(super) async fn within<T>(patience: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    if let Poll::Ready(done) = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
        return Some(done);
    }
    timeout(patience, work).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_given_up() {
        let limit = Duration::from_secs(1);
        assert_eq!(within(limit, std::future::ready(1)).await, Some(1));
        let slow = |time| async move {
            tokio::time::sleep(time).await;
            2
        };
        assert_eq!(within(limit, slow(limit / 2)).await, Some(2));
        assert_eq!(within(limit, slow(limit * 2)).await, None);
    }
}
