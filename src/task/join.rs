//! Waiting for a task's end: the leaf under every handle.

use std::cell::Cell;
use std::mem;
use std::task::{Context, Poll};

use super::reference::name_of;
use crate::engine::cold::Joiner;
use crate::engine::current;
use crate::engine::foreign::KeptWaker;
use crate::engine::leaf::{self, Told, Visit};
use crate::engine::record::{Flag, RecordRef};
use crate::engine::waitlist::WaitKey;
use crate::engine::waker::TaskId;
use crate::engine::watchers::FirstJoiner;

/// One handle's wait for the end of its task.
pub(super) struct Join {
    place: Cell<Place>,
    told: Told,
}

/// Where a handle that is being awaited stands among those who wait for the task: the number of its key in the cold part, or
/// one of the numbers that no key has. One word, so that a handle is two, and is handed over in registers.
#[derive(Clone, Copy, PartialEq)]
struct Place(u32);

impl Place {
    const NOWHERE: Place = Place(u32::MAX);
    /// In the task's header: only one of our own tasks can.
    const FIRST: Place = Place(u32::MAX - 1);

    fn listed(key: WaitKey) -> Place {
        let number = u32::try_from(key.number()).ok().filter(|number| *number < Place::FIRST.0);
        Place(number.expect("more than four billion waiters"))
    }

    fn key(self) -> WaitKey {
        WaitKey::of_number(self.0 as usize)
    }
}

impl Join {
    pub(super) fn new() -> Join {
        Join { place: Cell::new(Place::NOWHERE), told: Told::default() }
    }

    /// Ready when the task is over.
    #[inline]
    pub(super) fn poll(&self, record: &RecordRef, cx: &mut Context<'_>) -> Poll<()> {
        if !leaf::is_quiet() {
            return self.poll_cancelled(record, cx);
        }
        self.poll_on(record, cx)
    }

    #[inline]
    fn poll_on(&self, record: &RecordRef, cx: &mut Context<'_>) -> Poll<()> {
        if record.has(Flag::DONE) {
            self.place.set(Place::NOWHERE); // it has told all joiners, and its list is empty
            leaf::with_current(|current| current.stops_awaiting(record));
            return Poll::Ready(());
        }
        wait_for_end(record, &self.place, cx);
        if record.has(Flag::DONE) {
            cx.waker().wake_by_ref(); // it has ended while a foreign waker was cloned
        }
        leaf::waits();
        Poll::Pending
    }

    /// While a cancel is being delivered.
    #[cold]
    #[inline(never)]
    fn poll_cancelled(&self, record: &RecordRef, cx: &mut Context<'_>) -> Poll<()> {
        let is_forwarded =
            match leaf::visit(&self.told, cx, || format!("task '{}'", name_of(record))) {
                Visit::Go => return self.poll_on(record, cx),
                Visit::Wait => {
                    leaf::is_asked(record);
                    return Poll::Pending;
                }
                Visit::Interrupted(is_forwarded) => is_forwarded || self.told.holds(),
            };
        let engine = current::running();
        let engine = engine.as_ref().expect("a cancel is delivered by a loop");
        if is_forwarded && record.has(Flag::DONE) && !record.has(Flag::CANCELLED) {
            engine.was_swallowed(&self.told);
            return self.poll_on(record, cx);
        }
        let is_told =
            is_forwarded || leaf::current().is_some_and(|current| record.cancel_through(&current));
        if is_told && !record.has(Flag::DONE) {
            if !self.told.holds() && TaskId::of(cx.waker()).is_none() {
                self.leave(record); // a foreign waker is kept anew: that tells that it is alive
            }
            engine.holds(&self.told); // until it has finished its clean-up
            return self.poll_on(record, cx);
        }
        if record.has(Flag::CANCELLED) {
            leaf::set_reason(record.reason()); // what comes out is the awaited task's cancel
        }
        leaf::comes_out(cx);
        Poll::Pending
    }

    #[inline]
    pub(super) fn leave(&self, record: &RecordRef) {
        if self.place.get() != Place::NOWHERE {
            stop_waiting(record, self.place.replace(Place::NOWHERE));
        }
    }
}

/// Notes what the current task awaits, and puts the waker of `cx` among those who are told of the end, where it is not
/// there already.
#[inline(never)]
fn wait_for_end(record: &RecordRef, place: &Cell<Place>, cx: &Context<'_>) {
    leaf::with_current(|current| {
        assert!(current != record, "a task cannot await itself: it would wait forever");
        current.starts_awaiting(record);
    });
    let waker = cx.waker();
    let ours = TaskId::of(waker);
    match place.get() {
        Place::NOWHERE => {}
        Place::FIRST if ours.map(FirstJoiner::Task) == Some(record.first_joiner()) => return,
        Place::FIRST => record.set_first_joiner(FirstJoiner::Nobody),
        listed => {
            let key = listed.key();
            let joiners = &record.cold().joiners;
            let is_there = match joiners.borrow_mut().get_mut(key) {
                Some(Joiner::Waker(there)) => there.will_wake(waker),
                _ => true,
            };
            if !is_there {
                let waker = Joiner::Waker(KeptWaker::of(waker)); // outside a borrow: it may run anything
                let mut joiners = joiners.borrow_mut();
                let old = joiners.get_mut(key).map(|there| mem::replace(there, waker));
                drop(joiners);
                drop(old); // after the borrow, for the same reason
            }
            return;
        }
    }
    match ours {
        // The order is that of coming: the place in the header is only for the very first.
        Some(id) if record.has_no_joiner() => {
            record.set_first_joiner(FirstJoiner::Task(id));
            place.set(Place::FIRST);
        }
        _ => {
            let waker = Joiner::Waker(KeptWaker::of(waker)); // before the borrow: it may run anything
            let key = record.cold().joiners.borrow_mut().join(waker);
            place.set(Place::listed(key));
        }
    }
}

fn stop_waiting(record: &RecordRef, place: Place) {
    leaf::with_current(|current| current.stops_awaiting(record));
    if record.has(Flag::DONE) {
        return; // it has told everybody, and its list is empty
    }
    match place {
        Place::NOWHERE => {}
        Place::FIRST => record.set_first_joiner(FirstJoiner::Nobody),
        listed => {
            let left = record.cold().joiners.borrow_mut().leave(listed.key());
            drop(left); // after the borrow: it may run anything
        }
    }
}
