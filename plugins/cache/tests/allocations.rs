//! A hit allocates nothing. A test binary of its own, since the allocator is the process's.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use catena_core::message::{ListenerContext, QueryBuilder, Transport, fit};
use catena_core::plugin::Outcome;
use catena_core::plugin::testing::{FIXED, set_up};
use catena_plugin_cache::PLUGIN;

struct Counting;

thread_local! {
    /// Of this thread alone: the test harness has one too, and is not always done when the test begins.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count_one() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: all calls go to the system's allocator unchanged; the counter does not allocate.
#[expect(
    unsafe_code,
    reason = "a global allocator that counts is the only way to see allocations"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller keeps alloc's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps dealloc's contract.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_one();
        // SAFETY: the caller keeps realloc's contract.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_hit_allocates_nothing() {
    let block = set_up(
        &[PLUGIN, FIXED],
        "cache {\n prefetch 2000\n serve_stale\n}\nfixed",
    )
    .unwrap();
    let query = QueryBuilder::new("www.example.org.", 1_u16)
        .unwrap()
        .edns(1232, false)
        .option(10, b"12345678");
    let wire = query.to_wire();
    let mut request = query.to_request().unwrap();
    let (server, peer, local) = (request.server().clone(), request.peer(), request.local());
    let mut ask = || {
        let context = ListenerContext {
            transport: Transport::Udp,
            peer,
            local,
            server: &server,
            received: std::time::Instant::now(),
        };
        request.reset(&wire, &context).unwrap();
        let said = match pin!(block.ask(&mut request)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Outcome::Reply(response))) => response,
            other => panic!("expected a reply, got {other:?}"),
        };
        let answer = fit(said, &request);
        request.recycle(answer);
    };
    ask();
    ask();
    let before = ALLOCATIONS.get();
    (0..1000).for_each(|_| ask());
    assert_eq!(ALLOCATIONS.get() - before, 0);
}
