//! **The wait list**: waiters in the order in which they came. Joiners, the children of a group and all waiters of `sync` are in
//! such lists.
//!
//! The naive list is a `VecDeque` of wakers, and a wake-up pops the first. But a waiter that is cancelled leaves from the middle,
//! which costs O(n) there. And a waiter may be woken and then cancelled before it is polled: if its entry is gone by then, the
//! wake-up is lost, and the waiters behind it sleep on beside a free lock.
//!
//! This is a doubly linked list in a slab. To join, to be called and to leave cost O(1) however many wait, and a list that has
//! grown to its size allocates no more. An entry stays until its waiter leaves, so it remembers that the waiter was called:
//!
//! ```text
//!         join               call                      leave
//!   free ──────▶ in the line ──────▶ called, not in ──────────▶ free
//!                     │               the line any more          ▲
//!                     └──────────────────────────────────────────┘
//!                                    leave
//! ```
//!
//! A waiter that finds out, as it leaves, that it had been called hands the call on to the next. The list does not do that for
//! it, and wakes nothing itself: it returns what a waiter waits with, and the caller wakes that outside its borrow.
//!
//! It stands on std.

use std::mem;

/// Names an entry of a [`WaitList`], until the waiter leaves. From then on the key is dead: entries are used again and keys have
/// no generation, so a dead key may name another waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitKey(u32);

impl WaitKey {
    /// The key as an index, for code that stores indices.
    pub(crate) fn number(self) -> usize {
        self.0 as usize
    }

    /// The key back from its index.
    pub(crate) fn of_number(index: usize) -> WaitKey {
        WaitKey(index as u32)
    }
}

#[derive(Debug)]
enum State<T> {
    Free,
    InLine(T),
    Called,
}

#[derive(Debug)]
struct Entry<T> {
    state: State<T>,
    previous: u32,
    /// Of a free entry, the next free one.
    next: u32,
}

const NIL: u32 = u32::MAX;

/// Keys are below this. The numbers from here on are never a key: code that stores a key as a number may give them a meaning. And a
/// count of waiters leaves a bit of a `u32` free.
const KEYS: u32 = i32::MAX as u32;

/// The state of a waiter when it left.
#[derive(Debug, PartialEq)]
pub(crate) enum Left<T> {
    /// It was in the line, and this is what it waited with.
    InLine(T),
    /// It had been called.
    Called,
}

/// Waiters in the order in which they came.
#[derive(Debug)]
pub(crate) struct WaitList<T> {
    entries: Vec<Entry<T>>,
    first: u32,
    last: u32,
    first_free: u32,
}

impl<T> Default for WaitList<T> {
    fn default() -> WaitList<T> {
        WaitList { entries: Vec::new(), first: NIL, last: NIL, first_free: NIL }
    }
}

impl<T> WaitList<T> {
    /// No waiter is in the line. (Some may have been called, and not have left.)
    pub(crate) fn is_empty(&self) -> bool {
        self.first == NIL
    }

    /// Adds a waiter at the end of the line.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(crate) fn join(&mut self, waiter: T) -> WaitKey {
        let index = if self.first_free == NIL { self.add_entry() } else { self.first_free };
        let last = mem::replace(&mut self.last, index);
        let entry = &mut self.entries[index as usize];
        self.first_free = mem::replace(&mut entry.next, NIL);
        entry.previous = last;
        let free = mem::replace(&mut entry.state, State::InLine(waiter));
        debug_assert!(matches!(free, State::Free), "it was in the list of free ones");
        mem::forget(free); // so the compiler emits no call of a destructor
        if last == NIL {
            self.first = index;
        } else {
            self.entries[last as usize].next = index;
        }
        WaitKey(index)
    }

    /// Adds a free entry, which is in no list.
    #[cold]
    fn add_entry(&mut self) -> u32 {
        let index = u32::try_from(self.entries.len()).ok().filter(|&index| index < KEYS);
        let index = index.expect("more than two billion waiters");
        self.entries.push(Entry { state: State::Free, previous: NIL, next: NIL });
        index
    }

    /// Calls the first waiter in the line, and returns what it waited with. Its key stays valid until it leaves.
    pub(crate) fn call(&mut self) -> Option<T> {
        if self.first == NIL { None } else { Some(self.call_at(self.first)) }
    }

    /// The same, but calls the first waiter for which `is_wanted` returns true.
    #[cold]
    #[inline(never)]
    pub(crate) fn call_where(&mut self, is_wanted: impl FnMut(&T) -> bool) -> Option<T> {
        let WaitKey(index) = self.first_where(is_wanted)?;
        Some(self.call_at(index))
    }

    /// The first waiter in the line for which `is_wanted` returns true.
    pub(crate) fn first_where(&self, mut is_wanted: impl FnMut(&T) -> bool) -> Option<WaitKey> {
        let mut index = self.first;
        while let Some(entry) = self.entries.get(index as usize) {
            match &entry.state {
                State::InLine(waiter) if !is_wanted(waiter) => index = entry.next,
                _ => return Some(WaitKey(index)),
            }
        }
        None
    }

    /// Calls this waiter. `None` if it is not in the line.
    pub(crate) fn call_this(&mut self, key: WaitKey) -> Option<T> {
        self.get_mut(key)?;
        Some(self.call_at(key.0))
    }

    /// Takes the first waiter out of the line. It has left: its key is dead.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let key = WaitKey(self.first);
        let waiter = self.call()?;
        self.leave(key);
        Some(waiter)
    }

    /// A waiter leaves, called or not. `None` if the entry is free.
    pub(crate) fn leave(&mut self, key: WaitKey) -> Option<Left<T>> {
        let WaitKey(index) = key;
        let entry = self.entries.get_mut(index as usize)?;
        let left = match mem::replace(&mut entry.state, State::Free) {
            State::Free => return None,
            State::Called => Left::Called,
            State::InLine(waiter) => {
                self.unlink(index);
                Left::InLine(waiter)
            }
        };
        self.free(index);
        Some(left)
    }

    /// A waiter leaves if it has been called. False if it has not: then it stays in the line.
    #[inline]
    pub(crate) fn leave_if_called(&mut self, key: WaitKey) -> bool {
        let WaitKey(index) = key;
        let Some(entry) = self.entries.get_mut(index as usize) else { return false };
        if !matches!(entry.state, State::Called) {
            return false;
        }
        entry.state = State::Free;
        self.free(index);
        true
    }

    /// What a waiter waits with; `None` if it has been called.
    pub(crate) fn get_mut(&mut self, key: WaitKey) -> Option<&mut T> {
        match &mut self.entries.get_mut(key.0 as usize)?.state {
            State::InLine(waiter) => Some(waiter),
            State::Free | State::Called => None,
        }
    }

    /// What the waiters in the line wait with, first to last.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let mut index = self.first;
        std::iter::from_fn(move || {
            let entry = self.entries.get(index as usize)?;
            index = entry.next;
            match &entry.state {
                State::InLine(waiter) => Some(waiter),
                State::Free | State::Called => None,
            }
        })
    }

    /// Calls the waiter at `index`, which is in the line.
    #[inline]
    fn call_at(&mut self, index: u32) -> T {
        self.unlink(index);
        let state = mem::replace(&mut self.entries[index as usize].state, State::Called);
        match state {
            State::InLine(waiter) => waiter,
            State::Free | State::Called => unreachable!("an entry that is linked is in the line"),
        }
    }

    /// Adds an entry that is in the state `Free`, and not linked any more, to the list of free ones.
    #[inline]
    fn free(&mut self, index: u32) {
        self.entries[index as usize].next = mem::replace(&mut self.first_free, index);
    }

    #[inline]
    fn unlink(&mut self, index: u32) {
        let Entry { previous, next, .. } = self.entries[index as usize];
        if previous == NIL {
            self.first = next;
        } else {
            self.entries[previous as usize].next = next;
        }
        if next == NIL {
            self.last = previous;
        } else {
            self.entries[next as usize].previous = previous;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dice;

    #[test]
    fn it_is_a_queue_that_a_waiter_can_leave_from_the_middle() {
        for seed in 0..20 {
            let mut dice = Dice::new(seed);
            let mut list = WaitList::default();
            let mut line: Vec<(WaitKey, u64)> = Vec::new();
            let mut called: Vec<WaitKey> = Vec::new();
            for serial in 0..5_000 {
                match dice.below(8) {
                    0..=2 => line.push((list.join(serial), serial)),
                    3 if !line.is_empty() => {
                        let (key, serial) = line.remove(dice.below(line.len() as u64) as usize);
                        assert_eq!(list.get_mut(key).copied(), Some(serial));
                        assert!(!list.leave_if_called(key));
                        assert_eq!(list.leave(key), Some(Left::InLine(serial)));
                        assert_eq!(list.leave(key), None, "the entry is free");
                    }
                    4 if !called.is_empty() => {
                        let key = called.remove(dice.below(called.len() as u64) as usize);
                        assert_eq!(list.get_mut(key), None);
                        if dice.below(2) == 0 {
                            assert_eq!(list.leave(key), Some(Left::Called));
                        } else {
                            assert!(list.leave_if_called(key));
                        }
                        assert!(!list.leave_if_called(key), "the entry is free");
                    }
                    5 => {
                        let first = (!line.is_empty()).then(|| line.remove(0).1);
                        assert_eq!(list.pop(), first);
                    }
                    6 => {
                        let position = line.iter().position(|(_, serial)| serial % 3 == 0);
                        let (key, serial) = position.map(|position| line.remove(position)).unzip();
                        assert_eq!(list.call_where(|serial| serial % 3 == 0), serial);
                        called.extend(key);
                    }
                    _ => {
                        let first = (!line.is_empty()).then(|| line.remove(0));
                        assert_eq!(list.call(), first.map(|(_, serial)| serial));
                        called.extend(first.map(|(key, _)| key));
                    }
                }
                assert!(list.iter().eq(line.iter().map(|(_, serial)| serial)));
                assert_eq!(list.is_empty(), line.is_empty());
            }
        }
    }
}
