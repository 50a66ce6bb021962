//! **A cancel's way in**: from `task.cancel()` to the poll that raises it. (Its way out is in `leaf.rs`.)
//!
//! ```text
//!  cancel(a) ── a awaits b, b awaits c, c sleeps ──▶ counts on a, b and c; a and b note "forwarded";
//!                                                    c notes "pending" and is queued
//!  turn       ── polls c: pending becomes the raised signal, c unwinds, cleans up, ends
//!  end of c   ── wakes b; its join sees "forwarded through me, and it ended cancelled": raises in b
//!  end of b   ── the same in a
//! ```
//!
//! As in asyncio the whole chain is told at once, synchronously, and unwinds from its far end, each when the
//! next one has finished its clean-up. A task that swallows the cancel simply returns a value to the one before.
//!
//! What a task awaits is known from its last poll: a pending join writes it down. A task that awaits several at
//! once (a foreign `join!`) passes a cancel on to all of them.

use std::collections::HashSet;
use std::ptr;
use std::rc::Rc;

use super::cold::Cold;
use super::crowd::Takers;
use super::leaf::Signal;
use super::record::{Flag, Header, RecordRef, Stage};
use super::turn::Engine;
use super::waker::wake;
use crate::error::Reason;

impl RecordRef {
    /// Asks the task to stop. False if it is over, and then nothing happens.
    pub(crate) fn cancel(&self, reason: Option<&Reason>) -> bool {
        if self.has(Flag::DONE) {
            // As in asyncio, who cancels a failed task knows of it.
            self.set(Flag::SEEN);
            return false;
        }
        self.count_cancel(reason);
        let takers = self.takers();
        if takers.is_empty() {
            self.interrupt();
            return true;
        }
        self.set(Flag::CANCEL_FORWARDED);
        // A list in place of recursion: a chain of awaits may be longer than the stack is deep. And tasks may
        // await each other in a circle: nobody passes it on twice.
        let mut passed_on = HashSet::new();
        let mut untold = takers;
        let mut somebody_is_interrupted = false;
        while let Some(task) = untold.pop() {
            task.count_cancel(reason);
            if task == *self || passed_on.contains(&task.address()) {
                continue;
            }
            let takers = task.takers();
            if takers.is_empty() {
                task.interrupt();
                somebody_is_interrupted = true;
            } else {
                passed_on.insert(task.address());
                task.set(Flag::CANCEL_FORWARDED);
                untold.extend(takers.into_iter().rev());
            }
        }
        if !somebody_is_interrupted {
            self.interrupt(); // a circle: each passes it on to the next
        }
        true
    }

    /// What takes a cancel in the task's place. What it awaited before means nothing while it runs: `settle`
    /// will see to that.
    fn takers(&self) -> Vec<RecordRef> {
        if self.has(Stage::LENT) {
            return Vec::new();
        }
        let mut takers = self.awaited();
        takers.retain(|other| !other.has(Flag::DONE));
        takers
    }

    /// A time limit in this task has expired: the same, but that only limits are meant to take the cancel.
    pub(crate) fn cancel_by_limit(&self) {
        let cold = self.cold();
        let only_limits = !self.has(Flag::CANCEL_PENDING) || cold.cancelled_by_limits.get();
        self.cancel(None);
        cold.limit_requests.set(cold.limit_requests.get().saturating_add(1));
        cold.cancelled_by_limits.set(only_limits && self.has(Flag::CANCEL_PENDING));
    }

    /// Nobody else takes the cancel: the task itself is woken for it.
    fn interrupt(&self) {
        let asleep = !self.has(Stage::LENT) && self.has(Flag::STARTED) && !self.is_queued();
        self.set(Flag::CANCEL_PENDING);
        if asleep {
            self.set(Flag::CANCEL_FIRM);
        }
        if !self.has(Stage::LENT) {
            wake(self.id); // its loop may be another, or not be running
        }
    }

    fn count_cancel(&self, reason: Option<&Reason>) {
        self.set_cancel_requests(self.cancel_requests().saturating_add(1));
        if let Some(reason) = reason {
            self.cold().reason.replace(Some(reason.clone()));
        } else if let Some(cold) = self.cold_if_any() {
            cold.reason.take();
        }
        if let Some(cold) = self.cold_if_any() {
            cold.cancelled_by_limits.set(false);
        }
    }

    /// Takes one request back; with the last one also the cancel itself, if it has not been delivered.
    pub(crate) fn uncancel(&self) -> u32 {
        let requests = self.cancel_requests().saturating_sub(1);
        self.set_cancel_requests(requests);
        if requests == 0 && !self.has(Flag::CANCEL_FIRM) {
            self.clear(Flag::CANCEL_PENDING);
        }
        requests
    }

    /// A join of `awaited` has found its end, or has been given up.
    #[inline]
    pub(crate) fn stops_awaiting(&self, awaited: &RecordRef) {
        // If it was awaited in an earlier poll only, that was forgotten when this one began.
        if self.has(Flag::AWAITS) {
            self.forget_awaiting(awaited);
        }
    }

    fn forget_awaiting(&self, awaited: &RecordRef) {
        if let Some(one) = self.set_awaiting(None) {
            if one == *awaited {
                return; // `one` is not the last reference: the caller has another
            }
            self.set_awaiting(Some(one));
        }
        if let Some(cold) = self.cold_if_any() {
            cold.also_awaiting.borrow_mut().remove(awaited);
        }
    }

    /// A join of `awaited` is pending in this poll.
    pub(crate) fn starts_awaiting(&self, awaited: &RecordRef) {
        self.set(Flag::AWAITS);
        match self.set_awaiting(None) {
            None => {
                self.set_awaiting(Some(awaited.clone()));
            }
            Some(one) if one == *awaited => {
                self.set_awaiting(Some(one));
            }
            Some(one) => {
                self.set_awaiting(Some(one));
                self.cold().also_awaiting.borrow_mut().add(awaited);
            }
        }
    }

    /// A poll begins: its leaves will say anew what they wait for.
    #[inline]
    pub(super) fn forget_awaited(&self) {
        if self.has(Flag::AWAITS) {
            self.clear(Flag::AWAITS);
            let one = self.set_awaiting(None);
            if let Some(cold) = self.cold_if_any() {
                forget_what_else_it_awaited(cold);
            }
            drop(one); // when nothing is noted any more: it may be the last reference, and run anything
        }
    }

    /// A wait for a crowd is pending in this poll.
    pub(crate) fn starts_awaiting_crowd(&self, crowd: Rc<dyn Takers>) {
        self.set(Flag::AWAITS);
        let before = self.cold().awaiting_crowd.replace(Some(crowd));
        drop(before); // after the borrow: it may be the last reference
    }

    /// The wait for the crowd is over, or has been given up.
    pub(crate) fn stops_awaiting_crowd(&self, crowd: &Rc<impl Takers>) {
        if !self.has(Flag::AWAITS) {
            return; // forgotten when this poll began
        }
        let Some(cold) = self.cold_if_any() else { return };
        let before = cold
            .awaiting_crowd
            .borrow_mut()
            .take_if(|awaited| ptr::addr_eq(Rc::as_ptr(awaited), Rc::as_ptr(crowd)));
        drop(before);
    }

    fn awaited(&self) -> Vec<RecordRef> {
        let mut awaited = Vec::from_iter(self.awaiting());
        if let Some(cold) = self.cold_if_any() {
            awaited.extend(cold.also_awaiting.borrow().iter().cloned());
            if let Some(crowd) = &*cold.awaiting_crowd.borrow() {
                awaited.extend(crowd.takers());
            }
        }
        awaited
    }
}

/// Here, and not inside a borrow: it may drop the last reference to a task, which may run anything.
#[inline(never)]
fn forget_what_else_it_awaited(cold: &Cold) {
    if cold.awaits_something() {
        drop((cold.also_awaiting.take(), cold.awaiting_crowd.take()));
    }
}

impl Header {
    /// Whether a cancel of this task was passed on to what it awaits and has not come back.
    pub(crate) fn is_cancel_forwarded(&self) -> bool {
        self.has(Flag::CANCEL_FORWARDED)
    }
}

impl Engine {
    /// The poll that a cancel waits for begins. Says whether time limits alone asked for it; `None` if there is no poll,
    /// for the task never ran.
    #[cold]
    pub(super) fn deliver_cancel(&self, record: &RecordRef) -> Option<bool> {
        record.clear(Flag::CANCEL_PENDING | Flag::CANCEL_FIRM);
        if record.has(Flag::STARTED) {
            self.signal.set(Signal::Raised);
            let cold = record.cold_if_any();
            return Some(cold.is_some_and(|cold| cold.cancelled_by_limits.take()));
        }
        self.end_cancelled(record);
        None
    }

    /// A poll has ended, and the task is not over.
    #[inline]
    pub(super) fn settle(&self, record: &RecordRef) {
        if record.has(Flag::DISCARD | Flag::CANCEL_PENDING | Flag::CANCEL_FORWARDED) {
            self.settle_a_cancel(record);
        }
    }

    #[cold]
    fn settle_a_cancel(&self, record: &RecordRef) {
        if record.has(Flag::DISCARD) {
            return self.end_cancelled(record);
        }
        if record.has(Flag::CANCEL_PENDING) {
            let awaited = record.awaited();
            // It was cancelled while it ran; now it waits for something. As in asyncio the cancel goes there.
            let reason = record.cold_if_any().and_then(|cold| cold.reason.borrow().clone());
            let mut taken = false;
            for other in &awaited {
                taken |= other.cancel(reason.as_ref());
            }
            if taken {
                record.clear(Flag::CANCEL_PENDING);
                record.set(Flag::CANCEL_FORWARDED);
            } else {
                self.make_record_ready(record);
            }
        } else if !record.awaits_something() {
            // It had passed the cancel on and has then given up waiting (a branch of a `select!`): the cancel
            // is its own again.
            record.clear(Flag::CANCEL_FORWARDED);
            record.set(Flag::CANCEL_PENDING);
            self.make_record_ready(record);
        }
    }
}
