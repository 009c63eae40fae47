//! A query that is answered from memory allocates nothing once warm, apart from the boxed futures of its chain.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Running, query};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all calls go to the system's allocator unchanged; the counter does not allocate.
#[expect(
    unsafe_code,
    reason = "a global allocator that counts is the only way to see allocations"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps alloc's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps dealloc's contract.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps realloc's contract.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The future of the query itself, and one for each of the two plugins.
const BOXED_FUTURES: usize = 3;

#[test]
fn a_query_from_memory_allocates_its_boxed_futures_and_nothing_else() {
    let server = Running::start(".:@PORT@ {\n pass\n fixed\n}\n");
    let socket = server.udp();
    let question = query(1, "www.example.org.");
    let mut answer = [0; 512];
    let mut rounds = |count: usize| {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for _ in 0..count {
            socket.send(&question).expect("send");
            socket.recv(&mut answer).expect("answer");
        }
        ALLOCATIONS.load(Ordering::Relaxed) - before
    };
    rounds(200);
    let allocations = rounds(1000);
    assert!(
        allocations <= 1000 * BOXED_FUTURES + 20,
        "{allocations} allocations for 1000 queries"
    );
}
