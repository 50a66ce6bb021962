//! **The timer wheel**: hierarchical and exact.
//!
//! A heap of deadlines costs O(log n) for each timer that is set and each that is dropped. And most timers are dropped before they
//! fire: a time limit is there for a case that rarely happens. A wheel makes both O(1). Usually it pays for that with coarse
//! deadlines. This one does not: deadlines are full `u64` nanoseconds, and timers fire in the order of (deadline, insertion),
//! never early.
//!
//! Read a deadline as eleven digits of six bits. The wheel has a level for each digit, and each level has 64 slots:
//!
//! | level | one slot is  | the level spans |
//! |------:|:-------------|:----------------|
//! | 0     | 1 ns         | 64 ns           |
//! | 1     | 64 ns        | 4 µs            |
//! | 2     | 4 µs         | 262 µs          |
//! | 3     | 262 µs       | 17 ms           |
//! | 4     | 17 ms        | 1.07 s          |
//! | 5     | 1.07 s       | 69 s            |
//! | 6     | 69 s         | 73 min          |
//! | 7     | 73 min       | 3.3 days        |
//! | 8     | 3.3 days     | 208 days        |
//! | 9     | 208 days     | 36 years        |
//! | 10    | 36 years     | 584 years: all of `u64` |
//!
//! `elapsed` is the moment up to which everything has fired. A timer goes to the level of the *highest digit in which its deadline
//! differs from `elapsed`*, into the slot that this digit names. Two things follow. A timer in a lower level is due before every
//! timer in a higher one. And `elapsed` can move forward without touching a timer, as long as it does not enter the timer's slot.
//! One word for each level says which slots are occupied, so the earliest slot is found by counting zeros.
//!
//! A textbook wheel *cascades*: it moves a coarse slot into the next finer level, and again, up to ten moves for a timer. Here
//! [`advance`](Wheel::advance) empties a slot that is reached at once. It sorts the due timers and fires them from where they are.
//! Only the slot that contains `now` has timers left, and they are put back relative to `now`.
//!
//! **Order.** The list of a slot is in order of insertion. A finer slot can be inserted into only after `elapsed` has entered the
//! coarse slot around it; and the `advance` that enters it first puts back, in list order, the timers that are already there. So
//! sorting a slot by (deadline, position in the list) gives (deadline, insertion).
//!
//! **Memory.** Entries are in one table and linked by index: 24 bytes each for a payload of a word. An entry is in use until
//! [`remove`](Wheel::remove), even after it has fired ([`has_fired`](Wheel::has_fired)), so a key needs no generation. Not a
//! `Slab`: a free entry is linked through `next` and costs no memory beside it, and there are two lists of free ones, so that the
//! end of the table can become free and be cut off (`base/slack.rs`).
//!
//! What it does not do: find the first deadline after a removal (see [`next`](Wheel::next)).
//!
//! It stands on `base`.

use std::iter::successors;
use std::mem;

use crate::base::slack::{self, KEPT, Slack, shrink};

const DIGIT_BITS: u32 = 6;

const SLOTS: usize = 1 << DIGIT_BITS;

const LEVELS: usize = 11;

/// No entry: the end of a list.
const NIL: u32 = u32::MAX;

/// In `next`: the entry has fired, and is in no list.
const FIRED: u32 = u32::MAX - 1;

/// In `previous`: the entry is free. Set and read by [`Wheel::cut`] only.
const FREE: u32 = u32::MAX - 2;

/// Names an entry. Its owner gives it back to [`Wheel::remove`], exactly once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TimerKey(u32);

impl TimerKey {
    /// Names the timer as long as the key exists.
    pub(crate) fn number(&self) -> u32 {
        self.0
    }
}

#[derive(Debug)]
struct Entry<T> {
    deadline: u64,
    payload: T,
    previous: u32,
    /// Of a free entry, the next free one.
    next: u32,
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
    /// No entry of the list is due before this. It is the first deadline, unless the entry with that deadline was removed.
    earliest: u64,
}

const EMPTY: List = List { first: NIL, last: NIL, earliest: u64::MAX };

#[derive(Debug)]
struct Level {
    /// Bit `n` is set if `slots[n]` is not empty.
    occupied: u64,
    slots: [List; SLOTS],
}

/// Timers, each with a payload. It knows neither clocks nor tasks.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    /// Everything that is due up to this moment has fired.
    elapsed: u64,
    levels: Box<[Level; LEVELS]>,
    entries: Vec<Entry<T>>,
    first_free: u32,
    /// Where the table is to be cut, once the entries that are in the way are free: free entries from here on are used last.
    /// [`NIL`] if it is not to be cut.
    front: u32,
    /// The list of free entries behind `front`. Those that were freed since are still in the first list.
    first_free_behind: u32,
    /// Entries that have not fired.
    pending: usize,
    slack: Slack,
    /// The due entries of one slot: (deadline, position in the list, index). Kept for its memory.
    due: Vec<(u64, u32, u32)>,
}

impl<T: Copy> Wheel<T> {
    pub(crate) fn new() -> Wheel<T> {
        Wheel {
            elapsed: 0,
            levels: Box::new([const { Level { occupied: 0, slots: [EMPTY; SLOTS] } }; LEVELS]),
            entries: Vec::new(),
            first_free: NIL,
            front: NIL,
            first_free_behind: NIL,
            pending: 0,
            slack: Slack::default(),
            due: Vec::new(),
        }
    }

    /// How many timers have not fired.
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// The deadline and the payload of each timer that has not fired, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, T)> {
        let at = |index: u32| self.entries.get(index as usize); // `NIL` is no index
        let slots = self.levels.iter().flat_map(|level| &level.slots);
        let entries = slots.flat_map(move |list| successors(at(list.first), move |it| at(it.next)));
        entries.map(|entry| (entry.deadline, entry.payload))
    }

    /// Sets a timer. If its deadline has passed it fires at the next [`advance`](Wheel::advance).
    pub(crate) fn insert(&mut self, deadline: u64, payload: T) -> TimerKey {
        let entry = Entry { deadline, payload, previous: NIL, next: NIL };
        // One comparison for both: `NIL`, no free entry, is not less than any `front`.
        let index =
            if self.first_free >= self.front { self.take_or_push(entry) } else { self.take(entry) };
        self.link(index);
        self.pending += 1;
        TimerKey(index)
    }

    /// Uses the first free entry.
    #[inline]
    fn take(&mut self, entry: Entry<T>) -> u32 {
        let index = self.first_free;
        let free_entry = &mut self.entries[index as usize];
        self.first_free = free_entry.next;
        *free_entry = entry;
        index
    }

    /// Uses a free entry or adds one, if there is no first free entry, or it is behind `front`.
    #[cold]
    fn take_or_push(&mut self, entry: Entry<T>) -> u32 {
        // Moves free entries behind `front` to their own list.
        while self.first_free != NIL && self.first_free >= self.front {
            let free_entry = &mut self.entries[self.first_free as usize];
            let next = mem::replace(&mut free_entry.next, self.first_free_behind);
            self.first_free_behind = mem::replace(&mut self.first_free, next);
        }
        if self.first_free == NIL {
            // All entries before `front` are in use: the table is as long as it has to be, and is not to be cut.
            self.first_free = mem::replace(&mut self.first_free_behind, NIL);
            self.front = NIL;
        }
        if self.first_free == NIL { self.push(entry) } else { self.take(entry) }
    }

    fn push(&mut self, entry: Entry<T>) -> u32 {
        let index = u32::try_from(self.entries.len()).ok().filter(|&index| index < FREE);
        let index = index.expect("more than four billion timers on one loop");
        slack::push(&mut self.entries, entry);
        index
    }

    /// Removes a timer, fired or not, and frees its entry. Returns the payload.
    #[allow(clippy::needless_pass_by_value)] // so that the key cannot be used again
    pub(crate) fn remove(&mut self, key: TimerKey) -> T {
        let TimerKey(index) = key;
        if self.entries[index as usize].next != FIRED {
            self.unlink(index);
            self.pending -= 1;
        }
        let entry = &mut self.entries[index as usize];
        entry.next = mem::replace(&mut self.first_free, index);
        entry.payload
    }

    /// Whether the timer has fired. Its key is valid until it is removed.
    pub(crate) fn has_fired(&self, key: &TimerKey) -> bool {
        self.entries[key.0 as usize].next == FIRED
    }

    /// The deadline and the payload of the timer with this number.
    pub(crate) fn entry(&mut self, number: u32) -> (u64, &mut T) {
        let entry = &mut self.entries[number as usize];
        (entry.deadline, &mut entry.payload)
    }

    pub(crate) fn payload_mut(&mut self, key: &TimerKey) -> &mut T {
        &mut self.entries[key.0 as usize].payload
    }

    /// When to advance next: no timer is due before this moment. `None` if no timer is set.
    ///
    /// It is the first deadline, unless the first timer of the first slot was removed. Then it may still be that timer's deadline,
    /// and an `advance` to it fires nothing, and may have to be followed by another. To know the next deadline at once, each
    /// removal would have to search the slot.
    pub(crate) fn next(&self) -> Option<u64> {
        let (level, slot) = self.first_occupied()?;
        Some(self.levels[level].slots[slot].earliest)
    }

    /// Fires the timers that are due at `now`: appends their payloads to `fired`, in order of (deadline, insertion).
    pub(crate) fn advance(&mut self, now: u64, fired: &mut Vec<T>) {
        while let Some((level, slot)) = self.first_occupied() {
            let start = self.start_of(level, slot);
            if start > now {
                break;
            }
            // `elapsed` enters the slot, so that its timers no longer belong into it, but into finer levels.
            self.elapsed = self.elapsed.max(start);
            let width = DIGIT_BITS * level as u32;
            let end = start.saturating_add((1_u64 << width) - 1);
            // If `now` is inside the slot, some timers may be left. They are put back as seen from `now`.
            if end > now {
                self.elapsed = self.elapsed.max(now);
            }
            self.levels[level].occupied &= !(1 << slot);
            let list = mem::replace(&mut self.levels[level].slots[slot], EMPTY);
            self.empty(list, now, fired);
        }
        self.elapsed = self.elapsed.max(now);
    }

    /// Fires the due timers of a list that was taken out of its slot, and puts back the others.
    fn empty(&mut self, list: List, now: u64, fired: &mut Vec<T>) {
        let mut due = mem::take(&mut self.due);
        let mut index = list.first;
        while index != NIL {
            let entry = &self.entries[index as usize];
            let (deadline, next) = (entry.deadline, entry.next);
            if deadline <= now {
                due.push((deadline, due.len() as u32, index));
            } else {
                self.link(index);
            }
            index = next;
        }
        if due.len() > 1 {
            due.sort_unstable();
        }
        for &(_, _, index) in &due {
            let entry = &mut self.entries[index as usize];
            entry.next = FIRED;
            fired.push(entry.payload);
        }
        self.pending -= due.len();
        due.clear();
        self.due = due;
    }

    /// Whether [`trim`](Wheel::trim) may have something to do.
    #[inline]
    pub(crate) fn is_large(&self) -> bool {
        self.entries.len() > KEPT
    }

    /// Gives memory back, if much of it is not needed; see `base/slack.rs`.
    pub(crate) fn trim(&mut self) {
        shrink(&mut self.due, self.pending);
        // A timer that has fired and is not removed yet is not counted, but it is not cut off either.
        if let Some(wanted) = self.slack.wanted(self.entries.len(), self.pending) {
            let len = self.cut(wanted);
            self.slack.was_cut(wanted, len, self.pending);
        }
    }

    /// Cuts off free entries at the end, down to `wanted` entries. Returns how many there are then.
    fn cut(&mut self, wanted: usize) -> usize {
        // Marks the free entries.
        for first in [self.first_free, mem::replace(&mut self.first_free_behind, NIL)] {
            let mut index = first;
            while index != NIL {
                let entry = &mut self.entries[index as usize];
                entry.previous = FREE;
                index = entry.next;
            }
        }
        let last_in_use = self.entries.iter().rposition(|entry| entry.previous != FREE);
        let len = last_in_use.map_or(0, |last| last + 1).max(wanted).min(self.entries.len());
        self.entries.truncate(len);
        self.entries.shrink_to(len);
        // If an entry in use was in the way, free entries behind the wanted end are used last. Otherwise a single timer that is set
        // again and again near the end would keep the whole table.
        self.front = if len > wanted { wanted as u32 } else { NIL };
        // The list of free entries is built anew, with the first ones in front.
        self.first_free = NIL;
        for (index, entry) in self.entries.iter_mut().enumerate().rev() {
            if entry.previous == FREE {
                entry.next = mem::replace(&mut self.first_free, index as u32);
            }
        }
        len
    }

    /// The level and the slot of a deadline, as seen from `elapsed`. A deadline that has passed counts as `elapsed`.
    fn position_of(&self, deadline: u64) -> (usize, usize) {
        let deadline = deadline.max(self.elapsed);
        let highest_difference = u64::BITS - ((deadline ^ self.elapsed) | 1).leading_zeros() - 1;
        let level = highest_difference / DIGIT_BITS;
        let slot = (deadline >> (level * DIGIT_BITS)) as usize % SLOTS;
        (level as usize, slot)
    }

    /// The first moment that belongs to a slot, as seen from `elapsed`.
    fn start_of(&self, level: usize, slot: usize) -> u64 {
        let shift = DIGIT_BITS * level as u32;
        let above = shift + DIGIT_BITS;
        let higher_digits = if above >= u64::BITS { 0 } else { self.elapsed >> above << above };
        higher_digits | (slot as u64) << shift
    }

    /// The level and the slot of the timers that are due first.
    fn first_occupied(&self) -> Option<(usize, usize)> {
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        Some((level, self.levels[level].occupied.trailing_zeros() as usize))
    }

    /// Adds an entry at the end of the list of its slot.
    fn link(&mut self, index: u32) {
        let deadline = self.entries[index as usize].deadline;
        let (level, slot) = self.position_of(deadline);
        let level = &mut self.levels[level];
        level.occupied |= 1 << slot;
        let list = &mut level.slots[slot];
        list.earliest = list.earliest.min(deadline);
        let previous = mem::replace(&mut list.last, index);
        if previous == NIL {
            list.first = index;
        } else {
            self.entries[previous as usize].next = index;
        }
        let entry = &mut self.entries[index as usize];
        entry.previous = previous;
        entry.next = NIL;
    }

    /// Removes an entry from the list of its slot: the slot is the same as when it was linked, as long as it has not fired.
    fn unlink(&mut self, index: u32) {
        let entry = &self.entries[index as usize];
        let (previous, next) = (entry.previous, entry.next);
        let (level, slot) = self.position_of(entry.deadline);
        let level = &mut self.levels[level];
        let list = &mut level.slots[slot];
        if previous == NIL {
            list.first = next;
        } else {
            self.entries[previous as usize].next = next;
        }
        if next == NIL {
            list.last = previous;
        } else {
            self.entries[next as usize].previous = previous;
        }
        if list.first == NIL {
            *list = EMPTY;
            level.occupied &= !(1 << slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::Dice;

    /// The obvious slow wheel: a map sorted by (deadline, insertion).
    #[derive(Default)]
    struct Model {
        timers: BTreeMap<(u64, u64), u64>,
        inserted: u64,
    }

    /// A wheel and a model side by side. Every operation is done on both, and the results are compared.
    struct Pair {
        wheel: Wheel<u64>,
        model: Model,
        now: u64,
        set: Vec<(TimerKey, u64, u64)>,
    }

    impl Pair {
        fn new() -> Pair {
            Pair { wheel: Wheel::new(), model: Model::default(), now: 0, set: Vec::new() }
        }

        fn insert(&mut self, deadline: u64) {
            let serial = self.model.inserted;
            self.model.inserted += 1;
            self.model.timers.insert((deadline, serial), serial);
            self.set.push((self.wheel.insert(deadline, serial), deadline, serial));
        }

        fn remove(&mut self, index: usize) {
            let (key, deadline, serial) = self.set.swap_remove(index);
            let was_pending = self.model.timers.remove(&(deadline, serial)).is_some();
            assert_eq!(self.wheel.has_fired(&key), !was_pending, "timer {serial} for {deadline}");
            assert_eq!(self.wheel.remove(key), serial);
        }

        fn advance(&mut self, now: u64) {
            self.now = now;
            let mut fired = Vec::new();
            self.wheel.advance(now, &mut fired);
            let later = match now.checked_add(1) {
                Some(after) => self.model.timers.split_off(&(after, 0)),
                None => BTreeMap::new(),
            };
            let due = mem::replace(&mut self.model.timers, later);
            assert_eq!(fired, due.into_values().collect::<Vec<_>>(), "at {now}");
        }

        fn check(&self) {
            assert_eq!(self.wheel.pending(), self.model.timers.len());
            let first = self.model.timers.keys().next().map(|&(deadline, _)| deadline);
            match (self.wheel.next(), first) {
                (None, None) => {}
                (Some(next), Some(first)) => assert!(next <= first, "{next} is after {first}"),
                other => panic!("{other:?} at {}", self.now),
            }
        }
    }

    fn play(seed: u64, operations: u32) {
        let mut dice = Dice::new(seed);
        let mut pair = Pair::new();
        // Some runs start near the end of time, some at the edge of a level.
        let start = match seed % 4 {
            0 => 0,
            1 => u64::MAX - dice.below(1 << 20),
            2 => (1 << dice.below(64)) - 1,
            _ => dice.next(),
        };
        pair.advance(start);
        for _ in 0..operations {
            match dice.below(10) {
                0..=4 => {
                    let reach = dice.below_some_power(64);
                    let deadline = match dice.below(12) {
                        0 => dice.next(),
                        1 => pair.now.saturating_sub(reach),
                        2 => pair.now,
                        3 => u64::MAX,
                        // At the edge of a level, just before it, and just after it.
                        4 => {
                            let edge = 1_u64 << (6 * dice.below(11));
                            (pair.now / edge)
                                .saturating_mul(edge)
                                .saturating_add(edge - 1 + dice.below(3))
                        }
                        // The same moment as another, for the order of insertion.
                        5 => pair.set.last().map_or(pair.now, |&(_, deadline, _)| deadline),
                        _ => pair.now.saturating_add(reach),
                    };
                    pair.insert(deadline);
                }
                5..=7 if !pair.set.is_empty() => {
                    let index = dice.below(pair.set.len() as u64) as usize;
                    pair.remove(index);
                }
                8 => {
                    let step = dice.below_some_power(40);
                    pair.advance(pair.now.saturating_add(step));
                }
                _ => {
                    if let Some(next) = pair.wheel.next() {
                        pair.advance(next.max(pair.now));
                    }
                }
            }
            if dice.below(100) == 0 {
                pair.wheel.cut(dice.below(40) as usize);
            }
            pair.check();
        }
        while let Some(next) = pair.wheel.next() {
            pair.advance(next.max(pair.now));
            pair.check();
        }
        while !pair.set.is_empty() {
            pair.remove(0);
        }
        assert_eq!(pair.wheel.pending(), 0);
    }

    #[test]
    fn it_is_a_sorted_map_for_any_mix_of_operations() {
        for seed in 0..200 {
            play(seed, 1_000);
        }
    }

    /// The long run: more than a million operations on few, long-lived wheels.
    #[test]
    fn it_is_a_sorted_map_for_a_million_operations() {
        for seed in 1_000..1_004 {
            play(seed, 300_000);
        }
    }

    #[test]
    fn next_is_exact_until_the_first_of_a_slot_is_removed() {
        let mut wheel = Wheel::new();
        let first = wheel.insert(3_000_000, 'a');
        let second = wheel.insert(3_000_500, 'b');
        assert_eq!(wheel.next(), Some(3_000_000));
        wheel.remove(second);
        assert_eq!(wheel.next(), Some(3_000_000));
        wheel.remove(first);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn the_last_moment_of_time_can_be_waited_for() {
        let mut wheel = Wheel::new();
        let mut fired = Vec::new();
        let key = wheel.insert(u64::MAX, 'z');
        wheel.advance(u64::MAX - 1, &mut fired);
        assert!(fired.is_empty() && !wheel.has_fired(&key));
        wheel.advance(u64::MAX, &mut fired);
        assert_eq!(fired, ['z']);
        // A timer that is set after the end of time is due at once.
        wheel.insert(u64::MAX, 'y');
        wheel.advance(u64::MAX, &mut fired);
        assert_eq!(fired, ['z', 'y']);
    }

    #[test]
    fn memory_of_many_timers_is_given_back_even_if_one_was_in_the_way() {
        let mut wheel = Wheel::new();
        let mut keys: Vec<_> = (0..100_000).map(|deadline| wheel.insert(deadline, 0)).collect();
        let last = keys.pop().unwrap();
        wheel.advance(50_000, &mut Vec::new());
        wheel.trim();
        assert_eq!(wheel.entries.len(), 100_000, "all are in use, fired or not");
        for key in keys {
            wheel.remove(key);
        }
        wheel.trim();
        assert_eq!(wheel.entries.len(), 100_000, "the last one is in the way");
        assert!(!wheel.has_fired(&last));
        wheel.remove(last);
        wheel.trim();
        assert_eq!((wheel.entries.len(), wheel.entries.capacity()), (KEPT, KEPT));
        assert!(wheel.due.capacity() <= 2 * KEPT);
        let again = (0..KEPT as u64).map(|deadline| wheel.insert(deadline, 0)).collect::<Vec<_>>();
        assert_eq!(again.len(), wheel.entries.len(), "the entries that were kept are used");
    }

    #[test]
    fn entries_are_used_again() {
        let mut wheel = Wheel::new();
        for deadline in 0..100_000_u64 {
            let kept = wheel.insert(deadline + 10, 0);
            let dropped = wheel.insert(deadline + 1_000_000, 1);
            wheel.remove(dropped);
            wheel.remove(kept);
        }
        assert_eq!(wheel.entries.len(), 2);
    }
}
