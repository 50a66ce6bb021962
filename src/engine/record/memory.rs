//! **Memory for records**, kept from those that are gone for those to come. Skip it at a first reading.
//!
//! Making and freeing a task costs an allocator more than everything else that the loop does with it, above all when many
//! are made before the first is over. So a loop keeps the blocks of its records, in a list for each size, and hands them out
//! again: last kept, first taken, while they are still in the cache. It keeps up to [`MOST_KEPT_BYTES`], until it is gone. Every
//! record keeps its loop alive, so the blocks outlive all records in them.
//!
//! In a debug build nothing is kept: there a sanitizer is to see every use of a record that is gone.
//!
//! The invariant, *Kept*: a block in the list of a size is not used by anything else, is of that size, came from a box, and
//! begins with a [`FreeBlock`] that leads to the next block of the list.
//!
//! It rests on no file without `unsafe`.

#![allow(unsafe_code)] // an island: see the list in `.ci/run`

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

/// Memory for one record.
pub(super) type Block = Box<[MaybeUninit<Unit>]>;

/// What the sizes of blocks are counted in. Few futures want more alignment.
pub(super) type Unit = u64;

/// Blocks of more units are not kept: a big task is rare, and its own work dwarfs the allocator's.
const MOST_UNITS: usize = 127;

const MOST_KEPT_BYTES: usize = 16 << 20;

/// The blocks that one loop keeps.
#[derive(Default)]
pub(crate) struct Blocks {
    kept: FreeLists,
    units_kept: Cell<usize>,
}

impl Blocks {
    /// A block of exactly so many units.
    #[inline]
    pub(super) fn take(&self, units: usize) -> Block {
        let Some(block) = self.kept.pop(units) else { return Box::new_uninit_slice(units) };
        self.units_kept.set(self.units_kept.get() - units);
        block
    }

    /// A block that is no longer needed.
    #[inline]
    pub(super) fn keep(&self, block: Block) {
        let units_kept = self.units_kept.get() + block.len();
        let has_room = units_kept <= MOST_KEPT_BYTES / size_of::<Unit>();
        if has_room && !cfg!(debug_assertions) && self.kept.push(block) {
            self.units_kept.set(units_kept);
        }
    }
}

/// Blocks that hold no record, in a list for each number of units.
struct FreeLists([Cell<Option<NonNull<FreeBlock>>>; MOST_UNITS + 1]);

/// How a block begins while it holds no record.
struct FreeBlock {
    next: Option<NonNull<FreeBlock>>,
}

const _: () = assert!(size_of::<FreeBlock>() <= size_of::<Unit>());
const _: () = assert!(align_of::<FreeBlock>() <= align_of::<Unit>());

impl Default for FreeLists {
    fn default() -> FreeLists {
        FreeLists([const { Cell::new(None) }; MOST_UNITS + 1])
    }
}

impl FreeLists {
    /// False if the block is of a size that is not kept; it is given back to the allocator then.
    #[inline]
    fn push(&self, block: Block) -> bool {
        let units = block.len();
        if !(1..=MOST_UNITS).contains(&units) {
            return false;
        }
        let block = Box::into_raw(block).cast::<FreeBlock>();
        // SAFETY: *Kept*: the block came out of a box just now, and one unit has room and alignment for a `FreeBlock`.
        unsafe { block.write(FreeBlock { next: self.0[units].get() }) };
        self.0[units].set(NonNull::new(block));
        true
    }

    #[inline]
    fn pop(&self, units: usize) -> Option<Block> {
        let list = self.0.get(units)?;
        let block = list.get()?;
        // SAFETY: *Kept*: the block is in a list, so it begins like this.
        list.set(unsafe { block.as_ref() }.next);
        let block = ptr::slice_from_raw_parts_mut(block.cast().as_ptr(), units);
        // SAFETY: *Kept*: the block came from a box of so many units, and it is in no list any more.
        Some(unsafe { Box::from_raw(block) })
    }
}

impl Drop for FreeLists {
    fn drop(&mut self) {
        for units in 0..=MOST_UNITS {
            while self.pop(units).is_some() {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::engine::testing::Dice;

    /// The lists themselves: what a loop keeps in a release build only.
    #[test]
    fn the_free_lists_hand_out_each_block_once_and_of_the_right_size() {
        for seed in 0..20 {
            let mut dice = Dice::new(seed);
            let (lists, mut inside, mut outside) =
                (FreeLists::default(), HashSet::new(), Vec::new());
            for _ in 0..5_000 {
                let units = dice.below(200) as usize;
                match lists.pop(units) {
                    Some(block) => {
                        assert_eq!(block.len(), units);
                        assert!(inside.remove(&block.as_ptr()), "it is taken once");
                        outside.push(block);
                    }
                    None => outside.push(Box::new_uninit_slice(units)),
                }
                if dice.below(2) == 0 {
                    let index = dice.below(outside.len() as u64) as usize;
                    let mut block = outside.swap_remove(index);
                    block.fill(MaybeUninit::new(u64::MAX)); // whatever a record left there
                    let address = block.as_ptr();
                    if lists.push(block) {
                        assert!(inside.insert(address));
                    }
                }
            }
            assert!(!inside.is_empty(), "and the rest goes with the lists");
        }
    }
}
