//! **A cancel's way in**: from `task.cancel()` to the poll that delivers it. (How it is delivered is in `delivery.rs`.)
//!
//! ```text
//!  cancel(a) ── a awaits b, b awaits c, c sleeps ──▶ counts on a, b and c; a and b note "forwarded";
//!                                                    c notes "pending" and is queued
//!  turn       ── polls c: its sleep is interrupted, c unwinds, cleans up, ends
//!  end of c   ── wakes b; its join sees that c was cancelled through it: the cancel comes out of b
//!  end of b   ── the same in a
//! ```
//!
//! As in asyncio the whole chain is told at once, synchronously, and unwinds from its far end, each task when the
//! next one has finished its clean-up. A task that swallows the cancel simply returns a value to the one before.
//!
//! What a task awaits is known from its last poll: a join that waits notes the task that it awaits. If that note is all
//! that waited in that poll, the cancel goes there at once. If the task awaits several things, or foreign code may be
//! among them, it is polled, and each join that is reached passes the cancel on.
//!
//! **Ways.** A cancel may reach a task by several ways (`gather(v, v)`, a diamond of awaits), and counts as often. The ways are
//! counted, not walked: a ladder of forty diamonds has 2⁴⁰ of them.

use std::collections::{HashMap, HashSet};
use std::ptr;
use std::rc::Rc;

use super::cold::Cold;
use super::crowd::Takers;
use super::reason::Reason;
use super::record::{Flag, Polled, RecordRef, Stage};
use super::scope::{How, Scope, Seen};
use super::turn::Engine;
use super::waker::wake;

impl RecordRef {
    /// Asks the task to stop. False if it is over, and then nothing happens.
    pub(crate) fn cancel(&self, reason: &Reason) -> bool {
        if self.has(Flag::DONE) {
            // As in asyncio, code that cancels a failed task knows of it.
            self.set(Flag::SEEN);
            return false;
        }
        self.count_cancel(1, reason);
        if !(self.awaits_one() && self.pass_on(reason, None)) {
            self.interrupt(); // it awaits no task, or tasks that await each other in a circle
        }
        true
    }

    /// Cancels the task because `by`, which is being polled, awaits it. False if that reaches nothing but `by` itself.
    pub(crate) fn cancel_through(&self, by: &RecordRef) -> bool {
        let reason = by.reason();
        if self.has(Flag::DONE) || self == by {
            return false;
        }
        let is_passed_on = self.pass_on(&reason, Some(by));
        if is_passed_on {
            self.count_cancel(1, &reason);
        } else if self.takers().is_empty() && !self.passes_on_to(by) {
            self.count_cancel(1, &reason);
            self.interrupt();
        } else {
            return false; // a circle
        }
        true
    }

    /// Whether a cancel is on its way from here to `other` already: then the two await each other, and it would go round for ever.
    fn passes_on_to(&self, other: &RecordRef) -> bool {
        if !self.has(Flag::UNWINDING) {
            return false;
        }
        let mut seen = HashSet::from([self.address()]);
        let mut open = self.awaited();
        while let Some(task) = open.pop() {
            if task == *other {
                return true;
            }
            if !task.has(Flag::DONE) && seen.insert(task.address()) {
                open.extend(task.awaited());
            }
        }
        false
    }

    /// Passes a cancel on to what the task awaits, and so on, at once. False if there is nothing that takes it.
    fn pass_on(&self, reason: &Reason, except: Option<&RecordRef>) -> bool {
        let takers = self.takers();
        if takers.is_empty() {
            return false;
        }
        let told = Walk::from(self, takers, except);
        if !told.reaches_something {
            return false;
        }
        for (task, ways, is_last) in told.in_order() {
            if task != self {
                task.count_cancel(ways, reason);
            }
            if is_last {
                task.interrupt();
            } else {
                task.set(Flag::CANCEL_FORWARDED);
                task.crowds_take_cancel();
            }
        }
        true
    }

    /// What takes a cancel in the task's place: what it awaits, if that is one thing, and known.
    fn takers(&self) -> Vec<RecordRef> {
        if !self.awaits_one() {
            return Vec::new();
        }
        let mut takers = self.awaited();
        takers.retain(|other| !other.has(Flag::DONE));
        takers
    }

    /// Whether the last poll has left a note, and what it is of is all that the task awaits.
    pub(super) fn awaits_one(&self) -> bool {
        self.has_but_not(Flag::AWAITS, Stage::LENT | Flag::AWAITS_SEVERAL | Flag::WAKER_AT_LARGE)
    }

    /// Whether it noted in this poll that it awaits a task, and that is all so far.
    pub(crate) fn awaits_a_task(&self) -> bool {
        self.has_but_not(Flag::AWAITS, Flag::AWAITS_SEVERAL)
    }

    /// Nothing takes the cancel in the task's place: it is woken for it.
    fn interrupt(&self) {
        let asleep = !self.has(Stage::LENT) && self.has(Flag::STARTED) && !self.is_queued();
        self.set(Flag::CANCEL_PENDING);
        if asleep {
            self.set(Flag::CANCEL_FIRM);
            self.home.tasks.one_is_interrupted();
        }
        if !self.has(Stage::LENT) {
            wake(self.id); // its loop may be another, or not be running
        }
    }

    fn count_cancel(&self, times: u32, reason: &Reason) {
        self.set_cancel_requests(self.cancel_requests().saturating_add(times));
        if self.has(Flag::CANCEL_FIRM) {
            return; // what it waits for was interrupted already: that cancel comes out of it, with its reason
        }
        self.set_reason(reason.clone());
    }

    /// A time limit or a group cancels its body, which this task is about to be polled for: that counts, and is delivered there.
    pub(crate) fn count_cancel_of_scope(&self, reason: &Reason) {
        self.count_cancel(1, reason);
        self.cold().scope_requests.update(|requests| requests.saturating_add(1));
    }

    /// It takes that back.
    pub(crate) fn uncancel_of_scope(&self) {
        self.uncancel();
        self.cold().scope_requests.update(|requests| requests.saturating_sub(1));
    }

    /// The cancel requests, without those of limits and groups beside this place: in another branch of a `join!`, or kept. They are
    /// none of a scope's business here; those of scopes around it are.
    #[inline]
    pub(crate) fn requests_but_of_scopes_beside(&self) -> u32 {
        if self.has_cancel_requests() { self.count_requests_here() } else { 0 }
    }

    /// The cancel requests that are of no limit and of no group.
    pub(crate) fn requests_of_no_scope(&self) -> u32 {
        let of_scopes = self.cold_if_any().map_or(0, |cold| cold.scope_requests.get());
        self.cancel_requests().saturating_sub(of_scopes)
    }

    #[inline(never)] // nearly never
    fn count_requests_here(&self) -> u32 {
        let of_scopes = self.cold_if_any().map_or(0, |cold| cold.scope_requests.get());
        let beside = of_scopes.saturating_sub(self.home.deliveries.asking_around.get());
        self.cancel_requests().saturating_sub(beside)
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

    /// A poll begins: its checkpoints will say anew what they wait for.
    #[inline]
    pub(super) fn forget_awaited(&self) {
        if self.has(Flag::AWAITS | Flag::AWAITS_SEVERAL) {
            self.clear(Flag::AWAITS | Flag::AWAITS_SEVERAL);
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
        let cold = self.cold();
        let mut first = cold.awaiting_crowd.borrow_mut();
        match &*first {
            None => *first = Some(crowd),
            Some(known) if same_crowd(known, &crowd) => {}
            Some(_) => {
                let mut others = cold.also_awaiting_crowds.borrow_mut();
                if !others.last().is_some_and(|known| same_crowd(known, &crowd)) {
                    others.push(crowd);
                }
            }
        }
    }

    /// The wait for the crowd is over, or has been given up.
    pub(crate) fn stops_awaiting_crowd(&self, crowd: &Rc<impl Takers>) {
        if !self.has(Flag::AWAITS) {
            return; // forgotten when this poll began
        }
        let Some(cold) = self.cold_if_any() else { return };
        // Not the last reference: the caller has another.
        let first = cold.awaiting_crowd.borrow_mut().take_if(|known| same_crowd(known, crowd));
        let mut others = cold.also_awaiting_crowds.borrow_mut();
        if !others.is_empty() {
            if first.is_some() {
                *cold.awaiting_crowd.borrow_mut() = others.pop();
            } else {
                others.retain(|known| !same_crowd(known, crowd));
            }
        }
    }

    fn crowds_take_cancel(&self) {
        if let Some(cold) = self.cold_if_any() {
            cold.awaiting_crowd.borrow().iter().for_each(|crowd| crowd.take_cancel());
            cold.also_awaiting_crowds.borrow().iter().for_each(|crowd| crowd.take_cancel());
        }
    }

    fn awaited(&self) -> Vec<RecordRef> {
        let mut awaited = Vec::from_iter(self.awaiting());
        if let Some(cold) = self.cold_if_any() {
            awaited.extend(cold.also_awaiting.borrow().iter().cloned());
            let first = cold.awaiting_crowd.borrow();
            for crowd in first.iter().chain(&*cold.also_awaiting_crowds.borrow()) {
                awaited.extend(crowd.takers());
            }
        }
        awaited
    }
}

fn same_crowd(one: &Rc<dyn Takers>, other: &Rc<impl Takers + ?Sized>) -> bool {
    ptr::addr_eq(Rc::as_ptr(one), Rc::as_ptr(other))
}

/// Here, and not inside a borrow: it may drop the last reference to a task, which may run anything.
#[inline(never)]
fn forget_what_else_it_awaited(cold: &Cold) {
    if cold.awaits_something() {
        drop((cold.also_awaiting.take(), cold.awaiting_crowd.take()));
        if !cold.also_awaiting_crowds.borrow().is_empty() {
            drop(cold.also_awaiting_crowds.take());
        }
    }
}

/// The tasks that a cancel reaches, and by how many ways. A list in place of recursion: a chain of awaits may be longer than the
/// stack is deep.
struct Walk {
    /// In the order in which they are reached first.
    reached: Vec<Reached>,
    /// From a task's address to its place among them.
    places: HashMap<usize, usize>,
    /// Places, each behind all that it passes the cancel on to, but for those in a circle.
    finished: Vec<usize>,
    reaches_something: bool,
}

struct Reached {
    task: RecordRef,
    passes_on_to: Vec<usize>,
    ways: u32,
}

impl Walk {
    fn from(start: &RecordRef, takers: Vec<RecordRef>, except: Option<&RecordRef>) -> Walk {
        let (reached, places, finished) = (Vec::new(), HashMap::new(), Vec::new());
        let mut walk = Walk { reached, places, finished, reaches_something: false };
        // Each task that has been entered and not left, and what is still to be entered from it.
        let mut open = vec![(walk.enter(start), takers.into_iter())];
        while let Some((place, takers)) = open.last_mut() {
            let place = *place;
            let Some(next) = takers.next() else {
                walk.finished.push(place);
                open.pop();
                continue;
            };
            if except == Some(&next) {
                continue;
            }
            if let Some(&known) = walk.places.get(&next.address()) {
                walk.reached[place].passes_on_to.push(known);
                continue;
            }
            let entered = walk.enter(&next);
            walk.reached[place].passes_on_to.push(entered);
            let takers = next.takers();
            walk.reaches_something |= takers.is_empty();
            open.push((entered, takers.into_iter()));
        }
        walk.count_ways();
        walk
    }

    fn enter(&mut self, task: &RecordRef) -> usize {
        let place = self.reached.len();
        self.places.insert(task.address(), place);
        self.reached.push(Reached { task: task.clone(), passes_on_to: Vec::new(), ways: 0 });
        place
    }

    /// From the start on, each task before those that it passes the cancel on to.
    fn count_ways(&mut self) {
        let mut is_finished = vec![false; self.reached.len()];
        self.reached[0].ways = 1;
        for &place in self.finished.iter().rev() {
            is_finished[place] = true;
            let ways = self.reached[place].ways;
            for next in std::mem::take(&mut self.reached[place].passes_on_to) {
                // One that comes back to where the cancel has been is a circle, and no way.
                if !is_finished[next] {
                    let next = &mut self.reached[next];
                    next.ways = next.ways.saturating_add(ways);
                }
            }
        }
    }

    /// Each task, by how many ways it was reached, and whether the cancel ends there.
    fn in_order(&self) -> impl Iterator<Item = (&RecordRef, u32, bool)> {
        self.reached.iter().map(|it| (&it.task, it.ways, it.task.takers().is_empty()))
    }
}

impl Engine {
    /// Polls what a limit or a group holds that has asked for its cancel.
    pub(crate) fn under_one_that_asks<R>(&self, poll: impl FnOnce() -> R) -> R {
        /// The poll may panic.
        struct PutBack<'a>(&'a Engine);
        impl Drop for PutBack<'_> {
            fn drop(&mut self) {
                self.0.deliveries.asking_around.update(|around| around - 1);
            }
        }
        self.deliveries.asking_around.update(|around| around + 1);
        let _put_back = PutBack(self);
        poll()
    }

    /// A poll of a task that was cancelled, or is still being unwound.
    #[inline(never)]
    pub(super) fn poll_cancelled(&self, record: &RecordRef) {
        let is_new = record.has(Flag::CANCEL_PENDING);
        let how = if !is_new {
            record.has(Flag::CANCEL_FORWARDED).then_some(How::Forwarded)
        } else if record.has(Flag::AWAITS_SEVERAL | Flag::WAKER_AT_LARGE | Flag::UNWINDING) {
            Some(How::Several)
        } else {
            return self.poll_interrupted(record);
        };
        record.clear(
            Flag::CANCEL_PENDING | Flag::CANCEL_FIRM | Flag::CANCEL_FORWARDED | Flag::UNWINDING,
        );
        if is_new && !record.has(Flag::STARTED) {
            return self.end_cancelled(record); // one that has not begun never begins
        }
        record.forget_awaited();
        self.begin_task();
        let fresh = Scope::default(); // most tasks need no cold part to be cancelled
        let scope = record.cold_if_any().map_or(&fresh, |cold| &cold.scope);
        let seen = scope.poll_task(record, how, || match record.begin_poll(Flag::NONE) {
            None => std::task::Poll::Ready(None), // a destructor has ended it
            Some(polling) => match self.poll_future(record, polling) {
                Polled::Pending => std::task::Poll::Pending,
                polled => std::task::Poll::Ready(Some(polled)),
            },
        });
        match seen {
            Seen::Ready(None) => {}
            Seen::Ready(Some(Polled::Value)) => {
                // A cancel that met the end of what was awaited is not swallowed by that.
                if how.is_some() && !self.has_caught() || record.has(Flag::CANCEL_PENDING) {
                    self.end_cancelled(record);
                } else {
                    self.end(record, Flag::NONE);
                }
            }
            Seen::Ready(Some(polled)) => self.end_unusually(record, polled),
            Seen::CameOut => self.end_cancelled(record),
            Seen::Pending => {
                self.note_what_waits(record);
                if scope.has_interrupted() {
                    record.set(Flag::AWAITS_SEVERAL); // what was interrupted, and what is alive beside it
                }
                if scope.is_at_work() {
                    record.cold().scope.becomes(scope);
                    record.set(Flag::UNWINDING);
                }
                self.settle(record);
            }
        }
    }

    /// The same for a task that awaits one thing and is not being unwound: it is interrupted there.
    fn poll_interrupted(&self, record: &RecordRef) {
        record.clear(Flag::CANCEL_PENDING | Flag::CANCEL_FIRM | Flag::CANCEL_FORWARDED);
        if !record.has(Flag::STARTED) {
            return self.end_cancelled(record); // one that has not begun never begins
        }
        record.forget_awaited();
        let Some(polling) = record.begin_poll(Flag::NONE) else { return }; // a destructor has ended it
        self.begin_task();
        let (polled, delivered) = self.deliver_to_one(|| self.poll_future(record, polling));
        match polled {
            Polled::Pending if delivered.came_out && !delivered.is_alive => {
                self.end_cancelled(record);
            }
            Polled::Pending => {
                self.note_what_waits(record);
                if delivered.came_out {
                    record.set(Flag::AWAITS_SEVERAL); // what was interrupted, and what is alive beside it
                    self.make_record_ready(record); // or has only waited until it lost against something else in the same poll
                }
                if delivered.came_out || delivered.holds {
                    record.cold().scope.goes_on(&delivered);
                    record.set(Flag::UNWINDING);
                }
                self.settle(record);
            }
            // A cancel that met the end of what was awaited is not swallowed by that.
            Polled::Value
                if !self.has_caught()
                    || delivered.is_to_go_on
                    || record.has(Flag::CANCEL_PENDING) =>
            {
                self.end_cancelled(record);
            }
            polled => self.end_unusually(record, polled),
        }
    }

    /// A cancel came out of a poll in which none was delivered: a frame has let one go on that it had caught before.
    #[cold]
    pub(super) fn cancel_came_out(&self, record: &RecordRef) {
        let keeps_wakers = |cold: &Cold| cold.foreign_wakers.borrow().keeps_any();
        let has_sets = record.cold_if_any().is_some_and(keeps_wakers);
        if record.has(Flag::DISCARD) || self.nothing_is_alive() && !has_sets {
            return self.end_cancelled(record);
        }
        record.cold().scope.waits_for_the_rest(record);
        record.set(Flag::UNWINDING);
        record.set(Flag::AWAITS_SEVERAL);
        self.make_record_ready(record); // what has waited may have lost against something else in the same poll
        self.settle(record);
    }

    /// A poll has ended, and the task is not over.
    #[inline]
    pub(super) fn settle(&self, record: &RecordRef) {
        if record.has(Flag::DISCARD | Flag::CANCEL_PENDING) {
            self.settle_a_cancel(record);
        }
    }

    #[cold]
    fn settle_a_cancel(&self, record: &RecordRef) {
        if record.has(Flag::DISCARD) {
            return self.end_cancelled(record);
        }
        // It was cancelled while it ran; now it waits for something. As in asyncio the cancel goes there.
        let reason = record.reason();
        if record.pass_on(&reason, None) {
            record.clear(Flag::CANCEL_PENDING);
        } else {
            if !record.is_queued() {
                record.set(Flag::CANCEL_FIRM); // what it waits for is interrupted
                self.tasks.one_is_interrupted();
            }
            self.make_record_ready(record);
        }
    }

    /// The time of a limit is up that this task has polled, or a group cancels its body there.
    ///
    /// As asyncio's, it is to cancel what is awaited at once. If that is one task, this one is polled now, so that the limit, if
    /// it is really there, passes the cancel on; if not, when it is its turn. No code of the user's may be running.
    pub(crate) fn scope_is_to_be_polled(&self, record: &RecordRef) {
        if record.awaits_one() && !record.is_queued() {
            self.current.hidden(|| {
                if record.has(Flag::CANCEL_FORWARDED) {
                    self.poll_now(record); // the join learns first that it has passed on the cancel before
                }
                self.poll_now(record);
            });
        } else {
            self.make_record_ready(record);
        }
    }
}
