//! **Free lists**: the memory of freed records, kept for new ones. Skip this file at a first reading.
//!
//! The naive answer is the global allocator. It costs more than everything else that the loop does with a short task, above all if
//! many tasks are spawned before the first ends. So a loop keeps the blocks of its freed records, in a list for each size, and
//! hands out the block kept last first, while it is still in the cache. It keeps at most [`MAX_KEPT_BYTES`], until the loop is
//! freed. A record keeps its loop alive, so the lists exist when a record is freed.
//!
//! In a debug build nothing is kept, so that a sanitizer sees every use of a freed record.
//!
//! The invariant, *Kept*: a block in the list of a size has that size, came from a box, is used by nothing else, and begins with a
//! [`FreeBlock`] that points to the next block of the list.
//!
//! It rests on no file without `unsafe`.

#![allow(unsafe_code)] // an island: `tests/rings.rs` lists them

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

/// Memory for one record.
pub(crate) type Block = Box<[MaybeUninit<Word>]>;

/// The unit of a block's size, and its alignment. Few futures need a larger one.
pub(crate) type Word = u64;

/// Larger blocks are not kept: a big task is rare, and its own work costs far more than the allocator's.
const MAX_WORDS: usize = 127;

const MAX_KEPT_BYTES: usize = 16 << 20;

/// The blocks that one loop keeps.
#[derive(Default)]
pub(crate) struct FreeLists {
    lists: Lists,
    words_kept: Cell<usize>,
}

impl FreeLists {
    /// A block of exactly this many words: one that was kept, or a new one.
    #[inline]
    pub(crate) fn take(&self, words: usize) -> Block {
        let Some(block) = self.lists.pop(words) else { return Box::new_uninit_slice(words) };
        self.words_kept.set(self.words_kept.get() - words);
        block
    }

    /// Keeps a block that is no longer needed, or frees it.
    #[inline]
    pub(crate) fn keep(&self, block: Block) {
        let words_kept = self.words_kept.get() + block.len();
        let has_room = words_kept <= MAX_KEPT_BYTES / size_of::<Word>();
        if has_room && !cfg!(debug_assertions) && self.lists.push(block) {
            self.words_kept.set(words_kept);
        }
    }
}

/// The first block of each list. The index is the size in words.
struct Lists([Cell<Option<NonNull<FreeBlock>>>; MAX_WORDS + 1]);

/// The first word of a block in a list.
struct FreeBlock {
    next: Option<NonNull<FreeBlock>>,
}

const _: () = assert!(size_of::<FreeBlock>() <= size_of::<Word>());
const _: () = assert!(align_of::<FreeBlock>() <= align_of::<Word>());

impl Default for Lists {
    fn default() -> Lists {
        Lists([const { Cell::new(None) }; MAX_WORDS + 1])
    }
}

impl Lists {
    /// Adds a block to the list of its size. False if no such list exists: then the block is freed.
    #[inline]
    fn push(&self, block: Block) -> bool {
        let words = block.len();
        if !(1..=MAX_WORDS).contains(&words) {
            return false;
        }
        let block = Box::into_raw(block).cast::<FreeBlock>();
        // SAFETY: *Kept*: the block came out of a box just now, and its first word has the size and alignment of a `FreeBlock`.
        unsafe { block.write(FreeBlock { next: self.0[words].get() }) };
        self.0[words].set(NonNull::new(block));
        true
    }

    #[inline]
    fn pop(&self, words: usize) -> Option<Block> {
        let list = self.0.get(words)?;
        let block = list.get()?;
        // SAFETY: *Kept*: the block is in a list, so it begins with a `FreeBlock`.
        list.set(unsafe { block.as_ref() }.next);
        let block = ptr::slice_from_raw_parts_mut(block.cast().as_ptr(), words);
        // SAFETY: *Kept*: the block came from a box of this many words, and it is in no list any more.
        Some(unsafe { Box::from_raw(block) })
    }
}

impl Drop for Lists {
    fn drop(&mut self) {
        for words in 0..=MAX_WORDS {
            while self.pop(words).is_some() {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::testing::Dice;

    /// Tests the lists themselves, because in a debug build a loop keeps nothing in them.
    #[test]
    fn the_free_lists_hand_out_each_block_once_and_of_the_right_size() {
        for seed in 0..20 {
            let mut dice = Dice::new(seed);
            let (lists, mut inside, mut outside) = (Lists::default(), HashSet::new(), Vec::new());
            for _ in 0..5_000 {
                let words = dice.below(200) as usize;
                match lists.pop(words) {
                    Some(block) => {
                        assert_eq!(block.len(), words);
                        assert!(inside.remove(&block.as_ptr()), "a block is taken once");
                        outside.push(block);
                    }
                    None => outside.push(Box::new_uninit_slice(words)),
                }
                if dice.below(2) == 0 {
                    let index = dice.below(outside.len() as u64) as usize;
                    let mut block = outside.swap_remove(index);
                    block.fill(MaybeUninit::new(u64::MAX)); // as if a record had used it
                    let address = block.as_ptr();
                    if lists.push(block) {
                        assert!(inside.insert(address));
                    }
                }
            }
            assert!(!inside.is_empty(), "some blocks are left for the drop of the lists");
        }
    }
}
