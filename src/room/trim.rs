//! **Trimming**: giving back memory that many tasks or timers have left behind.
//!
//! A table that only grows keeps, for as long as the loop lives, the memory of the worst moment. But an entry is named by its
//! index, so one that is in use cannot move: only the free end of a table can be cut off. `base/slack.rs` decides when.
//!
//! A slot that is cut off loses its generation. When the table grows again, a new slot with the same index must not begin with a
//! generation that is still in an old waker. So new slots begin ahead of all generations that such slots have had.
//!
//! The loop trims at some of its checks of the mailbox and the clock, and before it parks: never where an entry comes or goes.

use std::cell::Cell;

use crate::base::id::{CYCLE, FIRST_GENERATION};
use crate::base::slack::{KEPT, TRIM_EVERY};
use crate::engine::Engine;
use crate::kernel::table::{FreeSlot, Table};

/// Counts the checks until the next attempt to trim.
pub(crate) struct TrimClock(Cell<usize>);

impl Default for TrimClock {
    fn default() -> TrimClock {
        TrimClock(Cell::new(TRIM_EVERY))
    }
}

impl Engine {
    /// Called at every check: trims at every [`TRIM_EVERY`]th.
    #[inline]
    pub(crate) fn trim_sometimes(&self) {
        let TrimClock(checks) = &self.trim_clock;
        checks.set(checks.get() - 1);
        if checks.get() == 0 {
            self.trim();
            self.look_for_livelock();
        }
    }

    /// Gives back memory that is not needed, of the table and of the timers.
    #[cold]
    pub(crate) fn trim(&self) {
        self.trim_clock.0.set(TRIM_EVERY);
        if self.time.is_large() || self.tasks.table.borrow().is_large() {
            self.trim_tables();
        }
    }

    #[cold]
    fn trim_tables(&self) {
        self.tasks.table.borrow_mut().trim();
        self.time.trim();
        self.trim_tracing();
    }
}

impl Table {
    /// Whether [`trim`](Table::trim) may have something to do.
    #[inline]
    pub(crate) fn is_large(&self) -> bool {
        self.entries.len() > KEPT
    }

    /// Gives memory back, if much of it is not needed; see `base/slack.rs`.
    pub(crate) fn trim(&mut self) {
        let in_use = self.len();
        if let Some(wanted) = self.room.slack.wanted(self.entries.len(), in_use) {
            self.cut(wanted);
            self.room.slack.was_cut(wanted, self.entries.len(), in_use);
        }
    }

    /// Cuts off free slots at the end, down to `wanted` slots.
    ///
    /// All slots that the table grows by begin with one generation, `first_generation`. It must not be behind the next generation
    /// of any slot that was ever cut off. But generations are a circle, on which "behind" means something only nearby. So a slot
    /// whose generation is a quarter of the circle or more away is not cut off. To get there, a slot that is only used when many
    /// others are would have to be used four million times.
    fn cut(&mut self, wanted: usize) {
        const IN_USE: u32 = 0; // a generation is never zero
        let mut generations = vec![IN_USE; self.entries.len()];
        for free_slot in &self.free {
            generations[free_slot.slot as usize] = free_slot.generation;
        }
        // From the end, as far as the slots are free and their generations near.
        let (mut len, mut most_ahead) = (self.entries.len(), 0);
        while len > wanted {
            let generation = generations[len - 1];
            let ahead = (generation + CYCLE - self.first_generation) % CYCLE;
            let is_near = !(CYCLE / 4..=CYCLE - CYCLE / 4).contains(&ahead);
            if generation == IN_USE || !is_near {
                break;
            }
            if ahead < CYCLE / 4 {
                most_ahead = most_ahead.max(ahead);
            }
            len -= 1;
        }
        // New slots begin with the furthest generation that was cut off: it has not been used yet.
        self.first_generation =
            (self.first_generation - FIRST_GENERATION + most_ahead) % CYCLE + FIRST_GENERATION;
        self.entries.truncate(len);
        self.entries.shrink_to(len);
        // If a slot in use was in the way, the free slots behind the wanted end are avoided while others are free. Otherwise a
        // single task that is spawned again and again near the end would keep the whole table.
        self.room.front = if len > wanted { wanted } else { usize::MAX };
        // The list of free slots is built anew, with the first slots on top: they are taken first.
        self.free.clear();
        self.free.shrink_to(len);
        let free = generations[..len].iter().enumerate().rev();
        self.free.extend(
            free.filter(|it| *it.1 != IN_USE)
                .map(|(slot, &generation)| FreeSlot { slot: slot as u32, generation }),
        );
        self.room.behind = self.free.partition_point(|it| it.slot as usize >= self.room.front);
        self.update_kept_free();
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
    use crate::base::id::next_generation;
    use crate::base::room::MAX_TASKS;
    use crate::engine::Engine;
    use crate::testing::{Dice, watched_loop};

    /// Reserves so many slots.
    fn reserved(slots: &mut Table, count: usize) -> Vec<FreeSlot> {
        (0..count).map(|_| slots.reserve_for_task().unwrap()).collect()
    }

    fn give_back(slots: &mut Table, reserved: Vec<FreeSlot>) {
        for FreeSlot { slot, generation } in reserved {
            slots.give_back(FreeSlot { slot, generation: next_generation(generation) });
        }
    }

    #[test]
    fn slots_that_were_cut_off_come_back_with_a_generation_that_none_of_them_had() {
        // Also from a generation shortly before the first one comes round.
        for first in [0, CYCLE - 3] {
            let mut slots = Table::new(first, MAX_TASKS);
            let mut had = HashSet::new();
            for _ in 0..4 {
                for _ in 0..3 {
                    let free_slots = reserved(&mut slots, 3 * KEPT);
                    for it in &free_slots {
                        assert!(had.insert((it.slot, it.generation)), "{it:?} was used before");
                    }
                    give_back(&mut slots, free_slots);
                }
                slots.trim();
                assert_eq!((slots.entries.len(), slots.entries.capacity()), (KEPT, KEPT));
                assert_eq!((slots.len(), slots.free.len()), (0, KEPT));
                assert!(slots.free.capacity() <= 2 * KEPT);
            }
        }
    }

    #[test]
    fn no_slot_has_two_entries_and_no_waker_two_tasks_for_any_mix_of_spawns_ends_and_cuts() {
        for seed in 0..50 {
            let mut dice = Dice::new(seed);
            let mut slots = Table::new(seed as u32, MAX_TASKS);
            let (mut taken, mut had) = (Vec::new(), HashSet::new());
            for step in 0..4_000 {
                let grows = (step / 500) % 2 == 0;
                if dice.below(10) < if grows { 7 } else { 3 } {
                    let it = slots.reserve_for_task().unwrap();
                    assert!(had.insert((it.slot, it.generation)), "{it:?} was used before");
                    assert!(taken.iter().all(|other: &FreeSlot| other.slot != it.slot));
                    taken.push(it);
                } else if !taken.is_empty() {
                    let index = dice.below(taken.len() as u64) as usize;
                    give_back(&mut slots, vec![taken.swap_remove(index)]);
                }
                if dice.below(50) == 0 {
                    slots.cut(dice.below(100) as usize);
                }
                assert_eq!(slots.len(), taken.len());
            }
        }
    }

    #[test]
    fn a_slot_that_is_taken_or_worn_is_not_cut_off() {
        let mut slots = Table::new(7, MAX_TASKS);
        let mut free_slots = reserved(&mut slots, 3 * KEPT);
        let taken = free_slots.remove(2 * KEPT);
        give_back(&mut slots, free_slots);
        slots.trim();
        assert_eq!(slots.entries.len(), 2 * KEPT + 1, "a reserved slot is in the way");
        let worn = FreeSlot { slot: taken.slot, generation: taken.generation + CYCLE / 2 };
        slots.give_back(worn);
        slots.trim();
        assert_eq!(slots.entries.len(), 2 * KEPT + 1, "old wakers could match new tasks");
    }

    /// Runs `test` on a loop with so many slots in all, and so many for tasks.
    fn on_a_small_loop(capacity: usize, max_tasks: usize, test: impl FnOnce(Rc<Engine>)) {
        let (event_loop, _) = watched_loop();
        let engine = event_loop.engine().clone();
        engine.tasks.table.borrow_mut().set_room(capacity, max_tasks);
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
                assert!(task().is_err(), "the slot is free, but not for tasks");
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
