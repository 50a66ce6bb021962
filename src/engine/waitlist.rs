//! **The wait list**: who waits, first come, first served.
//!
//! A queue from whose middle one can leave. Entries are linked by index in a slab, so joining and leaving are
//! O(1) however many wait, and a list that has grown to its size allocates no more.

/// Names a place in a [`WaitList`], until the entry has left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitKey(u32);

#[derive(Debug)]
struct Place<T> {
    /// `None` in a free place.
    waiter: Option<T>,
    previous: u32,
    /// In a free place, the next free one.
    next: u32,
}

const NIL: u32 = u32::MAX;

/// Waiters in the order in which they came.
#[derive(Debug)]
pub(crate) struct WaitList<T> {
    places: Vec<Place<T>>,
    first: u32,
    last: u32,
    first_free: u32,
    len: usize,
}

impl<T> Default for WaitList<T> {
    fn default() -> WaitList<T> {
        WaitList { places: Vec::new(), first: NIL, last: NIL, first_free: NIL, len: 0 }
    }
}

impl<T> WaitList<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Goes to the end of the line.
    pub(crate) fn join(&mut self, waiter: T) -> WaitKey {
        let place = Place { waiter: Some(waiter), previous: self.last, next: NIL };
        let index = if self.first_free == NIL {
            self.places.push(place);
            u32::try_from(self.places.len() - 1).expect("more than four billion waiters")
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
        self.len += 1;
        WaitKey(index)
    }

    /// Leaves, from wherever it stands. `None` if it has left before.
    pub(crate) fn leave(&mut self, key: WaitKey) -> Option<T> {
        let WaitKey(index) = key;
        let place = self.places.get_mut(index as usize)?;
        let waiter = place.waiter.take()?;
        let (previous, next) = (place.previous, place.next);
        place.next = self.first_free;
        self.first_free = index;
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
        self.len -= 1;
        Some(waiter)
    }

    pub(crate) fn first(&self) -> Option<WaitKey> {
        (self.first != NIL).then_some(WaitKey(self.first))
    }

    pub(crate) fn get_mut(&mut self, key: WaitKey) -> Option<&mut T> {
        self.places.get_mut(key.0 as usize)?.waiter.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::Dice;

    #[test]
    fn it_is_a_list_from_whose_middle_one_can_leave() {
        for seed in 0..20 {
            let mut dice = Dice::new(seed);
            let mut list = WaitList::default();
            let mut model: Vec<(WaitKey, u64)> = Vec::new();
            for number in 0..5_000 {
                match dice.below(5) {
                    0..=2 => model.push((list.join(number), number)),
                    3 if !model.is_empty() => {
                        let (key, number) = model.remove(dice.below(model.len() as u64) as usize);
                        assert_eq!(list.leave(key), Some(number));
                        assert_eq!(list.leave(key), None, "nobody leaves twice");
                    }
                    _ => {
                        let first = list.first();
                        assert_eq!(first, model.first().map(|&(key, _)| key));
                        if let Some(key) = first {
                            assert_eq!(list.leave(key), Some(model.remove(0).1));
                        }
                    }
                }
                assert_eq!(list.is_empty(), model.is_empty());
            }
        }
    }
}
