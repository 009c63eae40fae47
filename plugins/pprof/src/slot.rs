//! One profile at a time.

use tokio::sync::{Semaphore, SemaphorePermit};

/// The place of the one profile that is being taken. The timer and the signal that interrupt threads are the process's, so the
/// place is too, whatever number of blocks and servers there are in it.
static PLACE: Semaphore = Semaphore::const_new(1);

/// Holds the place until it is dropped.
pub(crate) type Place = SemaphorePermit<'static>;

/// Takes the place; nothing while another profile is being taken.
pub(crate) fn take() -> Option<Place> {
    PLACE.try_acquire().ok()
}
