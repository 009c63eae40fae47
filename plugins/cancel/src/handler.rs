//! What happens to one query.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use catena_core::message::Request;
use catena_core::plugin::{Next, Outcome, Plugin, PluginError};

/// Gives up on queries after a time.
#[derive(Debug)]
pub(crate) struct Cancel {
    pub(crate) limit: Duration,
}

#[async_trait]
impl Plugin for Cancel {
    fn name(&self) -> &'static str {
        "cancel"
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        let mut rest = pin!(next.run(request));
        // Most queries are answered at once, and need no clock.
        let polled = poll_fn(|context| Poll::Ready(rest.as_mut().poll(context))).await;
        if let Poll::Ready(outcome) = polled {
            return outcome;
        }
        match tokio::time::timeout(self.limit, rest).await {
            Ok(outcome) => outcome,
            Err(_) => Err(PluginError::new(
                "cancel",
                format!("no answer within {:?}", self.limit),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use catena_core::message::{QueryBuilder, Rcode};
    use catena_core::plugin::Definition;
    use catena_core::plugin::testing::{FIXED, set_up};
    use tokio::time::{Instant, sleep};

    use super::*;

    fn request() -> Request {
        QueryBuilder::new("a.example.org.", 1_u16)
            .unwrap()
            .to_request()
            .unwrap()
    }

    #[test]
    fn an_answer_at_once_needs_no_timer() {
        let block = set_up(&[crate::PLUGIN, FIXED], "cancel 1ns\nfixed").unwrap();
        // A timer would panic: this runtime has none.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let response = runtime.block_on(block.reply(&mut request()));
        assert_eq!(response.answer_count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_time_is_passed_on() {
        let block = set_up(&[crate::PLUGIN, SLOW, FIXED], "cancel 1001ms\nslow\nfixed").unwrap();
        let response = block.reply(&mut request()).await;
        assert_eq!(response.answer_count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_that_takes_too_long_is_stopped() {
        let block = set_up(&[crate::PLUGIN, SLOW, FIXED], "cancel 999ms\nslow\nfixed").unwrap();
        let started = Instant::now();
        let mut asked = request();
        let error = block.ask(&mut asked).await.unwrap_err();
        assert_eq!(
            (started.elapsed().as_millis(), error.rcode()),
            (999, Rcode::SERVFAIL)
        );
        assert_eq!(error.to_string(), "plugin/cancel: no answer within 999ms");
        assert_eq!(
            block.shared.of::<Stopped>().0.load(Ordering::Relaxed),
            1,
            "the plugin behind was dropped"
        );
        // The request is whole, so that the server can answer it.
        assert_eq!(asked.qname().to_string(), "a.example.org.");
    }

    /// A plugin that waits for a second, and counts those who did not wait for it.
    const SLOW: Definition = Definition::new("slow", |setup| {
        let stopped = setup.shared();
        setup.add(Slow(stopped));
        Ok(())
    });

    #[derive(Default)]
    struct Stopped(AtomicUsize);

    struct Slow(Arc<Stopped>);

    struct Guard<'a>(&'a Stopped);

    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            self.0.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[async_trait]
    impl Plugin for Slow {
        fn name(&self) -> &'static str {
            "slow"
        }

        async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
            let guard = Guard(&self.0);
            sleep(Duration::from_secs(1)).await;
            std::mem::forget(guard);
            next.run(request).await
        }
    }
}
