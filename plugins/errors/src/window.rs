//! Counts errors that are alike, from the first one until a period is over.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The errors of one rule. The time is passed in.
#[derive(Debug, Default)]
pub(crate) struct Window {
    open: Mutex<Option<Open>>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    count: u64,
    ends: Instant,
}

impl Window {
    /// Counts an error. The first one opens the window, which then ends after `period`: it gives true.
    pub(crate) fn count(&self, now: Instant, period: Duration) -> bool {
        let mut open = self.open.lock();
        match &mut *open {
            Some(open) => {
                open.count += 1;
                false
            }
            None => {
                *open = Some(Open {
                    count: 1,
                    ends: now + period,
                });
                true
            }
        }
    }

    /// When the window ends; none if it is not open.
    pub(crate) fn ends(&self) -> Option<Instant> {
        self.open.lock().map(|open| open.ends)
    }

    /// Closes the window if its time is over, and says how many errors it saw.
    pub(crate) fn close_if_over(&self, now: Instant) -> Option<u64> {
        let mut open = self.open.lock();
        open.filter(|open| open.ends <= now)?;
        open.take().map(|open| open.count)
    }

    /// Closes the window whatever the time, and says how many errors it saw.
    pub(crate) fn close(&self) -> Option<u64> {
        self.open.lock().take().map(|open| open.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_opens_with_the_first_error_and_ends_after_its_period() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let window = Window::default();
        assert_eq!((window.ends(), window.close()), (None, None));
        assert!(window.count(start, second));
        assert!(!window.count(start + second / 2, second));
        assert_eq!(window.ends(), Some(start + second));
        assert_eq!(window.close_if_over(start + second / 2), None);
        assert_eq!(window.close_if_over(start + second), Some(2));
        assert_eq!(window.ends(), None);
        assert!(window.count(start + second * 2, second));
        assert_eq!(window.close(), Some(1));
    }
}
