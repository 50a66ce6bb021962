//! **A crowd**: many tasks awaited as one.
//!
//! Whoever awaits a hundred thousand tasks must not look at all of them whenever one ends. So each member, at its end,
//! tells the crowd its number: O(1). The crowd wakes its waiter when there is something to see, and takes a cancel of the
//! waiter in its place: it passes it on to every member.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Context;

use super::foreign::KeptWaker;
use super::instant::Instant;
use super::reason::Reason;
use super::record::{Flag, RecordRef};
use super::waitlist::WaitKey;
use super::watchers::{Seat, Watcher};

/// When the waiter is woken, besides when all are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WakeAt {
    /// Each end.
    Each,
    /// The first end that is not a value.
    FirstFailure,
    /// The first error or panic: a cancelled task does not count.
    FirstException,
    /// Only when all are over.
    All,
}

/// What a crowd is made of: the handles of its tasks, or their records.
pub(crate) trait Members: 'static {
    /// How many there are before any is let go.
    fn len(&self) -> usize;

    /// Shows each member's record, with its number. `look` must not run code of others.
    fn each(&self, look: impl FnMut(usize, &RecordRef));

    /// Whether a failure of this one counts as one.
    fn can_fail(&self, _number: usize) -> bool {
        true
    }
}

/// Each until it is let go.
impl Members for Vec<Option<RecordRef>> {
    fn len(&self) -> usize {
        self.len()
    }

    fn each(&self, mut look: impl FnMut(usize, &RecordRef)) {
        let records = self.iter().enumerate();
        records.for_each(|(number, record)| _ = record.as_ref().map(|record| look(number, record)));
    }
}

impl Crowd<Vec<Option<RecordRef>>> {
    pub(crate) fn of_records(
        wake_at: WakeAt,
        records: impl Iterator<Item = RecordRef>,
    ) -> Rc<Crowd<Vec<Option<RecordRef>>>> {
        Crowd::new(wake_at, records.map(Some).collect())
    }

    /// A member that is over: somebody else has its handle now.
    pub(crate) fn let_go(&self, number: usize) {
        let record = self.members.borrow_mut().as_mut().and_then(|all| all[number].take());
        drop(record); // after the borrow: it may be the last reference
    }
}

/// Tasks that are awaited together.
pub(crate) struct Crowd<M> {
    /// Which ends the waiter is to see before all are over.
    wakes_for: Flag,
    wake_at: WakeAt,
    /// `None` when they have been taken out.
    members: RefCell<Option<M>>,
    len: usize,
    /// `None` when nobody waits any more.
    seat: RefCell<Option<Seat>>,
    /// Of the members in whose cold part the crowd is: number and place. In the order of the numbers.
    listed: RefCell<Vec<(usize, WaitKey)>>,
    pending: Cell<usize>,
    /// Numbers of the members that are over, in the order in which they ended, and when.
    ended: RefCell<VecDeque<(usize, Instant)>>,
    /// Something has happened that the waiter is to see.
    is_due: Cell<bool>,
    /// The first member that ended as `wake_at` waits for.
    first_failure: Cell<Option<usize>>,
    /// The member that ended when all the others were over.
    last: Cell<Option<usize>>,
    /// A cancel of the waiter was passed on to the members.
    cancel_requested: Cell<bool>,
    waiter: RefCell<Option<KeptWaker>>,
}

impl<M: Members> Crowd<M> {
    pub(crate) fn new(wake_at: WakeAt, members: M) -> Rc<Crowd<M>> {
        let len = members.len();
        let wakes_for = match wake_at {
            WakeAt::Each => Flag::DONE,
            WakeAt::FirstFailure => Flag::FAILED | Flag::PANICKED | Flag::CANCELLED,
            WakeAt::FirstException => Flag::FAILED | Flag::PANICKED,
            WakeAt::All => Flag::NONE,
        };
        let crowd = Rc::new(Crowd {
            wakes_for,
            wake_at,
            members: RefCell::new(Some(members)),
            len,
            seat: RefCell::default(),
            listed: RefCell::default(),
            pending: Cell::new(len),
            ended: RefCell::default(),
            is_due: Cell::new(false),
            first_failure: Cell::new(None),
            last: Cell::new(None),
            cancel_requested: Cell::new(false),
            waiter: RefCell::default(),
        });
        let mut seat = None;
        crowd.look_at_each(|number, record| {
            if record.has(Flag::DONE) {
                return crowd.count(number, record);
            }
            let seat = seat.get_or_insert_with(|| Seat::take(&record.home, crowd.clone()));
            if let Some(key) = seat.watch(record, number, || crowd.clone()) {
                crowd.listed.borrow_mut().push((number, key));
            }
        });
        *crowd.seat.borrow_mut() = seat;
        crowd
    }

    /// Lends the members, if they are still there, to code that may run foreign code: meanwhile the crowd does without them.
    pub(crate) fn with_members<R>(&self, foreign: impl FnOnce(&mut M) -> R) -> Option<R> {
        /// `foreign` may panic.
        struct PutBack<'a, M>(&'a RefCell<Option<M>>, Option<M>);
        impl<M> Drop for PutBack<'_, M> {
            fn drop(&mut self) {
                *self.0.borrow_mut() = self.1.take();
            }
        }
        let members = self.members.take();
        PutBack(&self.members, members).1.as_mut().map(foreign)
    }

    fn look_at_each(&self, look: impl FnMut(usize, &RecordRef)) {
        if let Some(members) = &*self.members.borrow() {
            members.each(look);
        }
    }

    /// A member is over.
    #[inline]
    fn count(&self, number: usize, record: &RecordRef) {
        let pending = self.pending.get() - 1;
        self.pending.set(pending);
        if pending == 0 || record.has(self.wakes_for) {
            self.becomes_due(number, record);
        }
    }

    #[inline(never)]
    fn becomes_due(&self, number: usize, record: &RecordRef) {
        if self.pending.get() == 0 {
            self.last.set(Some(number));
        }
        if self.wake_at == WakeAt::Each {
            self.ended.borrow_mut().push_back((number, record.home.latest()));
        } else if record.has(self.wakes_for) && self.is_first_failure(number) {
            self.first_failure.set(Some(number));
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

    fn is_first_failure(&self, number: usize) -> bool {
        self.first_failure.get().is_none()
            && self.members.borrow().as_ref().is_some_and(|all| all.can_fail(number))
    }

    /// The next member that ended and was not asked for yet. Only for [`WakeAt::Each`].
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

    /// The reason with which the member was cancelled that decided: the first that failed, or else the last that ended. None if
    /// that one was not cancelled.
    pub(crate) fn reason(&self) -> Reason {
        let decided = self.first_failure.get().or(self.last.get());
        let mut reason = Reason::none();
        self.look_at_each(|number, record| {
            if Some(number) == decided && record.has(Flag::CANCELLED) {
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

    /// The waiter says again who it is.
    pub(crate) fn forget_waiter(&self) {
        let waiter = self.waiter.take();
        drop(waiter); // after the borrow: it may run anything
    }

    /// The waiter is woken when there is something to see.
    pub(crate) fn wait(&self, cx: &Context<'_>) {
        let mut waiter = self.waiter.borrow_mut();
        if waiter.as_ref().is_some_and(|waiter| waiter.will_wake(cx.waker())) {
            return;
        }
        drop(waiter);
        let waker = KeptWaker::of(cx.waker()); // outside the borrow: it may run anything
        waiter = self.waiter.borrow_mut();
        let old = waiter.replace(waker);
        drop(waiter);
        drop(old); // after the borrow: it may run anything
        if self.is_due() {
            cx.waker().wake_by_ref(); // the last member has ended while a foreign waker was cloned, or it was due before
        }
    }

    /// Nobody waits any more: the members are handed out, if they are still there.
    pub(crate) fn leave(&self) -> Option<M> {
        if self.members.borrow().is_none() {
            return None; // it has been left
        }
        let (seat, listed) = (self.seat.take(), self.listed.take());
        if let Some(seat) = seat.filter(|_| self.pending.get() > 0) {
            let mut listed = listed.into_iter().peekable();
            self.look_at_each(|number, record| {
                let key = listed.next_if(|(listed, _)| *listed == number).map(|(_, key)| key);
                seat.leave(record, number, key);
            });
        }
        drop(self.waiter.take());
        self.members.take()
    }
}

impl<M: Members> Watcher for Crowd<M> {
    fn ended(self: Rc<Self>, number: usize, record: &RecordRef) {
        self.count(number, record);
    }
}

/// What takes a cancel in the place of the task that awaits it.
pub(crate) trait Takers {
    /// Those that are not over.
    fn takers(&self) -> Vec<RecordRef>;

    /// A cancel is passed on to them.
    fn take_cancel(&self);
}

impl<M: Members> Takers for Crowd<M> {
    fn takers(&self) -> Vec<RecordRef> {
        let mut alive = Vec::new();
        self.look_at_each(|_, record| {
            if !record.has(Flag::DONE) {
                alive.push(record.clone());
            }
        });
        alive
    }

    fn take_cancel(&self) {
        if self.pending.get() > 0 {
            self.cancel_requested.set(true);
        }
    }
}
