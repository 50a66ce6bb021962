//! **The slot table**: from a task's number to its record.
//!
//! A slot is a pointer to the record of its tenant, which knows its own number. So whoever comes with a number compares it
//! with the tenant's: when a tenant leaves, the next one is of the next generation, and every waker that was made for the
//! earlier one points at nobody. Vacant slots are taken again, last left first taken, so that a loop whose tasks come and go
//! stays in the same few cache lines.
//!
//! **Room.** A waker can tell so many slots apart, [`MAX_SLOTS`]. Tasks leave the last [`RESERVE`] of them to the callbacks of
//! the loop: a loop that is full of tasks can still call what waits for their ends.
//!
//! **Giving back.** After a crowd of tasks the vacant end of the table is cut off (`slack.rs`). Where it grows again, its slots
//! begin with a generation that none of those that were cut off has had in a long time, so wakers of their tenants stay stale.

use std::mem;

use super::record::RecordRef;
use super::slack::{KEPT, Slack};
use super::waker::{
    FIRST_GENERATION, GENERATIONS, MAX_SLOTS, TaskId, next_generation, slot_of_word,
};

/// A slot without a tenant, and the generation that its next one will be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vacancy {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// How many slots tasks leave to callbacks.
const RESERVE: usize = MAX_SLOTS / 64;
/// How many tasks can be alive on one loop at one time.
pub(crate) const MAX_TASKS: usize = MAX_SLOTS - RESERVE;

/// How many generations there are.
const CYCLE: u32 = GENERATIONS - FIRST_GENERATION;

/// All tasks and callbacks of one loop that are not over.
#[derive(Debug)]
pub(crate) struct Slots {
    tenants: Vec<Option<RecordRef>>,
    /// Those that had a tenant before.
    vacant: Vec<Vacancy>,
    /// If there are no more vacant slots than this, there is more to be done than to take one. It is zero, unless callbacks have
    /// made the table longer than tasks may, or not any slot may be taken. So to look whether there is room for a task costs
    /// no more than to look whether there is a vacant slot.
    kept_vacant: usize,
    /// The generation of a slot that the table grows by.
    first_generation: u32,
    /// Vacant slots from here on are not used while there are others: the table is to be cut here when those are vacant that
    /// are in the way. `usize::MAX` if all may be used.
    front: usize,
    /// How many of those are at the bottom of the list; others that have become vacant lately may be at its top.
    behind: usize,
    /// How many of the tenants are callbacks.
    callbacks: usize,
    /// How many may be tasks.
    max_tasks: usize,
    /// How long the table may be with tasks and callbacks, and how long before a task gets no slot any more.
    capacity: usize,
    capacity_for_tasks: usize,
    slack: Slack,
}

impl Slots {
    /// Slots start at `first_generation`, so that a loop that takes over the place of an earlier one in
    /// the registry does not answer to the wakers that the earlier one left behind.
    pub(crate) fn new(first_generation: u32, max_tasks: usize) -> Slots {
        Slots {
            tenants: Vec::new(),
            vacant: Vec::new(),
            kept_vacant: 0,
            first_generation: first_generation % CYCLE + FIRST_GENERATION,
            front: usize::MAX,
            behind: 0,
            callbacks: 0,
            max_tasks: max_tasks.min(MAX_TASKS),
            capacity: MAX_SLOTS,
            capacity_for_tasks: MAX_TASKS,
            slack: Slack::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.tenants.len() - self.vacant.len()
    }

    /// Gives away a slot to a task; `None` when there is no room for one. It is taken from now on, though its tenant has not
    /// come yet.
    #[inline]
    pub(crate) fn reserve_for_task(&mut self) -> Option<Vacancy> {
        if self.vacant.len() > self.kept_vacant { self.vacant.pop() } else { self.one_more_task() }
    }

    #[cold]
    fn one_more_task(&mut self) -> Option<Vacancy> {
        if self.len() < self.room_for_tasks() { self.vacant_or_more() } else { None }
    }

    fn vacant_or_more(&mut self) -> Option<Vacancy> {
        let Some(vacancy) = self.vacant.pop() else { return self.one_more() };
        if (vacancy.slot as usize) < self.front {
            return Some(vacancy);
        }
        if let Some(in_front) = self.vacant.get_mut(self.behind) {
            self.behind += 1;
            return Some(mem::replace(in_front, vacancy));
        }
        // In front all are taken: so the table is to be as long as it is.
        self.front = usize::MAX;
        self.keep_vacant();
        Some(vacancy)
    }

    /// The same for the loop's main task, without which it cannot run and the others would never end: one more than may be.
    pub(crate) fn reserve_for_main(&mut self) -> Option<Vacancy> {
        self.vacant_or_more()
    }

    /// The same for a callback; `None` when the whole table is full.
    pub(crate) fn reserve_for_callback(&mut self) -> Option<Vacancy> {
        let vacancy = self.vacant_or_more()?;
        self.count_callbacks(self.callbacks + 1);
        Some(vacancy)
    }

    /// A callback has left, or its slot is given back before it came.
    #[inline]
    pub(crate) fn callback_left(&mut self) {
        self.count_callbacks(self.callbacks - 1);
    }

    /// The slot was reserved, and its tenant does not come.
    pub(crate) fn leave_vacant(&mut self, vacancy: Vacancy) {
        self.vacant.push(vacancy);
    }

    #[inline]
    fn count_callbacks(&mut self, callbacks: usize) {
        self.callbacks = callbacks;
        self.keep_vacant();
    }

    /// How many tasks and callbacks there may be before a task finds no room.
    #[inline]
    fn room_for_tasks(&self) -> usize {
        (self.max_tasks + self.callbacks).min(self.capacity_for_tasks)
    }

    /// To be called when the table's length has changed, or how many of its tenants are callbacks.
    #[inline]
    fn keep_vacant(&mut self) {
        self.kept_vacant = if self.front == usize::MAX {
            self.tenants.len().saturating_sub(self.room_for_tasks())
        } else {
            usize::MAX
        };
    }

    /// How many tasks there may be, beside the callbacks that there are.
    pub(crate) fn limit(&self) -> usize {
        self.room_for_tasks().saturating_sub(self.callbacks)
    }

    /// How many tasks and callbacks there may be.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// A small table, for tests of what happens when it is full.
    #[cfg(test)]
    pub(super) fn set_room(&mut self, capacity: usize, capacity_for_tasks: usize) {
        (self.capacity, self.capacity_for_tasks) = (capacity, capacity_for_tasks);
    }

    /// Whether there is room for one more callback.
    pub(crate) fn has_room(&self) -> bool {
        self.len() < self.capacity
    }

    #[cold]
    fn one_more(&mut self) -> Option<Vacancy> {
        let slot = self.tenants.len();
        if slot >= self.capacity {
            return None;
        }
        self.tenants.push(None);
        self.keep_vacant();
        Some(Vacancy { slot: slot as u32, generation: self.first_generation })
    }

    /// The tenant comes whose slot was reserved.
    #[inline]
    pub(crate) fn insert(&mut self, record: RecordRef) {
        let slot = record.id.slot() as usize;
        let nobody = self.tenants[slot].replace(record);
        debug_assert!(nobody.is_none(), "a vacant slot has no tenant");
        mem::forget(nobody); // and so no destructor to call
    }

    /// The tenant leaves. It is handed back, for dropping it may run code of others.
    pub(crate) fn remove(&mut self, id: TaskId) -> Option<RecordRef> {
        let tenant = self.tenants.get_mut(id.slot() as usize)?.take_if(|tenant| tenant.id == id)?;
        let generation = next_generation(id.generation());
        self.vacant.push(Vacancy { slot: id.slot(), generation });
        Some(tenant)
    }

    /// Whether [`give_back`](Slots::give_back) may have something to do.
    #[inline]
    pub(crate) fn is_large(&self) -> bool {
        self.tenants.len() > KEPT
    }

    /// Gives memory back, if much of it is not needed; see `slack.rs`.
    pub(crate) fn give_back(&mut self) {
        let in_use = self.len();
        if let Some(wanted) = self.slack.wanted(self.tenants.len(), in_use) {
            self.cut(wanted);
            self.slack.was_cut(wanted, self.tenants.len(), in_use);
        }
    }

    /// Cuts off vacant slots at the end, down to `wanted` slots.
    ///
    /// The table is to grow again from one generation, which has to be ahead of those of all slots that were ever cut off, on
    /// a circle. So a slot whose generation is more than a quarter of the circle away from it is not cut off. That takes four
    /// million tenants of a slot that is only used when many others are.
    fn cut(&mut self, wanted: usize) {
        const NO_GENERATION: u32 = 0;
        let mut generations = vec![NO_GENERATION; self.tenants.len()];
        for vacancy in &self.vacant {
            generations[vacancy.slot as usize] = vacancy.generation;
        }
        let (mut len, mut most_ahead) = (self.tenants.len(), 0);
        while len > wanted {
            let generation = generations[len - 1];
            let ahead = (generation + CYCLE - self.first_generation) % CYCLE;
            let is_near = !(CYCLE / 4..=CYCLE - CYCLE / 4).contains(&ahead);
            if generation == NO_GENERATION || !is_near {
                break;
            }
            if ahead < CYCLE / 4 {
                most_ahead = most_ahead.max(ahead);
            }
            len -= 1;
        }
        self.first_generation =
            (self.first_generation - FIRST_GENERATION + most_ahead) % CYCLE + FIRST_GENERATION;
        self.tenants.truncate(len);
        self.tenants.shrink_to(len);
        // The list anew, the first slots on top. And what becomes vacant near the end is not taken again: or else a single task
        // that is made again and again would keep the whole table.
        self.front = if len > wanted { wanted } else { usize::MAX };
        self.vacant.clear();
        self.vacant.shrink_to(len);
        let vacant = generations[..len].iter().enumerate().rev();
        self.vacant.extend(
            vacant
                .filter(|it| *it.1 != NO_GENERATION)
                .map(|(slot, &generation)| Vacancy { slot: slot as u32, generation }),
        );
        self.behind = self.vacant.partition_point(|it| it.slot as usize >= self.front);
        self.keep_vacant();
    }

    pub(crate) fn tenant(&self, id: TaskId) -> Option<&RecordRef> {
        self.tenant_of_word(id.word())
    }

    /// The task with this number. A word that is no number is nobody's.
    #[inline]
    pub(super) fn tenant_of_word(&self, word: usize) -> Option<&RecordRef> {
        let tenant = self.tenants.get(slot_of_word(word))?.as_ref()?;
        (tenant.id.word() == word).then_some(tenant)
    }

    pub(crate) fn tenants(&self) -> impl Iterator<Item = &RecordRef> {
        self.tenants.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::future::pending;
    use std::panic::Location;
    use std::rc::Rc;

    use super::*;
    use crate::TaskBuilder;
    use crate::engine::testing::{Dice, watched_loop};
    use crate::engine::turn::Engine;

    /// As many slots as are asked for, without tenants.
    fn reserved(slots: &mut Slots, count: usize) -> Vec<Vacancy> {
        (0..count).map(|_| slots.reserve_for_task().unwrap()).collect()
    }

    fn leave(slots: &mut Slots, vacancies: Vec<Vacancy>) {
        for Vacancy { slot, generation } in vacancies {
            slots.leave_vacant(Vacancy { slot, generation: next_generation(generation) });
        }
    }

    #[test]
    fn slots_that_were_cut_off_come_back_with_a_generation_that_none_of_them_had() {
        // From a generation just before the first one returns, too.
        for first in [0, CYCLE - 3] {
            let mut slots = Slots::new(first, MAX_TASKS);
            let mut had = HashSet::new();
            for _ in 0..4 {
                for _ in 0..3 {
                    let vacancies = reserved(&mut slots, 3 * KEPT);
                    for it in &vacancies {
                        assert!(
                            had.insert((it.slot, it.generation)),
                            "{it:?} is for the second time"
                        );
                    }
                    leave(&mut slots, vacancies);
                }
                slots.give_back();
                assert_eq!((slots.tenants.len(), slots.tenants.capacity()), (KEPT, KEPT));
                assert_eq!((slots.len(), slots.vacant.len()), (0, KEPT));
                assert!(slots.vacant.capacity() <= 2 * KEPT);
            }
        }
    }

    #[test]
    fn no_slot_has_two_tenants_and_no_waker_two_tasks_for_any_mix_of_births_ends_and_cuts() {
        for seed in 0..50 {
            let mut dice = Dice::new(seed);
            let mut slots = Slots::new(seed as u32, MAX_TASKS);
            let (mut there, mut had) = (Vec::new(), HashSet::new());
            for step in 0..4_000 {
                let grows = (step / 500) % 2 == 0;
                if dice.below(10) < if grows { 7 } else { 3 } {
                    let it = slots.reserve_for_task().unwrap();
                    assert!(had.insert((it.slot, it.generation)), "{it:?} is for the second time");
                    assert!(there.iter().all(|other: &Vacancy| other.slot != it.slot));
                    there.push(it);
                } else if !there.is_empty() {
                    let which = dice.below(there.len() as u64) as usize;
                    leave(&mut slots, vec![there.swap_remove(which)]);
                }
                if dice.below(50) == 0 {
                    slots.cut(dice.below(100) as usize);
                }
                assert_eq!(slots.len(), there.len());
            }
        }
    }

    #[test]
    fn a_slot_that_is_taken_or_worn_is_not_cut_off() {
        let mut slots = Slots::new(7, MAX_TASKS);
        let mut vacancies = reserved(&mut slots, 3 * KEPT);
        let taken = vacancies.remove(2 * KEPT);
        leave(&mut slots, vacancies);
        slots.give_back();
        assert_eq!(slots.tenants.len(), 2 * KEPT + 1, "one that is reserved is in the way");
        let worn = Vacancy { slot: taken.slot, generation: taken.generation + CYCLE / 2 };
        slots.leave_vacant(worn);
        slots.give_back();
        assert_eq!(slots.tenants.len(), 2 * KEPT + 1, "nobody could tell old wakers from new");
    }

    /// With so many slots in all, and so many for tasks.
    fn on_a_small_loop(capacity: usize, max_tasks: usize, test: impl FnOnce(Rc<Engine>)) {
        let (event_loop, _) = watched_loop();
        let engine = event_loop.engine().clone();
        engine.tasks.slots.borrow_mut().set_room(capacity, max_tasks);
        engine.enter(|| test(engine.clone()));
    }

    #[test]
    fn tasks_leave_the_last_slots_to_callbacks_and_get_none_that_callbacks_have_left() {
        on_a_small_loop(6, 4, |engine| {
            let task = || TaskBuilder::new().create_task_if_running(pending::<()>());
            let callback = || engine.spawn_callback(async {}, Location::caller());
            let tasks: Vec<_> = (0..4).map(|_| task().unwrap()).collect();
            assert!(task().is_err());
            let callbacks: Vec<_> = (0..2).map(|_| callback().ok().unwrap()).collect();
            assert!(callback().is_err() && !engine.has_room_for_callback());
            for callback in callbacks {
                engine.discard(&callback);
                assert!(task().is_err(), "the slot is vacant, but not for tasks");
            }
            assert!(callback().is_ok() && callback().is_ok() && callback().is_err());
            engine.discard(tasks[0].record());
            assert!(task().is_err(), "six slots of which four may be in use");
            engine.discard(tasks[1].record());
            engine.discard(tasks[2].record());
            assert!(task().is_ok());
        });
    }
}
