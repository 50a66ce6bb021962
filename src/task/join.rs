//! Waiting for a task's end: the leaf under every handle.

use std::cell::Cell;
use std::mem;
use std::task::{Context, Poll};

use super::reference::name_of;
use crate::engine::cold::Joiner;
use crate::engine::foreign::KeptWaker;
use crate::engine::leaf;
use crate::engine::record::{Flag, RecordRef};
use crate::engine::waitlist::WaitKey;
use crate::engine::waker::TaskId;
use crate::engine::watchers::FirstJoiner;

/// One handle's wait for the end of its task.
pub(super) struct Join {
    place: Cell<Place>,
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
        Join { place: Cell::new(Place::NOWHERE) }
    }

    /// Ready when the task is over.
    #[inline]
    pub(super) fn poll(&self, record: &RecordRef, cx: &mut Context<'_>) -> Poll<()> {
        if leaf::interrupted(cx, || format!("task '{}'", name_of(record))) {
            return Poll::Pending;
        }
        if record.has(Flag::DONE) {
            self.place.set(Place::NOWHERE); // it has told everybody, and its list is empty
            let is_more_to_do =
                leaf::with_current(|current| current.has(Flag::AWAITS | Flag::CANCEL_FORWARDED));
            return if is_more_to_do == Some(true) { end_of_wait(record) } else { Poll::Ready(()) };
        }
        wait_for_end(record, &self.place, cx);
        if record.has(Flag::DONE) {
            cx.waker().wake_by_ref(); // it has ended while a foreign waker was cloned
        }
        Poll::Pending
    }

    #[inline]
    pub(super) fn leave(&self, record: &RecordRef) {
        if self.place.get() != Place::NOWHERE {
            stop_waiting(record, self.place.replace(Place::NOWHERE));
        }
    }
}

/// The awaited task is over, and the current one had noted that it awaits it, or passed a cancel on to it.
#[inline(never)]
fn end_of_wait(record: &RecordRef) -> Poll<()> {
    let was_cancelled_through_us = leaf::with_current(|current| {
        current.stops_awaiting(record);
        let was_forwarded = current.is_cancel_forwarded();
        current.clear(Flag::CANCEL_FORWARDED);
        was_forwarded && record.has(Flag::CANCELLED)
    });
    if was_cancelled_through_us == Some(true) {
        leaf::raise(); // so are we, now that it is done with it
        return Poll::Pending;
    }
    Poll::Ready(())
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
