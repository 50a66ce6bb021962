//! What a group knows of its children: who runs, who failed, and whose cancel is whose.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::task::Context;

use crate::engine::current::with_current_loop;
use crate::engine::foreign::{self, KeptWaker};
use crate::engine::leaf;
use crate::engine::reason::{Own, Reason};
use crate::engine::record::{Flag, RecordRef, Stage};
use crate::engine::waitlist::{Left, WaitKey, WaitList};
use crate::engine::waker::{TaskId, wake};
use crate::engine::watchers::{Seat, Watcher};
use crate::error::TaskError;
use crate::exception_group::Raised;
use crate::sync::{Event, Semaphore};

pub(super) struct State<E> {
    /// The task that polled the scope last.
    parent: RefCell<RecordRef>,
    /// The waker with which it was polled, if that is foreign.
    set: RefCell<Option<KeptWaker>>,
    /// The group wants its body cancelled, and that is still to be delivered.
    pub(super) body_to_cancel: Cell<bool>,
    pub(super) children: RefCell<WaitList<Member<E>>>,
    pub(super) running: Cell<usize>,
    /// Where the children's ends are told; from the first child until the last end.
    pub(super) seat: RefCell<Option<Seat>>,
    /// The children that failed or panicked, in that order.
    pub(super) failed: RefCell<Vec<Member<E>>>,
    pub(super) aborting: Cell<bool>,
    pub(super) exiting: Cell<bool>,
    /// Ended by `cancel`: the body's cancel is no error.
    pub(super) quiet: Cell<bool>,
    pub(super) over: Cell<bool>,
    /// One of the parent's cancel requests is the group's.
    pub(super) parent_cancel_requested: Cell<bool>,
    pub(super) request_taken_back: Cell<bool>,
    /// How many requests the parent had on entry.
    requests_before: Cell<u32>,
    /// Set while no child runs.
    pub(super) all_done: Event,
    pub(super) limit: Option<Rc<Semaphore>>,
}

/// A child, and how to get at its error.
pub(super) struct Member<E> {
    pub(super) record: RecordRef,
    pub(super) raised: fn(&RecordRef) -> Option<Raised<E>>,
}

/// What a child failed with.
fn raised<E, X: Into<Raised<E>> + 'static>(record: &RecordRef) -> Option<Raised<E>> {
    if let Some(TaskError::Panicked(panic)) = record.ending::<Infallible>() {
        return Some(Raised::Panic(panic));
    }
    // No handle gives the error away before.
    record.take_error::<X>().map(Into::into)
}

impl<E> State<E> {
    /// A scope that is polled for the first time, in this task.
    pub(super) fn new(parent: RecordRef, limit: Option<usize>) -> State<E> {
        let requests_before = Cell::new(parent.requests_but_of_scopes_beside());
        let all_done = Event::of("the tasks of a group");
        all_done.set();
        State {
            parent: RefCell::new(parent),
            set: RefCell::default(),
            body_to_cancel: Cell::new(false),
            children: RefCell::default(),
            running: Cell::new(0),
            seat: RefCell::default(),
            failed: RefCell::default(),
            aborting: Cell::new(false),
            exiting: Cell::new(false),
            quiet: Cell::new(false),
            over: Cell::new(false),
            parent_cancel_requested: Cell::new(false),
            request_taken_back: Cell::new(false),
            requests_before,
            all_done,
            limit: limit.map(|limit| Rc::new(Semaphore::new(limit))),
        }
    }
}

impl<E: 'static> State<E> {
    pub(super) fn adopt<X: Into<Raised<E>> + 'static>(self: &Rc<Self>, record: &RecordRef) {
        record.set(Flag::SEEN); // the group sees to its failure
        record.set(Flag::GROUPED);
        let member = Member { record: record.clone(), raised: raised::<E, X> };
        let number = self.children.borrow_mut().join(member).number();
        self.running.set(self.running.get() + 1);
        self.all_done.clear();
        let mut seat = self.seat.borrow_mut();
        let seat = seat.get_or_insert_with(|| Seat::take(&record.home, self.clone()));
        seat.watch(record, number, || self.clone());
    }

    /// The errors of the children that failed. A child whose error cannot be converted is reported.
    pub(super) fn take_errors(&self) -> Vec<Raised<E>> {
        let failed = self.failed.take();
        let raised = |child: &Member<E>| {
            foreign::call_for(&child.record, || (child.raised)(&child.record)).flatten()
        };
        failed.iter().filter_map(raised).collect()
    }

    /// No scope will raise the errors of the children that failed: each goes to its handle, or else it is reported.
    pub(super) fn give_up_errors(&self) {
        for child in self.failed.take() {
            let record = child.record;
            record.clear(UNGROUPED);
            if !record.has(Flag::HANDLE) {
                record.home.nobody_takes(&record);
            }
        }
    }

    /// Cancels every child.
    pub(super) fn abort(&self, reason: &Reason) {
        self.aborting.set(true);
        let children: Vec<_> =
            self.children.borrow().iter().map(|child| child.record.clone()).collect();
        for child in children {
            child.cancel(reason);
        }
    }

    /// A child has failed. `now` says that no code of the user's is running.
    fn abort_for_a_failure(&self, now: bool) {
        if self.over.get() || self.aborting.get() || self.parent_cancel_requested.get() {
            return;
        }
        let number = self.failed.borrow().first().map_or(0, |child| child.record.number);
        let reason = Reason::own(Own::SiblingFailed, number);
        self.abort(&reason);
        // Another loop's task is not polled here: it is woken.
        let is_here =
            with_current_loop(|engine| engine.loop_index() == self.parent().id.loop_index());
        if now && self.set.borrow().is_none() && is_here == Some(true) {
            if self.request_cancel_of_body(&reason) {
                let parent = self.parent();
                parent.home.clone().scope_is_to_be_polled(&parent);
            }
        } else {
            self.cancel_body(&reason);
        }
    }

    /// A child is over. If it was the last who ran, the scope may end.
    fn look_whether_all_are_done(&self) {
        if self.running.get() == 0 {
            self.all_done.set();
        }
    }

    /// Takes back the request that the group made of its parent. True if that was all there was.
    pub(super) fn take_request_back(&self) -> bool {
        if !self.parent_cancel_requested.get() || self.request_taken_back.replace(true) {
            return false;
        }
        self.body_to_cancel.set(false);
        let parent = self.parent();
        parent.uncancel_of_scope();
        parent.requests_but_of_scopes_beside() <= self.requests_before.get()
    }

    pub(super) fn parent(&self) -> RecordRef {
        self.parent.borrow().clone()
    }

    /// Cancels the body, or the wait for the children. Code of the user's may be running: the parent is not polled now.
    pub(super) fn cancel_body(&self, reason: &Reason) {
        if self.request_cancel_of_body(reason) {
            let parent = self.parent();
            let set = self.set.borrow().clone();
            match set {
                Some(set) => set.wake(),
                None if parent.has(Stage::LENT) => {}
                None => wake(parent.id), // its loop may be another, or not be running
            }
        }
    }

    fn request_cancel_of_body(&self, reason: &Reason) -> bool {
        if self.parent_cancel_requested.replace(true) {
            return false;
        }
        self.body_to_cancel.set(true); // if nobody polls it now, when it is polled
        let parent = self.parent();
        if parent.has(Flag::DONE) {
            return false;
        }
        parent.count_cancel_of_scope(reason);
        true
    }

    /// One of the parent's cancel requests is the group's now.
    pub(super) fn asks(&self) -> bool {
        self.parent_cancel_requested.get() && !self.request_taken_back.get()
    }

    /// The scope is polled again, perhaps by another task than before: what it has asked of that moves along.
    pub(super) fn comes_to_this_task(&self) {
        let Some(current) = leaf::current() else { return };
        if *self.parent.borrow() == current {
            return;
        }
        let before = self.parent.replace(current.clone());
        let is_requested = self.asks();
        self.requests_before.set(current.requests_of_no_scope());
        if is_requested {
            if !before.has(Flag::DONE) {
                before.uncancel_of_scope();
            }
            current.count_cancel_of_scope(&before.reason());
        }
        drop(before);
    }

    /// What the scope holds waits.
    pub(super) fn see(&self, cx: &Context<'_>) {
        let is_usual = TaskId::of(cx.waker()).is_some() && self.set.borrow().is_none();
        let is_known = || self.set.borrow().as_ref().is_some_and(|set| set.will_wake(cx.waker()));
        if is_usual || is_known() {
            return;
        }
        let kept = KeptWaker::of(cx.waker()); // outside the borrow: it may run anything
        let old = self.set.replace(Some(kept).filter(|kept| kept.id().is_none()));
        drop(old);
    }
}

impl<E: 'static> Watcher for State<E> {
    fn ended(self: Rc<Self>, number: usize, record: &RecordRef) {
        let child = self.children.borrow_mut().leave(WaitKey::of_number(number));
        self.running.set(self.running.get() - 1);
        if self.running.get() == 0 {
            let seat = self.seat.take();
            drop(seat);
        }
        if !record.has(Flag::FAILED | Flag::PANICKED) {
        } else if self.over.get() {
            record.clear(UNGROUPED); // the scope was dropped, and this child was being polled
        } else if let Some(Left::InLine(child)) = child {
            self.failed.borrow_mut().push(child);
            // In its own turn, as asyncio does: who is ready already goes first, and may fail as well.
            let state = self.clone();
            let abort = async move {
                state.abort_for_a_failure(true);
                state.look_whether_all_are_done();
            };
            if record.home.spawn_callback(abort, record.spawned_at).is_ok() {
                return;
            }
            self.abort_for_a_failure(false); // the loop has no room for a callback: at once, then
        }
        self.look_whether_all_are_done();
    }
}

/// Flags whose absence makes a child's error its own again.
const UNGROUPED: Flag = Flag::GROUPED.and(Flag::SEEN);

/// However the scope is left, no child lives on, and no error goes unheard.
pub(super) struct Owned<'a, E: 'static>(pub(super) &'a Rc<State<E>>);

impl<E: 'static> Drop for Owned<'_, E> {
    fn drop(&mut self) {
        let state = self.0;
        state.over.set(true);
        state.aborting.set(true);
        if !state.parent().has(Flag::DONE) {
            state.take_request_back();
        }
        let children: Vec<_> =
            state.children.borrow().iter().map(|child| child.record.clone()).collect();
        for child in children {
            child.set_reason(Reason::own(Own::GroupDropped, state.parent().number));
            child.home.clone().discard(&child);
        }
        state.give_up_errors();
    }
}
