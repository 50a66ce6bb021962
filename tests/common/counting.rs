//! Counts allocations, for the tests and benchmarks of memory. Every test that includes this file uses this allocator.
#![allow(unsafe_code)] // `GlobalAlloc` cannot be had without
#![allow(dead_code)] // each user looks at its part

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What a thread has asked of the allocator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counts {
    /// In total.
    pub(crate) allocations: u64,
    /// Asked for and not given back.
    pub(crate) live_blocks: i64,
    pub(crate) live_bytes: i64,
}

thread_local! {
    /// Counts this thread alone, so that tests do not count each other's. It has no destructor, so it is always accessible.
    static COUNTS: Cell<Counts> =
        const { Cell::new(Counts { allocations: 0, live_blocks: 0, live_bytes: 0 }) };
}

/// Returns what this thread has asked for so far.
pub(crate) fn counts() -> Counts {
    COUNTS.get()
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: everything is passed on to the system's allocator. Counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let before = COUNTS.get();
        COUNTS.set(Counts {
            allocations: before.allocations + 1,
            live_blocks: before.live_blocks + 1,
            live_bytes: before.live_bytes + layout.size().cast_signed() as i64,
        });
        // SAFETY: the arguments are passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let before = COUNTS.get();
        COUNTS.set(Counts {
            allocations: before.allocations,
            live_blocks: before.live_blocks - 1,
            live_bytes: before.live_bytes - layout.size().cast_signed() as i64,
        });
        // SAFETY: the arguments are passed on unchanged; the memory came from the system's allocator.
        unsafe { System.dealloc(block, layout) }
    }
}
