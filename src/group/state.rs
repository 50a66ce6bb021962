//! **The state of a group**: its children, their errors, and how far it has come.
//!
//! The scope could keep all this in its future. But children end, fail, and are spawned by other children while that future is not
//! being polled. So the state is shared, and the future (`group/`) asks it.
//!
//! ```text
//! Phase:         Body ──body has ended──▶ Waiting ──no child runs──▶ Ended     (a dropped scope is Ended, whatever it was)
//! ParentCancel:  NotRequested ──▶ Undelivered ──poll of the frame──▶ Delivered ──the scope ends──▶ TakenBack
//!                                    └──the scope ends────────────────────────────────────────────────▲
//! ```
//!
//! It stands on `base`, `cells`, `wait_list`, `reason`, `error`, the kernel, `foreign`, `kept_waker`, `delivery`, `cancel`, `join`,
//! `report`, `callback`, `sync` and `exception_group`.

use std::convert::Infallible;
use std::panic::Location;
use std::rc::Rc;
use std::task::Context;

use crate::cells::{Cell, RefCell};
use crate::error::TaskError;
use crate::exception_group::{IntoRaised, Raised};
use crate::foreign;
use crate::join::{Subscriber, Subscription};
use crate::kept_waker::KeptWaker;
use crate::kernel::current::{self, with_current_loop};
use crate::kernel::record::{Flag, RecordRef, Stage, Typed};
use crate::kernel::waker::wake;
use crate::reason::{Cause, Reason, Who};
use crate::sync::{Event, Semaphore};
use crate::wait_list::{Left, WaitKey, WaitList};

/// How far the scope has come.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Phase {
    Body,
    /// The body has ended; the children are waited for.
    Waiting,
    Ended,
}

/// The cancel request that the group makes of its parent, to interrupt the body or the wait for the children.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum ParentCancel {
    NotRequested,
    /// The parent counts it, and the frame delivers it in its next poll.
    Undelivered,
    Delivered,
    TakenBack,
}

pub(super) struct State<E> {
    pub(super) phase: Cell<Phase>,
    /// Set by `abort` and at the scope's end, never cleared: the group takes no more children.
    pub(super) aborting: Cell<bool>,
    /// Set by `TaskGroup::cancel`, never cleared: the cancel of the body is no error.
    pub(super) quiet: Cell<bool>,
    pub(super) parent_cancel: Cell<ParentCancel>,
    /// The task that polled the scope last.
    parent: RefCell<RecordRef>,
    /// The parent's cancel requests when it first polled the scope: only those beyond them count as new.
    requests_before: Cell<u32>,
    /// The waker that the scope was polled with, if that is foreign.
    waker: RefCell<Option<KeptWaker>>,
    /// The children that have not ended, and how many they are.
    children: RefCell<WaitList<Child<E>>>,
    pub(super) running: Cell<usize>,
    /// Delivers the ends of the children; from the first child until the last has ended.
    subscription: RefCell<Option<Subscription>>,
    /// The children that failed or panicked, in that order. Their records keep the errors until the scope raises them.
    failed: RefCell<Vec<Child<E>>>,
    /// Set while no child runs.
    pub(super) all_done: Event,
    pub(super) limit: Option<Rc<Semaphore>>,
    /// Whether children are polled when they are spawned; `None`: as the loop was told.
    pub(super) eager_start: Option<bool>,
    /// The children's failures are not the group's.
    isolates_failures: bool,
    opened_at: &'static Location<'static>,
}

/// A child, and how to take its error.
struct Child<E> {
    record: RecordRef,
    raised: Box<dyn Fn() -> Option<Raised<E>>>,
}

/// Takes what a child failed with. It is still there: the handle of a grouped task does not give it away.
fn raised<E, T, X: IntoRaised<E>>(child: &Typed<Result<T, TaskError<X>>>) -> Option<Raised<E>> {
    if let Some(TaskError::Panicked(panic)) = child.ending::<Infallible>() {
        return Some(Raised::Panic(panic));
    }
    child.take_error().map(X::into_raised)
}

impl<E: 'static> State<E> {
    /// A scope that `parent` polls for the first time.
    pub(super) fn new(
        parent: RecordRef,
        limit: Option<usize>,
        eager_start: Option<bool>,
        isolates_failures: bool,
        opened_at: &'static Location<'static>,
    ) -> State<E> {
        let all_done = Event::of_a_group();
        all_done.set();
        State {
            phase: Cell::new(Phase::Body),
            aborting: Cell::new(false),
            quiet: Cell::new(false),
            parent_cancel: Cell::new(ParentCancel::NotRequested),
            requests_before: Cell::new(parent.requests_but_of_scopes_beside()),
            parent: RefCell::new(parent),
            waker: RefCell::default(),
            children: RefCell::default(),
            running: Cell::new(0),
            subscription: RefCell::default(),
            failed: RefCell::default(),
            all_done,
            limit: limit.map(|limit| Rc::new(Semaphore::new(limit))),
            eager_start,
            isolates_failures,
            opened_at,
        }
    }

    /// The reason of a cancel that the scope itself causes.
    pub(super) fn reason(&self, cause: impl FnOnce(Who) -> Cause) -> Reason {
        Reason::own(cause(self.parent().who()), Some(self.opened_at))
    }

    pub(super) fn add_child<T: 'static, X: IntoRaised<E> + 'static>(
        self: &Rc<Self>,
        child: &Typed<Result<T, TaskError<X>>>,
    ) {
        let record: &RecordRef = child;
        if self.phase.get() == Phase::Ended {
            // The child was polled when it was spawned, and the scope was dropped meanwhile.
            if !record.has(Flag::DONE) {
                record.set_reason(self.reason(Cause::GroupDropped));
                record.owner.discard(record);
            }
            return;
        }
        if !self.isolates_failures {
            record.set(Flag::SEEN | Flag::GROUPED); // the group takes its error: no report, and none for the handle
        }
        let typed = child.clone();
        let raised = Box::new(move || raised(&typed));
        let member = Child { record: record.clone(), raised };
        let key = self.children.borrow_mut().join(member).number();
        self.running.set(self.running.get() + 1);
        self.all_done.clear();
        if record.has(Flag::DONE) {
            return self.clone().task_ended(key, record);
        }
        self.subscription
            .borrow_mut()
            .get_or_insert_with(|| Subscription::new(&record.owner, self.clone()))
            .subscribe(record, key, || self.clone());
        if self.aborting.get() {
            record.cancel(&self.reason(Cause::GroupCancelled)); // the child has cancelled the group while it was spawned
        }
    }

    /// The errors of the children that failed. A panic in the conversion of an error is reported in its place.
    pub(super) fn take_errors(&self) -> Vec<Raised<E>> {
        let raised =
            |child: &Child<E>| foreign::call_for(&child.record, || (child.raised)()).flatten();
        self.failed.take().iter().filter_map(raised).collect()
    }

    /// The records of the children that have not ended: a copy, because what is done with them may end them.
    fn running_children(&self) -> Vec<RecordRef> {
        self.children.borrow().iter().map(|child| child.record.clone()).collect()
    }

    /// Cancels every child.
    pub(super) fn abort(&self, reason: &Reason) {
        self.aborting.set(true);
        for child in self.running_children() {
            child.cancel(reason);
        }
    }

    /// A child has failed: cancels the others and the body. `may_poll`: no user code is running on this thread.
    fn abort_for_failure(&self, may_poll: bool) {
        let is_requested = self.parent_cancel.get() != ParentCancel::NotRequested;
        if self.phase.get() == Phase::Ended || self.aborting.get() || is_requested {
            return;
        }
        let first = self.failed.borrow().first().map(|child| child.record.clone());
        let reason = first.map_or_else(Reason::none, |child| {
            Reason::own(Cause::SiblingFailed(child.who()), Some(child.spawned_at()))
        });
        self.abort(&reason);
        // asyncio cancels at once what the parent awaits. Here that takes a poll of the parent, which must be a task of this loop.
        // In a set of futures, the scope is polled only when its foreign waker has been woken.
        let is_here =
            with_current_loop(|engine| engine.loop_index() == self.parent().id.loop_index());
        if may_poll && self.waker.borrow().is_none() && is_here == Some(true) {
            if self.request_parent_cancel(&reason) {
                let parent = self.parent();
                parent.owner.clone().scope_is_to_be_polled(&parent);
            }
        } else {
            self.cancel_body(&reason);
        }
    }

    /// Cancels the body, or the wait for the children. User code may be running, so the parent is only woken.
    pub(super) fn cancel_body(&self, reason: &Reason) {
        if self.request_parent_cancel(reason) {
            let parent = self.parent();
            let foreign = self.waker.borrow().clone();
            match foreign {
                Some(waker) => waker.wake(),
                // It is being polled: the frame checks after its poll.
                None if parent.has(Stage::LENT) => {}
                // Its loop may be another, or not be running.
                None => wake(parent.id),
            }
        }
    }

    /// Makes the request, once. True if there is a task to interrupt.
    fn request_parent_cancel(&self, reason: &Reason) -> bool {
        if self.parent_cancel.get() != ParentCancel::NotRequested {
            return false;
        }
        self.parent_cancel.set(ParentCancel::Undelivered);
        let parent = self.parent();
        if parent.has(Flag::DONE) {
            return false; // another task may poll the scope yet
        }
        parent.count_cancel_of_scope(reason);
        true
    }

    /// Whether one of the parent's cancel requests is the group's now.
    pub(super) fn counts_in_parent(&self) -> bool {
        matches!(self.parent_cancel.get(), ParentCancel::Undelivered | ParentCancel::Delivered)
    }

    /// Takes back the group's cancel request. True if the parent has no other that is new: then its cancel was the group's own.
    pub(super) fn take_request_back(&self) -> bool {
        if !self.counts_in_parent() {
            return false;
        }
        self.parent_cancel.set(ParentCancel::TakenBack);
        let parent = self.parent();
        parent.uncancel_of_scope();
        parent.requests_but_of_scopes_beside() <= self.requests_before.get()
    }

    pub(super) fn parent(&self) -> RecordRef {
        self.parent.borrow().clone()
    }

    /// The scope is being polled, perhaps by another task than before: then the group's request moves to that task.
    pub(super) fn move_to_current_task(&self) {
        let Some(current) = current::task() else { return };
        if *self.parent.borrow() == current {
            return;
        }
        let before = self.parent.replace(current.clone());
        self.requests_before.set(current.requests_of_no_scope());
        if self.counts_in_parent() {
            if !before.has(Flag::DONE) {
                before.uncancel_of_scope();
            }
            current.count_cancel_of_scope(&before.reason());
        }
        drop(before);
    }

    /// The scope is pending: keeps the waker that it was polled with if that is foreign. A task's own is known by its id.
    pub(super) fn keep_waker(&self, cx: &Context<'_>) {
        KeptWaker::replace_foreign_in(&self.waker, cx.waker());
    }

    /// Lets the scope end if no child runs.
    fn notify_if_all_done(&self) {
        if self.running.get() == 0 {
            self.all_done.set();
        }
    }
}

impl<E: 'static> Subscriber for State<E> {
    fn waiter(&self) -> Option<KeptWaker> {
        (self.phase.get() == Phase::Waiting).then(|| KeptWaker::Ours(self.parent().id))
    }

    fn task_ended(self: Rc<Self>, key: usize, record: &RecordRef) {
        let child = self.children.borrow_mut().leave(WaitKey::of_number(key));
        self.running.set(self.running.get() - 1);
        if self.running.get() == 0 {
            let subscription = self.subscription.take();
            drop(subscription);
        }
        let has_failed = !self.isolates_failures && record.has(Flag::FAILED | Flag::PANICKED);
        match child {
            // The scope was dropped while this child was being polled.
            _ if has_failed && self.phase.get() == Phase::Ended => record.clear(UNGROUPED),
            Some(Left::InLine(child)) if has_failed => {
                self.failed.borrow_mut().push(child);
                // Abort in a callback, as asyncio does: children that are ready already run first, and may fail as well.
                let state = self.clone();
                let abort = async move {
                    state.abort_for_failure(true);
                    state.notify_if_all_done();
                };
                if record.owner.spawn_callback(abort, record.spawned_at()).is_ok() {
                    return;
                }
                self.abort_for_failure(false); // the loop has no room for a callback
            }
            _ => {}
        }
        self.notify_if_all_done();
    }
}

/// The flags that make a child's error the group's. Without them it is the handle's again.
const UNGROUPED: Flag = Flag::GROUPED.and(Flag::SEEN);

/// Ends the scope, however it is left: no child lives on, and no error is lost.
pub(super) struct ScopeGuard<'a, E: 'static>(pub(super) &'a Rc<State<E>>);

impl<E: 'static> Drop for ScopeGuard<'_, E> {
    fn drop(&mut self) {
        let state = self.0;
        state.phase.set(Phase::Ended);
        state.aborting.set(true);
        if !state.parent().has(Flag::DONE) {
            state.take_request_back();
        }
        for child in state.running_children() {
            child.set_reason(state.reason(Cause::GroupDropped));
            child.owner.clone().discard(&child);
        }
        // No scope will raise the errors that are left: each goes to the child's handle, or is reported if there is none.
        for child in state.failed.take() {
            let record = child.record;
            record.clear(UNGROUPED);
            if !record.has(Flag::HANDLE) {
                record.owner.drop_unclaimed_outcome(&record);
            }
        }
    }
}
