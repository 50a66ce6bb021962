//! **Wait set**: many tasks awaited as one.
//!
//! To check every member whenever one ends would do, at O(n²) for the whole set. Here each member reports its index when it ends,
//! which is O(1), and the set wakes its waiter only when there is something to see: an end, a failure, or the last end. A task
//! that is cancelled while it awaits a set forwards the cancel to the members (see `CancelTargets`).
//!
//! A set does not take outcomes, and does not cancel its members: its owner does both.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::subscribers::{Subscriber, Subscription};
use crate::awaited::CancelTargets;
use crate::base::instant::Instant;
use crate::delivery::checkpoint;
use crate::kept_waker::KeptWaker;
use crate::kernel::record::{Flag, RecordRef};
use crate::reason::Reason;
use crate::trace::Wait;
use crate::wait_list::WaitKey;

/// If more members than this are left, an observer is not told of each again: whenever one ends that would be O(n²) for the set.
const MOST_LISTED_AGAIN: usize = 64;

/// Which ends wake the waiter, besides the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WakeAt {
    /// Every end.
    Each,
    /// The first error, panic or cancel.
    FirstFailure,
    /// The first error or panic: a cancelled task does not count.
    FirstException,
    /// None.
    All,
}

/// The members of a wait set: the handles of its tasks, or their records.
pub(crate) trait Members: 'static {
    /// How many there are before any is released.
    fn len(&self) -> usize;

    /// Passes each member's index and record to `inspect`, which must not run foreign code.
    fn each(&self, inspect: impl FnMut(usize, &RecordRef));

    /// Whether a failure of this member wakes the waiter.
    fn can_fail(&self, _index: usize) -> bool {
        true
    }
}

/// Tasks that are awaited together.
pub(crate) struct WaitSet<M> {
    wake_at: WakeAt,
    /// `wake_at` as flags: the end of a member that has one of them makes the set due.
    due_flags: Flag,
    /// `None` once the set was left, and while they are lent to `with_members`.
    members: RefCell<Option<M>>,
    len: usize,
    /// `None` once the set was left, or if all members had ended when it was created.
    subscription: RefCell<Option<Subscription>>,
    /// The index and the key of each member that has the set in its cold part. In the order of the indices.
    listed: RefCell<Vec<(usize, WaitKey)>>,
    pending: Cell<usize>,
    /// For [`WakeAt::Each`]: the members that ended and were not returned yet, in the order of their ends, and when that was.
    ended: RefCell<VecDeque<(usize, Instant)>>,
    /// There is something for the waiter to see.
    is_due: Cell<bool>,
    /// The first member whose failure made the set due.
    first_failure: Cell<Option<usize>>,
    /// The member that ended last, when all have ended.
    last: Cell<Option<usize>>,
    /// A cancel of the waiter was forwarded to the members.
    cancel_requested: Cell<bool>,
    waiter: RefCell<Option<KeptWaker>>,
    /// The traced run in which an observer was told of the members one by one.
    listed_in: Cell<u8>,
}

impl<M: Members> WaitSet<M> {
    /// A set of these members, each of which is given the flags `marks`.
    pub(crate) fn new(wake_at: WakeAt, members: M, marks: Flag) -> Rc<WaitSet<M>> {
        let len = members.len();
        let due_flags = match wake_at {
            WakeAt::Each => Flag::DONE,
            WakeAt::FirstFailure => Flag::FAILED | Flag::PANICKED | Flag::CANCELLED,
            WakeAt::FirstException => Flag::FAILED | Flag::PANICKED,
            WakeAt::All => Flag::NONE,
        };
        // Not `Rc::new`: with that the compiler builds the set on the stack, and copies it.
        let wait_set = Rc::new_cyclic(|_| WaitSet {
            wake_at,
            due_flags,
            members: RefCell::new(Some(members)),
            len,
            subscription: RefCell::default(),
            listed: RefCell::default(),
            pending: Cell::new(len),
            ended: RefCell::default(),
            is_due: Cell::new(false),
            first_failure: Cell::new(None),
            last: Cell::new(None),
            cancel_requested: Cell::new(false),
            waiter: RefCell::default(),
            listed_in: Cell::new(0),
        });
        let mut subscription = None;
        wait_set.each_member(|index, record| {
            if marks != Flag::NONE {
                record.set(marks);
            }
            if record.has(Flag::DONE) {
                if wait_set.counts_end(record) {
                    wait_set.becomes_due(index, record);
                }
                return;
            }
            let subscription = subscription
                .get_or_insert_with(|| Subscription::new(&record.owner, wait_set.clone()));
            if let Some(key) = subscription.subscribe(record, index, || wait_set.clone()) {
                wait_set.listed.borrow_mut().push((index, key));
            }
        });
        *wait_set.subscription.borrow_mut() = subscription;
        wait_set
    }

    /// Lends the members, if they are still there, to code that may run foreign code. Meanwhile the set is without them.
    pub(crate) fn with_members<R>(&self, foreign: impl FnOnce(&mut M) -> R) -> Option<R> {
        /// Puts the members back, also if `foreign` panics.
        struct PutBack<'a, M>(&'a RefCell<Option<M>>, Option<M>);
        impl<M> Drop for PutBack<'_, M> {
            fn drop(&mut self) {
                *self.0.borrow_mut() = self.1.take();
            }
        }
        let members = self.members.take();
        PutBack(&self.members, members).1.as_mut().map(foreign)
    }

    fn each_member(&self, inspect: impl FnMut(usize, &RecordRef)) {
        if let Some(members) = &*self.members.borrow() {
            members.each(inspect);
        }
    }

    /// Makes the set due, unless the failure of this member does not count and others are pending. Wakes the waiter once.
    #[inline(never)]
    fn becomes_due(&self, index: usize, record: &RecordRef) {
        if self.pending.get() == 0 {
            self.last.set(Some(index));
        }
        if self.wake_at == WakeAt::Each {
            self.ended.borrow_mut().push_back((index, record.owner.latest()));
        } else if record.has(self.due_flags) && self.is_first_failure(index) {
            self.first_failure.set(Some(index));
        } else if self.pending.get() > 0 {
            return;
        }
        if !self.is_due.replace(true) {
            let waiter = self.waiter.take();
            if let Some(waiter) = waiter {
                waiter.wake();
            }
        }
    }

    fn is_first_failure(&self, index: usize) -> bool {
        self.first_failure.get().is_none()
            && self.members.borrow().as_ref().is_some_and(|all| all.can_fail(index))
    }

    /// The next member that ended and was not returned yet, and when it ended. Only for [`WakeAt::Each`].
    pub(crate) fn next_ended(&self) -> Option<(usize, Instant)> {
        let next = self.ended.borrow_mut().pop_front();
        if self.ended.borrow().is_empty() && self.pending.get() > 0 {
            self.is_due.set(false);
        }
        next
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn is_due(&self) -> bool {
        self.is_due.get()
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending.get()
    }

    /// The reason of the cancel with which the decisive member ended: the first that failed, or else the last that ended. None if
    /// that member was not cancelled.
    pub(crate) fn reason(&self) -> Reason {
        let decisive = self.first_failure.get().or(self.last.get());
        let mut reason = Reason::none();
        self.each_member(|index, record| {
            if Some(index) == decisive && record.has(Flag::CANCELLED) {
                reason = record.reason();
            }
        });
        reason
    }

    pub(crate) fn first_failure(&self) -> Option<usize> {
        self.first_failure.get()
    }

    pub(crate) fn cancel_requested(&self) -> bool {
        self.cancel_requested.get()
    }

    /// Drops the waiter's waker, so that the next `wait` keeps it anew.
    pub(crate) fn forget_waiter(&self) {
        let waiter = self.waiter.take();
        drop(waiter); // after the borrow: it may run anything
    }

    /// Wakes the waker of `cx` when the set becomes due. If it is due already, that is at once.
    pub(crate) fn wait(&self, cx: &Context<'_>) {
        if KeptWaker::replace_in(&self.waiter, cx.waker()) && self.is_due() {
            cx.waker().wake_by_ref(); // it was due before, or became due while a foreign waker was cloned
        }
    }

    /// The set was polled. If it is pending, an observer is told that the current task waits for the members.
    #[cold]
    pub(crate) fn told<R>(&self, polled: Poll<R>) -> Poll<R> {
        if polled.is_pending() {
            self.tell_wait();
        }
        polled
    }

    fn tell_wait(&self) {
        let until = match self.wake_at {
            WakeAt::Each => "the first",
            WakeAt::FirstFailure | WakeAt::FirstException => "all, or the first failure",
            WakeAt::All => "all",
        };
        let run = checkpoint::traced_run();
        if self.listed_in.replace(run) == run && self.pending() > MOST_LISTED_AGAIN {
            return checkpoint::tell_wait(Wait::Other { what: "the rest of the tasks" });
        }
        checkpoint::tell_wait_for_tasks(until, |note| self.each_member(|_, record| note(record)));
    }

    /// Stops waiting. Returns the members, if they are still there.
    #[inline]
    pub(crate) fn leave(&self) -> Option<M> {
        let members = self.members.take()?;
        self.stop_waiting(&members);
        Some(members)
    }

    fn stop_waiting(&self, members: &M) {
        let subscription = self.subscription.take();
        if let Some(subscription) = subscription
            && self.pending.get() > 0
        {
            self.unsubscribe(&subscription, members);
        }
        drop(self.waiter.take());
    }

    #[inline(never)]
    fn unsubscribe(&self, subscription: &Subscription, members: &M) {
        let mut listed = self.listed.take().into_iter().peekable();
        members.each(|index, record| {
            let key = listed.next_if(|(listed, _)| *listed == index).map(|(_, key)| key);
            subscription.unsubscribe(record, index, key);
        });
    }
}

impl<M: Members> Subscriber for WaitSet<M> {
    #[inline]
    fn counts_end(&self, record: &RecordRef) -> bool {
        let pending = self.pending.get() - 1;
        self.pending.set(pending);
        pending == 0 || record.has(self.due_flags)
    }

    fn task_ended(self: Rc<Self>, index: usize, record: &RecordRef) {
        self.becomes_due(index, record);
    }

    fn waiter(&self) -> Option<KeptWaker> {
        self.waiter.borrow().clone()
    }
}

impl<M: Members> CancelTargets for WaitSet<M> {
    fn targets(&self) -> Vec<RecordRef> {
        let mut alive = Vec::new();
        self.each_member(|_, record| {
            if !record.has(Flag::DONE) {
                alive.push(record.clone());
            }
        });
        alive
    }

    /// Only notes it: the caller has forwarded the cancel. If all members have ended, it has reached none.
    fn note_forwarded(&self) {
        if self.pending.get() > 0 {
            self.cancel_requested.set(true);
        }
    }
}
