//! **A request**: from `task.cancel()` to the poll that delivers the cancel. (How it is delivered is in `delivery/`.)
//!
//! The simple way is to wake the task, and to interrupt it in its next poll. But a task that awaits another one would then be
//! unwound first, and not wait for the clean-up of the other. As in asyncio the whole chain is cancelled at once, synchronously,
//! and unwinds from its far end, each task when the next one has finished its clean-up. A task that swallows the cancel returns a
//! value to the one before.
//!
//! ```text
//!  cancel(a) ── a awaits b, b awaits c, c sleeps ──▶ counts on a, b and c; a and b note "forwarded";
//!                                                    c notes "pending" and is queued
//!  turn       ── polls c: its sleep is interrupted, c unwinds, cleans up, ends
//!  end of c   ── wakes b; its join sees that c was cancelled through it: the cancel comes out of b
//!  end of b   ── the same in a
//! ```
//!
//! What a task awaits is known from its last poll: a join that waits notes the task that it awaits. If that note is all that waited
//! in that poll, the cancel is forwarded there at once. If the task awaits several things, or foreign code may be among them, it is
//! polled twice (`delivery/`), and each join that is reached passes the cancel on. Once a waker of the task has escaped foreign
//! code may be among them for ever, since no waker reports its drop: a task that has used a foreign channel once is always polled
//! twice.
//!
//! A cancel may reach a task by several ways (`gather(v, v)`, a diamond of awaits), and counts as often: see `walk`.

use std::collections::HashSet;

use super::walk::Walk;
use crate::kernel::record::{Flag, RecordRef, Stage};
use crate::kernel::waker::wake;
use crate::reason::Reason;

impl RecordRef {
    /// Requests a cancel of the task. False if the task has ended; then nothing happens.
    pub(crate) fn cancel(&self, reason: &Reason) -> bool {
        if self.has(Flag::DONE | Flag::TRACED) {
            return self.cancel_slow_path(reason);
        }
        self.cancel_alive(reason);
        true
    }

    #[inline]
    fn cancel_alive(&self, reason: &Reason) {
        self.count_cancel(1, reason);
        if !(self.awaits_one() && self.forward(reason, None)) {
            self.interrupt(); // it awaits no task, or tasks that await each other in a circle
        }
    }

    #[cold]
    #[inline(never)]
    fn cancel_slow_path(&self, reason: &Reason) -> bool {
        if self.has(Flag::DONE) {
            self.set(Flag::SEEN); // as in asyncio, code that cancels a failed task knows of its failure
            return false;
        }
        let requested = self.owner.tell_cancel(self, reason);
        self.owner.because_of(requested, || self.cancel_alive(reason));
        true
    }

    /// Cancels the task because `by`, which is being polled, awaits it. False if the task has ended, or if the cancel would reach
    /// nothing but `by` itself.
    ///
    /// `forward` counts the cancel on all that it reaches but for the task that it starts from: `cancel` counts it there first,
    /// since it never fails; here it is counted after, and in a circle not at all.
    pub(crate) fn cancel_through(&self, by: &RecordRef) -> bool {
        let reason = by.reason();
        if self.has(Flag::DONE) || self == by {
            return false;
        }
        let is_forwarded = self.forward(&reason, Some(by));
        if is_forwarded {
            self.count_cancel(1, &reason);
            self.tell_forward_from(by);
        } else if self.targets().is_empty() && !self.forwards_to(by) {
            self.count_cancel(1, &reason);
            let forwarded = self.tell_forward_from(by);
            self.owner.because_of(forwarded, || self.interrupt());
        } else {
            return false; // a circle
        }
        true
    }

    fn tell_forward_from(&self, by: &RecordRef) -> u64 {
        if self.has(Flag::TRACED) { self.owner.tell_forward(by, self) } else { 0 }
    }

    /// Whether a cancel is on its way from here to `other` already: then the two await each other, and it would go round for ever.
    fn forwards_to(&self, other: &RecordRef) -> bool {
        if !self.has(Flag::UNWINDING) {
            return false;
        }
        let mut seen = HashSet::from([self.address()]);
        let mut open = self.all_awaited();
        while let Some(task) = open.pop() {
            if task == *other {
                return true;
            }
            if !task.has(Flag::DONE) && seen.insert(task.address()) {
                open.extend(task.all_awaited());
            }
        }
        false
    }

    /// Forwards a cancel to what the task awaits, and from there on, at once. False if no task takes it: then nothing has happened.
    pub(super) fn forward(&self, reason: &Reason, except: Option<&RecordRef>) -> bool {
        let targets = self.targets();
        if targets.is_empty() {
            return false;
        }
        let walk = Walk::from(self, targets, except);
        if !walk.reaches_something {
            return false;
        }
        for (task, from, ways, is_last) in walk.in_order() {
            let mut forwarded = 0;
            if task != self {
                task.count_cancel(ways, reason);
                if task.has(Flag::TRACED) {
                    forwarded = task.owner.tell_forward(from, task);
                }
            }
            if is_last {
                task.owner.because_of(forwarded, || task.interrupt());
            } else {
                task.set(Flag::CANCEL_FORWARDED);
                task.note_forwarded_to_sets();
            }
        }
        true
    }

    /// The cancel cannot be forwarded from here: the task is woken, and its next poll delivers the cancel.
    fn interrupt(&self) {
        let asleep = !self.has(Stage::LENT) && self.has(Flag::STARTED) && !self.is_queued();
        self.set(Flag::CANCEL_PENDING);
        if asleep {
            self.set(Flag::CANCEL_FIRM);
            self.owner.note_interrupted();
        }
        if !self.has(Stage::LENT) {
            wake(self.id); // its loop may be another, or not be running
        }
    }

    fn count_cancel(&self, times: u32, reason: &Reason) {
        self.set_cancel_requests(self.cancel_requests().saturating_add(times));
        if self.has(Flag::CANCEL_FIRM) {
            return; // what the task awaits is interrupted by an earlier cancel, which keeps its reason
        }
        self.set_reason(reason.clone());
    }

    /// A time limit or a group cancels its body in this task: counts the request. The body gets the cancel in its next poll.
    pub(crate) fn count_cancel_of_scope(&self, reason: &Reason) {
        self.count_cancel(1, reason);
        self.cold().cancel.of_scopes.update(|requests| requests.saturating_add(1));
        if self.has(Flag::TRACED) {
            self.owner.tell_cancel(self, reason);
        }
    }

    /// The limit or group takes its request back.
    pub(crate) fn uncancel_of_scope(&self) {
        self.uncancel();
        self.cold().cancel.of_scopes.update(|requests| requests.saturating_sub(1));
    }

    /// The cancel requests that concern the scope that is being polled: those of limits and groups beside it (in another branch of
    /// a `join!`, or kept) do not, nor do those that a protection holds back; those of limits and groups around it do.
    #[inline]
    pub(crate) fn requests_but_of_scopes_beside(&self) -> u32 {
        if self.has_cancel_requests() { self.count_requests_here() } else { 0 }
    }

    /// The cancel requests that are of no limit and of no group.
    pub(crate) fn requests_of_no_scope(&self) -> u32 {
        let of_scopes = self.cold_if_any().map_or(0, |cold| cold.cancel.of_scopes.get());
        self.cancel_requests().saturating_sub(of_scopes)
    }

    #[inline(never)] // rare
    fn count_requests_here(&self) -> u32 {
        let of_scopes = self.cold_if_any().map_or(0, |cold| cold.cancel.of_scopes.get());
        let d = &self.owner.deliveries;
        let beside = of_scopes.saturating_sub(d.asking_around.get());
        let known = d.requests_known.get().unwrap_or(u32::MAX);
        let held_back = self.requests_of_no_scope().saturating_sub(known);
        self.cancel_requests().saturating_sub(beside).saturating_sub(held_back)
    }

    /// Takes one request back; with the last one also the cancel itself, if it is still pending and did not find the task waiting.
    pub(crate) fn uncancel(&self) -> u32 {
        let requests = self.cancel_requests().saturating_sub(1);
        self.set_cancel_requests(requests);
        if requests == 0 && !self.has(Flag::CANCEL_FIRM) {
            self.clear(Flag::CANCEL_PENDING);
        }
        if self.has(Flag::TRACED) {
            self.owner.tell_uncancel(self, requests);
        }
        requests
    }
}
