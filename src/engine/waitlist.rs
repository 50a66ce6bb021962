//! **The wait list**: who waits, first come, first served. Under all of the crate's waiting but for time.
//!
//! A line from whose middle one can leave. Places are linked by index in a slab, so joining, leaving and being called
//! are O(1) however many wait, and a list that has grown to its size allocates no more.
//!
//! ```text
//!            join                call                    leave
//!   nobody ───────▶ in the line ───────▶ called, not in ───────▶ nobody
//!                        │               the line any more          ▲
//!                        └──────────────────────────────────────────┘
//!                                       leave
//! ```
//!
//! *Called* is the state between being woken and being polled. It is kept, because somebody who is called and then
//! cancelled must hand the call on: that is where wake-ups are lost in other people's locks.

/// Names a place in a [`WaitList`], until its holder leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitKey(u32);

impl WaitKey {
    /// The key as a number, for who is told a number.
    pub(crate) fn number(self) -> usize {
        self.0 as usize
    }

    /// The key of a number that was a key's.
    pub(crate) fn of_number(number: usize) -> WaitKey {
        WaitKey(number as u32)
    }
}

#[derive(Debug)]
enum State<T> {
    Free,
    InLine(T),
    Called,
}

#[derive(Debug)]
struct Place<T> {
    state: State<T>,
    previous: u32,
    /// In a free place, the next free one.
    next: u32,
}

const NIL: u32 = u32::MAX;
/// Keys are below this. (Two more numbers are no key's: who keeps a key as a number may give them a meaning.)
const KEYS: u32 = u32::MAX - 1;

/// How somebody stood who has left.
#[derive(Debug, PartialEq)]
pub(crate) enum Left<T> {
    /// In the line; this is what it waited with.
    InLine(T),
    /// It had been called.
    Called,
}

/// Waiters in the order in which they came.
#[derive(Debug)]
pub(crate) struct WaitList<T> {
    places: Vec<Place<T>>,
    first: u32,
    last: u32,
    first_free: u32,
    in_line: usize,
    called: usize,
}

impl<T> Default for WaitList<T> {
    fn default() -> WaitList<T> {
        WaitList {
            places: Vec::new(),
            first: NIL,
            last: NIL,
            first_free: NIL,
            in_line: 0,
            called: 0,
        }
    }
}

impl<T> WaitList<T> {
    /// Nobody is in the line, and nobody called is on the way.
    pub(crate) fn is_empty(&self) -> bool {
        self.in_line == 0 && self.called == 0
    }

    /// How many are in the line.
    pub(crate) fn in_line(&self) -> usize {
        self.in_line
    }

    /// Goes to the end of the line.
    pub(crate) fn join(&mut self, waiter: T) -> WaitKey {
        let place = Place { state: State::InLine(waiter), previous: self.last, next: NIL };
        let index = if self.first_free == NIL {
            let index = u32::try_from(self.places.len()).ok().filter(|&index| index < KEYS);
            let index = index.expect("more than four billion waiters");
            self.places.push(place);
            index
        } else {
            let index = self.first_free;
            self.first_free = self.places[index as usize].next;
            self.places[index as usize] = place;
            index
        };
        if self.last == NIL {
            self.first = index;
        } else {
            self.places[self.last as usize].next = index;
        }
        self.last = index;
        self.in_line += 1;
        WaitKey(index)
    }

    /// Calls the first in the line: hands out what it waited with. Its place stays its own until it leaves.
    pub(crate) fn call(&mut self) -> Option<T> {
        let index = self.first;
        if index == NIL {
            return None;
        }
        self.unlink(index);
        let state = std::mem::replace(&mut self.places[index as usize].state, State::Called);
        self.in_line -= 1;
        self.called += 1;
        match state {
            State::InLine(waiter) => Some(waiter),
            State::Free | State::Called => unreachable!("who is linked is in the line"),
        }
    }

    /// How many have been called and have not left.
    pub(crate) fn called(&self) -> usize {
        self.called
    }

    /// Calls the first in the line of whom `is_wanted` says so.
    #[cold]
    #[inline(never)]
    pub(crate) fn call_where(&mut self, mut is_wanted: impl FnMut(&T) -> bool) -> Option<T> {
        let mut index = self.first;
        while let Some(place) = self.places.get_mut(index as usize) {
            match &place.state {
                State::InLine(waiter) if !is_wanted(waiter) => index = place.next,
                _ => {
                    let state = std::mem::replace(&mut place.state, State::Called);
                    self.unlink(index);
                    self.in_line -= 1;
                    self.called += 1;
                    match state {
                        State::InLine(waiter) => return Some(waiter),
                        State::Free | State::Called => unreachable!("who is linked is in the line"),
                    }
                }
            }
        }
        None
    }

    /// Takes the first out of the line, who need not leave then.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let key = WaitKey(self.first);
        let waiter = self.call()?;
        self.leave(key);
        Some(waiter)
    }

    /// Leaves, from wherever it stands. `None` if it has left before.
    pub(crate) fn leave(&mut self, key: WaitKey) -> Option<Left<T>> {
        let WaitKey(index) = key;
        let place = self.places.get_mut(index as usize)?;
        let left = match std::mem::replace(&mut place.state, State::Free) {
            State::Free => return None,
            State::Called => {
                self.called -= 1;
                Left::Called
            }
            State::InLine(waiter) => {
                self.in_line -= 1;
                self.unlink(index);
                Left::InLine(waiter)
            }
        };
        self.places[index as usize].next = self.first_free;
        self.first_free = index;
        Some(left)
    }

    /// Leaves if it has been called. False if it has not: it stays in the line.
    #[inline]
    pub(crate) fn leave_if_called(&mut self, key: WaitKey) -> bool {
        let WaitKey(index) = key;
        let Some(place) = self.places.get_mut(index as usize) else { return false };
        if !matches!(place.state, State::Called) {
            return false;
        }
        (place.state, place.next) = (State::Free, self.first_free);
        self.first_free = index;
        self.called -= 1;
        true
    }

    /// What it waits with; `None` if it has been called.
    pub(crate) fn get_mut(&mut self, key: WaitKey) -> Option<&mut T> {
        match &mut self.places.get_mut(key.0 as usize)?.state {
            State::InLine(waiter) => Some(waiter),
            State::Free | State::Called => None,
        }
    }

    /// Those in the line, first to last.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let mut index = self.first;
        std::iter::from_fn(move || {
            let place = self.places.get(index as usize)?;
            index = place.next;
            match &place.state {
                State::InLine(waiter) => Some(waiter),
                State::Free | State::Called => None,
            }
        })
    }

    #[inline]
    fn unlink(&mut self, index: u32) {
        let Place { previous, next, .. } = self.places[index as usize];
        if previous == NIL {
            self.first = next;
        } else {
            self.places[previous as usize].next = next;
        }
        if next == NIL {
            self.last = previous;
        } else {
            self.places[next as usize].previous = previous;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::Dice;

    #[test]
    fn it_is_a_line_from_whose_middle_one_can_leave() {
        for seed in 0..20 {
            let mut dice = Dice::new(seed);
            let mut list = WaitList::default();
            let mut line: Vec<(WaitKey, u64)> = Vec::new();
            let mut called: Vec<WaitKey> = Vec::new();
            for number in 0..5_000 {
                match dice.below(8) {
                    0..=2 => line.push((list.join(number), number)),
                    3 if !line.is_empty() => {
                        let (key, number) = line.remove(dice.below(line.len() as u64) as usize);
                        assert_eq!(list.get_mut(key).copied(), Some(number));
                        assert!(!list.leave_if_called(key));
                        assert_eq!(list.leave(key), Some(Left::InLine(number)));
                        assert_eq!(list.leave(key), None, "nobody leaves twice");
                    }
                    4 if !called.is_empty() => {
                        let key = called.remove(dice.below(called.len() as u64) as usize);
                        assert_eq!(list.get_mut(key), None);
                        if dice.below(2) == 0 {
                            assert_eq!(list.leave(key), Some(Left::Called));
                        } else {
                            assert!(list.leave_if_called(key));
                        }
                        assert!(!list.leave_if_called(key), "nobody leaves twice");
                    }
                    5 => {
                        let first = (!line.is_empty()).then(|| line.remove(0).1);
                        assert_eq!(list.pop(), first);
                    }
                    6 => {
                        let place = line.iter().position(|(_, number)| number % 3 == 0);
                        let (key, number) = place.map(|place| line.remove(place)).unzip();
                        assert_eq!(list.call_where(|number| number % 3 == 0), number);
                        called.extend(key);
                    }
                    _ => {
                        let first = (!line.is_empty()).then(|| line.remove(0));
                        assert_eq!(list.call(), first.map(|(_, number)| number));
                        called.extend(first.map(|(key, _)| key));
                    }
                }
                assert!(list.iter().eq(line.iter().map(|(_, number)| number)));
                assert_eq!(list.in_line(), line.len());
                assert_eq!(list.called(), called.len());
                assert_eq!(list.is_empty(), line.is_empty() && called.is_empty());
            }
        }
    }
}
