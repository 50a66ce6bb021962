//! Waiting for a task's end: the leaf under every handle.

use std::cell::Cell;
use std::mem;
use std::task::{Context, Poll};

use super::reference::name_of;
use crate::engine::extras::Joiner;
use crate::engine::leaf;
use crate::engine::record::RecordRef;
use crate::engine::state::Flag;
use crate::engine::waitlist::WaitKey;
use crate::engine::waker::TaskId;
use crate::engine::watchers::FirstJoiner;

/// One handle's wait for the end of its task.
pub(super) struct Join {
    place: Cell<Place>,
}

/// Where a handle that is being awaited stands among those who wait for the task.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Nowhere,
    /// In the task's header: only one of our own tasks can.
    First(TaskId),
    Listed(WaitKey),
}

impl Join {
    pub(super) fn new() -> Join {
        Join { place: Cell::new(Place::Nowhere) }
    }

    /// Ready when the task is over.
    pub(super) fn poll(&self, record: &RecordRef, cx: &mut Context<'_>) -> Poll<()> {
        if leaf::interrupted(cx, || format!("task '{}'", name_of(record))) {
            return Poll::Pending;
        }
        if record.has(Flag::DONE) {
            let was_cancelled_through_us = leaf::with_current(|current| {
                let was_forwarded = current.is_cancel_forwarded();
                current.clear(Flag::CANCEL_FORWARDED);
                was_forwarded && record.has(Flag::CANCELLED)
            });
            if was_cancelled_through_us == Some(true) {
                leaf::raise(); // so are we, now that it is done with it
                return Poll::Pending;
            }
            return Poll::Ready(());
        }
        if let Some(current) = leaf::current() {
            assert!(current != *record, "a task cannot await itself: it would wait forever");
            current.starts_awaiting(record);
        }
        wait_for_end(record, &self.place, cx);
        Poll::Pending
    }

    /// Stops waiting.
    #[inline]
    pub(super) fn leave(&self, record: &RecordRef) {
        if self.place.get() != Place::Nowhere {
            stop_waiting(record, self.place.replace(Place::Nowhere));
        }
    }
}

/// Puts the waker of `cx` among those who are told of the end, where it is not there already.
fn wait_for_end(record: &RecordRef, place: &Cell<Place>, cx: &Context<'_>) {
    let waker = cx.waker();
    let ours = TaskId::of(waker);
    match place.get() {
        Place::First(id) if ours == Some(id) => return,
        Place::First(_) => {
            record.set_first_joiner(FirstJoiner::Nobody);
        }
        Place::Listed(key) => {
            let is_there = record.if_extras(|extras| match extras.joiners.get_mut(key) {
                Some(Joiner::Waker(there)) => there.will_wake(waker),
                _ => true,
            });
            if is_there == Some(false) {
                let waker = Joiner::Waker(TaskId::keep(waker));
                let old = record.if_extras(|extras| {
                    extras.joiners.get_mut(key).map(|there| mem::replace(there, waker))
                });
                drop(old); // out here: it may run anything
            }
            return;
        }
        Place::Nowhere => {}
    }
    match ours {
        // The order is that of coming: the place in the header is only for the very first.
        Some(id) if record.has_no_joiner() => {
            record.set_first_joiner(FirstJoiner::Task(id));
            place.set(Place::First(id));
        }
        _ => {
            let waker = Joiner::Waker(TaskId::keep(waker));
            let key = record.with_extras(|extras| extras.joiners.join(waker));
            place.set(Place::Listed(key));
        }
    }
}

fn stop_waiting(record: &RecordRef, place: Place) {
    if let Some(current) = leaf::current() {
        current.stops_awaiting(record);
    }
    if record.has(Flag::DONE) {
        return; // it has told everybody, and its list is empty
    }
    match place {
        Place::First(_) => record.set_first_joiner(FirstJoiner::Nobody),
        Place::Listed(key) => {
            let left = record.if_extras(|extras| extras.joiners.leave(key));
            drop(left);
        }
        Place::Nowhere => {}
    }
}
