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
        if leaf::interrupted(|| format!("task '{}'", name_of(record))) {
            return Poll::Pending;
        }
        let current = leaf::current();
        if record.has(Flag::DONE) {
            if let Some(current) = current
                && current.is_cancel_forwarded()
            {
                current.clear(Flag::CANCEL_FORWARDED);
                if record.has(Flag::CANCELLED) {
                    // It was cancelled through us: so are we, now that it is done with it.
                    leaf::raise();
                    return Poll::Pending;
                }
            }
            return Poll::Ready(());
        }
        if let Some(current) = current {
            assert!(current != *record, "a task cannot await itself: it would wait forever");
            current.starts_awaiting(record);
        }
        wait_for_end(record, &self.place, cx);
        Poll::Pending
    }

    /// Stops waiting.
    pub(super) fn leave(&self, record: &RecordRef) {
        stop_waiting(record, &self.place);
    }
}

/// Puts the waker of `cx` among those who are told of the end, where it is not there already.
fn wait_for_end(record: &RecordRef, place: &Cell<Place>, cx: &Context<'_>) {
    let waker = cx.waker();
    let ours = TaskId::of(waker);
    match place.get() {
        Place::First(id) if ours == Some(id) => return,
        Place::First(_) => {
            record.first_joiner.set(None);
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
    let nobody = record.first_joiner.get().is_none()
        && record.if_extras(|extras| extras.joiners.is_empty()).unwrap_or(true);
    match ours {
        // The order is that of coming: the place in the header is only for the very first.
        Some(id) if nobody => {
            record.first_joiner.set(Some(id));
            place.set(Place::First(id));
        }
        _ => {
            let waker = Joiner::Waker(TaskId::keep(waker));
            let key = record.with_extras(|extras| extras.joiners.join(waker));
            place.set(Place::Listed(key));
        }
    }
}

fn stop_waiting(record: &RecordRef, place: &Cell<Place>) {
    let place = place.replace(Place::Nowhere);
    if place == Place::Nowhere {
        return;
    }
    if let Some(current) = leaf::current() {
        current.stops_awaiting(record);
    }
    if record.has(Flag::DONE) {
        return; // it has told everybody, and its list is empty
    }
    match place {
        Place::First(_) => record.first_joiner.set(None),
        Place::Listed(key) => {
            let left = record.if_extras(|extras| extras.joiners.leave(key));
            drop(left);
        }
        Place::Nowhere => {}
    }
}
