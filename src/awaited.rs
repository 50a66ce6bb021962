//! **What a task awaits**: the notes that its last poll has left.
//!
//! Only a poll tells what a future awaits. To poll a task once more at each cancel would be simple, but a cancel has to reach the
//! end of a chain of tasks at once. So a join that waits notes its task on the task that is being polled; a wait set does the same.
//! A poll begins by forgetting the notes of the one before. So between two polls the notes say what the task awaits, and a cancel
//! can be forwarded there. The first noted task is in the header: most tasks that await a task await one.
//!
//! Foreign code leaves no notes. Once a waker of the task has escaped such code may wait too, and no waker reports its drop: so
//! from then on the notes are never taken for all that the task awaits.
//!
//! It stands on the kernel.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ptr;
use std::rc::Rc;

use crate::kernel::record::{Flag, RecordRef, Stage};

/// A wait set: a cancel of the task that awaits it is forwarded to its tasks.
pub(crate) trait CancelTargets {
    /// The tasks in it that have not ended.
    fn targets(&self) -> Vec<RecordRef>;

    /// The caller has forwarded a cancel to them.
    fn note_forwarded(&self);
}

/// The part of a task's cold part that belongs to this ring.
#[derive(Default)]
pub(crate) struct AwaitedNotes {
    /// The tasks that are awaited besides the one in the header: in the branches of a foreign `join!`.
    also_awaited: RefCell<AwaitedTasks>,
    /// The first wait set that is awaited, and the others.
    awaited_set: RefCell<Option<Rc<dyn CancelTargets>>>,
    also_awaited_sets: RefCell<Vec<Rc<dyn CancelTargets>>>,
}

impl AwaitedNotes {
    /// Drops all notes. Must not be called inside a borrow: it may drop the last reference to a task, which may run anything.
    #[inline(never)]
    pub(crate) fn empty(&self) {
        if !self.also_awaited.borrow().is_empty() {
            drop(self.also_awaited.take());
        }
        drop(self.awaited_set.take());
        if !self.also_awaited_sets.borrow().is_empty() {
            drop(self.also_awaited_sets.take());
        }
    }
}

impl RecordRef {
    /// Whether the last poll has left a note, and the task awaits nothing else. False for ever once a waker of the task has
    /// escaped.
    pub(crate) fn awaits_one(&self) -> bool {
        self.has_but_not(Flag::AWAITS, Stage::LENT | Flag::AWAITS_SEVERAL | Flag::WAKER_ESCAPED)
    }

    /// Whether a task was noted in this poll, and nothing else so far.
    pub(crate) fn awaits_a_task(&self) -> bool {
        self.has_but_not(Flag::AWAITS, Flag::AWAITS_SEVERAL)
    }

    /// A join of `awaited` is ready, or has left.
    #[inline]
    pub(crate) fn stops_awaiting(&self, awaited: &RecordRef) {
        // A note of an earlier poll was forgotten when this one began.
        if self.has(Flag::AWAITS) {
            self.forget_awaiting(awaited);
        }
    }

    fn forget_awaiting(&self, awaited: &RecordRef) {
        if let Some(one) = self.awaited.take() {
            if one == *awaited {
                return; // `one` is not the last reference: the caller has another
            }
            self.awaited.set(Some(one));
        }
        if let Some(cold) = self.cold_if_any() {
            cold.awaited.also_awaited.borrow_mut().remove(awaited);
        }
    }

    /// A join of `awaited` is pending in this poll.
    pub(crate) fn starts_awaiting(&self, awaited: &RecordRef) {
        self.set(Flag::AWAITS);
        match self.awaited.take() {
            None => {
                self.awaited.set(Some(awaited.clone()));
            }
            Some(one) if one == *awaited => {
                self.awaited.set(Some(one));
            }
            Some(one) => {
                self.awaited.set(Some(one));
                self.cold().awaited.also_awaited.borrow_mut().add(awaited);
            }
        }
    }

    /// A poll begins: its checkpoints note anew what they wait for.
    #[inline]
    pub(crate) fn forget_awaited(&self) {
        if self.has(Flag::AWAITS | Flag::AWAITS_SEVERAL) {
            self.clear(Flag::AWAITS | Flag::AWAITS_SEVERAL);
            let one = self.awaited.take();
            if let Some(cold) = self.cold_if_any() {
                cold.awaited.empty();
            }
            drop(one); // last, when nothing is noted: it may be the last reference, and run anything
        }
    }

    /// A wait for `wait_set` is pending in this poll.
    pub(crate) fn starts_awaiting_set(&self, wait_set: Rc<dyn CancelTargets>) {
        self.set(Flag::AWAITS);
        let cold = self.cold();
        let mut first = cold.awaited.awaited_set.borrow_mut();
        match &*first {
            None => *first = Some(wait_set),
            Some(known) if is_same_set(known, &wait_set) => {}
            Some(_) => {
                let mut others = cold.awaited.also_awaited_sets.borrow_mut();
                if !others.last().is_some_and(|known| is_same_set(known, &wait_set)) {
                    others.push(wait_set);
                }
            }
        }
    }

    /// The wait for `wait_set` is ready, or has left.
    #[inline]
    pub(crate) fn stops_awaiting_set(&self, wait_set: &Rc<impl CancelTargets>) {
        // A note of an earlier poll was forgotten when this one began.
        if self.has(Flag::AWAITS) {
            self.forget_awaiting_set(wait_set);
        }
    }

    fn forget_awaiting_set(&self, wait_set: &Rc<impl CancelTargets>) {
        let Some(cold) = self.cold_if_any() else { return };
        // Not the last reference: the caller has another.
        let first =
            cold.awaited.awaited_set.borrow_mut().take_if(|known| is_same_set(known, wait_set));
        let mut others = cold.awaited.also_awaited_sets.borrow_mut();
        if !others.is_empty() {
            if first.is_some() {
                *cold.awaited.awaited_set.borrow_mut() = others.pop();
            } else {
                others.retain(|known| !is_same_set(known, wait_set));
            }
        }
    }

    /// A cancel was forwarded to the members of the wait sets that the task awaits.
    pub(crate) fn note_forwarded_to_sets(&self) {
        if let Some(cold) = self.cold_if_any() {
            cold.awaited.awaited_set.borrow().iter().for_each(|wait_set| wait_set.note_forwarded());
            cold.awaited
                .also_awaited_sets
                .borrow()
                .iter()
                .for_each(|wait_set| wait_set.note_forwarded());
        }
    }

    /// The task that is noted in the header.
    fn awaited_task(&self) -> Option<RecordRef> {
        let awaited = self.awaited.take();
        self.awaited.set(awaited.clone());
        awaited
    }

    /// The tasks that are noted, and the members of the wait sets.
    pub(crate) fn all_awaited(&self) -> Vec<RecordRef> {
        let mut awaited = Vec::from_iter(self.awaited_task());
        if let Some(cold) = self.cold_if_any() {
            awaited.extend(cold.awaited.also_awaited.borrow().iter().cloned());
            let first = cold.awaited.awaited_set.borrow();
            for wait_set in first.iter().chain(&*cold.awaited.also_awaited_sets.borrow()) {
                awaited.extend(wait_set.targets());
            }
        }
        awaited
    }

    /// The tasks that take a cancel in this task's place. Empty if what the task awaits is not one thing, or not known.
    pub(crate) fn targets(&self) -> Vec<RecordRef> {
        if !self.awaits_one() {
            return Vec::new();
        }
        let mut targets = self.all_awaited();
        targets.retain(|other| !other.has(Flag::DONE));
        targets
    }
}

fn is_same_set(one: &Rc<dyn CancelTargets>, other: &Rc<impl CancelTargets + ?Sized>) -> bool {
    ptr::addr_eq(Rc::as_ptr(one), Rc::as_ptr(other))
}

/// A set of tasks that keeps their order. Adding and removing are O(1), and drop no task; only dropping the whole set does.
#[derive(Default)]
struct AwaitedTasks {
    /// From a task's address to its index in `in_order`.
    indices: HashMap<usize, usize>,
    /// A task that `indices` does not lead to has been removed.
    in_order: Vec<RecordRef>,
}

impl AwaitedTasks {
    fn is_empty(&self) -> bool {
        self.in_order.is_empty() // not the indices: a record that was removed is there still
    }

    fn add(&mut self, record: &RecordRef) {
        if let Entry::Vacant(index) = self.indices.entry(record.address()) {
            index.insert(self.in_order.len());
            self.in_order.push(record.clone());
        }
    }

    fn remove(&mut self, record: &RecordRef) {
        self.indices.remove(&record.address());
    }

    fn iter(&self) -> impl Iterator<Item = &RecordRef> {
        let indices = self.in_order.iter().enumerate();
        let is_there = |(index, record): &(usize, &RecordRef)| {
            self.indices.get(&record.address()) == Some(index)
        };
        indices.filter(is_there).map(|(_, record)| record)
    }
}
