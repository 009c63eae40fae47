//! Memory that the kernel reads and writes through pointers kept in message headers.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// Types that the slab may hold.
///
/// # Safety
///
/// All bytes zero is a valid value, the type has no destructor, and it may move between threads along with all that
/// its pointers point to (headers point only into slabs and buffers of their own batch).
pub(super) unsafe trait Plain {}

// SAFETY: a byte.
unsafe impl Plain for u8 {}
// SAFETY: C structures of integers and pointers, for which null is valid.
unsafe impl Plain for libc::iovec {}
// SAFETY: as above.
unsafe impl Plain for libc::mmsghdr {}

/// A fixed, zeroed array at an address that never changes.
///
/// It hands out raw pointers only, so that no reference ever claims memory which a header points to. Pages are touched
/// when they are first used: a large slab costs address space, not memory.
pub(super) struct Slab<T: Plain> {
    base: NonNull<T>,
    len: usize,
    layout: Layout,
}

// SAFETY: the slab owns its memory and reaches it through `&self` or `&mut self` of its owner alone; see `Plain` for
// the values in it.
unsafe impl<T: Plain> Send for Slab<T> {}

impl<T: Plain> Slab<T> {
    pub(super) fn zeroed(len: usize) -> Self {
        let len = len.max(1);
        let Ok(layout) = Layout::array::<T>(len).and_then(|layout| layout.align_to(CACHE_LINE)) else {
            handle_alloc_error(Layout::new::<T>())
        };
        // SAFETY: the layout's size is not zero: `len` is at least 1, and no `Plain` type is empty.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(base) = NonNull::new(memory.cast()) else {
            handle_alloc_error(layout)
        };
        Self { base, len, layout }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The element's place. The pointer is good for reading and writing as long as the slab lives.
    ///
    /// # Panics
    ///
    /// When `index` is not below the length, so that the pointer is never outside.
    pub(super) fn at(&self, index: usize) -> *mut T {
        assert!(index < self.len, "slab index {index} of {}", self.len);
        // SAFETY: `index` was checked, so the offset stays inside the one allocation.
        unsafe { self.base.as_ptr().add(index) }
    }
}

impl<T: Plain> Drop for Slab<T> {
    fn drop(&mut self) {
        // SAFETY: allocated by `zeroed` with this very layout; `Plain` values need no drop.
        unsafe { dealloc(self.base.as_ptr().cast(), self.layout) }
    }
}

const CACHE_LINE: usize = 64;
