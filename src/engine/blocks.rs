//! **Blocks**: the memory of records that are gone, kept for those that come.
//!
//! Making and freeing a task costs an allocator more than everything else that the loop does with it, above all when many
//! are made before the first is over. So a loop keeps the blocks of its records, by size, and hands them out again: last
//! kept, first taken, while they are still in the cache. Up to [`MOST_KEPT`] are kept, until the loop is gone. Every record
//! keeps its loop alive, so the loop's blocks outlive all records in them.
//!
//! In a debug build nothing is kept: there a sanitizer is to see every use of a record that is gone.

use std::cell::RefCell;
use std::mem::MaybeUninit;

/// Memory for one record.
pub(super) type Block = Box<[MaybeUninit<Unit>]>;

/// What blocks are measured in. Few futures want more alignment.
pub(super) type Unit = u64;

/// Blocks from this many units on are not kept: a big task is rare, and its own work dwarfs the allocator's.
const SIZES: usize = 128;

/// In bytes.
const MOST_KEPT: usize = 16 << 20;

/// The blocks that one loop keeps.
pub(crate) struct Blocks {
    kept: RefCell<Kept>,
}

struct Kept {
    by_size: Box<[Vec<Block>; SIZES]>,
    /// In units.
    in_all: usize,
}

impl Blocks {
    pub(super) fn new() -> Blocks {
        let by_size = Box::new([const { Vec::new() }; SIZES]);
        Blocks { kept: RefCell::new(Kept { by_size, in_all: 0 }) }
    }

    /// A block of so many units.
    #[inline]
    pub(super) fn take(&self, units: usize) -> Block {
        if units < SIZES {
            let kept = &mut *self.kept.borrow_mut();
            if let Some(block) = kept.by_size[units].pop() {
                kept.in_all -= units;
                return block;
            }
        }
        Box::new_uninit_slice(units)
    }

    /// A block that is no longer needed.
    #[inline]
    pub(super) fn keep(&self, block: Block) {
        let units = block.len();
        let kept = &mut *self.kept.borrow_mut();
        let has_room = kept.in_all + units <= MOST_KEPT / size_of::<Unit>();
        if units < SIZES && has_room && !cfg!(debug_assertions) {
            kept.in_all += units;
            kept.by_size[units].push(block);
        }
    }
}
