//! The heap, counted. Every process of the bench runs with this allocator, so all pay the same for it; where nothing asks
//! it is one branch on a flag that never changes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering::Relaxed};

struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

static COUNTS: AtomicBool = AtomicBool::new(false);
static IN_USE: AtomicIsize = AtomicIsize::new(0);

/// Begins to count, and gives what [`in_use`] gives now.
pub(crate) fn count_from_now() -> isize {
    COUNTS.store(true, Relaxed);
    in_use()
}

/// Bytes allocated and not freed since counting began.
pub(crate) fn in_use() -> isize {
    IN_USE.load(Relaxed)
}

fn count(bytes: usize, sign: isize) {
    if COUNTS.load(Relaxed) {
        IN_USE.fetch_add(sign * bytes.cast_signed(), Relaxed);
    }
}

// SAFETY: it is the system's allocator; what is done besides allocates nothing and cannot panic.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: as above; not left to the default, which would write zeroes over a page of zeroes.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the pointer came from `System`, by one of the methods here.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(new_size, 1);
        // SAFETY: as for `dealloc`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
