//! **Blocks**: the memory of records that are gone, kept for those that come.
//!
//! Making and freeing a task costs an allocator more than everything else that the loop does with it, above all when many
//! are made before the first is over. So a loop keeps the blocks of its records, by size, and hands them out again: last
//! kept, first taken, while they are still in the cache. Up to [`MOST_KEPT`] are kept, until the loop is gone. Every record
//! keeps its loop alive, so the loop's blocks outlive all records in them. How a block finds the one below it is the record's
//! business (`record.rs`).
//!
//! In a debug build nothing is kept: there a sanitizer is to see every use of a record that is gone.

use std::cell::Cell;

use super::record::{Block, Piles, Unit};

/// In bytes.
const MOST_KEPT: usize = 16 << 20;

/// The blocks that one loop keeps.
#[derive(Default)]
pub(crate) struct Blocks {
    kept: Piles,
    /// In units.
    in_all: Cell<usize>,
}

impl Blocks {
    /// A block of so many units.
    #[inline]
    pub(super) fn take(&self, units: usize) -> Block {
        let Some(block) = self.kept.pop(units) else { return Box::new_uninit_slice(units) };
        self.in_all.set(self.in_all.get() - units);
        block
    }

    /// A block that is no longer needed.
    #[inline]
    pub(super) fn keep(&self, block: Block) {
        let in_all = self.in_all.get() + block.len();
        let has_room = in_all <= MOST_KEPT / size_of::<Unit>();
        if has_room && !cfg!(debug_assertions) && self.kept.push(block) {
            self.in_all.set(in_all);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::engine::testing::Dice;

    /// The piles themselves: what a loop keeps in a release build only.
    #[test]
    fn a_pile_hands_out_each_block_once_and_of_the_right_size() {
        for seed in 0..20 {
            let mut dice = Dice::new(seed);
            let (piles, mut inside, mut outside) = (Piles::default(), HashSet::new(), Vec::new());
            for _ in 0..5_000 {
                let units = dice.below(200) as usize;
                match piles.pop(units) {
                    Some(block) => {
                        assert_eq!(block.len(), units);
                        assert!(
                            inside.remove(&block.as_ptr()),
                            "it was put there, and is taken once"
                        );
                        outside.push(block);
                    }
                    None => outside.push(Box::new_uninit_slice(units)),
                }
                if dice.below(2) == 0 {
                    let place = dice.below(outside.len() as u64) as usize;
                    let mut block = outside.swap_remove(place);
                    block.fill(std::mem::MaybeUninit::new(u64::MAX)); // whatever a record left there
                    let place = block.as_ptr();
                    if piles.push(block) {
                        assert!(inside.insert(place));
                    }
                }
            }
            assert!(!inside.is_empty(), "and the rest goes with the piles");
        }
    }
}
