//! **A crowd**: many tasks awaited as one.
//!
//! Whoever awaits a hundred thousand tasks must not look at all of them whenever one ends. So each member, at its end,
//! tells the crowd its number: O(1). The crowd wakes its waiter when there is something to see, and takes a cancel of the
//! waiter in its place: it passes it on to every member.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};

use super::instant::Instant;
use super::record::RecordRef;
use super::state::Flag;
use super::waitlist::WaitKey;
use super::waker::TaskId;
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

/// Tasks that are awaited together.
pub(crate) struct Crowd {
    wake_at: WakeAt,
    members: RefCell<Vec<Member>>,
    /// `None` when nobody waits any more.
    seat: RefCell<Option<Seat>>,
    pending: Cell<usize>,
    /// Numbers of the members that are over, in the order in which they ended, and when.
    ended: RefCell<VecDeque<(usize, Instant)>>,
    /// Something has happened that the waiter is to see.
    is_due: Cell<bool>,
    /// The first member that ended as `wake_at` waits for.
    first_failure: Cell<Option<usize>>,
    /// A cancel of the waiter was passed on to the members.
    cancel_requested: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

struct Member {
    /// `None` when it is over.
    record: Option<RecordRef>,
    can_fail: bool,
    /// Where the crowd stands among the joiners in the record's extras, if it stands there.
    key: Option<WaitKey>,
}

impl Crowd {
    /// Each member comes with whether its failure counts as one.
    pub(crate) fn new(
        wake_at: WakeAt,
        records: impl Iterator<Item = (RecordRef, bool)>,
    ) -> Rc<Crowd> {
        let crowd = Rc::new(Crowd {
            wake_at,
            members: RefCell::default(),
            seat: RefCell::default(),
            pending: Cell::new(0),
            ended: RefCell::default(),
            is_due: Cell::new(false),
            first_failure: Cell::new(None),
            cancel_requested: Cell::new(false),
            waiter: RefCell::default(),
        });
        let mut members: Vec<_> = records
            .map(|(record, can_fail)| Member { record: Some(record), can_fail, key: None })
            .collect();
        crowd.pending.set(members.len());
        let mut seat = None;
        for (number, member) in members.iter_mut().enumerate() {
            let Some(record) = member.record.take_if(|record| record.has(Flag::DONE)) else {
                let Some(record) = &member.record else { continue };
                let seat = seat.get_or_insert_with(|| Seat::take(&record.home, crowd.clone()));
                member.key = seat.watch(record, number, || crowd.clone());
                continue;
            };
            crowd.count(number, &record, member.can_fail);
        }
        *crowd.seat.borrow_mut() = seat;
        *crowd.members.borrow_mut() = members;
        crowd
    }

    /// A member is over.
    #[inline]
    fn count(&self, number: usize, record: &RecordRef, can_fail: bool) {
        self.pending.set(self.pending.get() - 1);
        if self.wake_at == WakeAt::Each {
            self.ended.borrow_mut().push_back((number, record.home.latest()));
        } else if record.has(self.failures()) && can_fail && self.first_failure.get().is_none() {
            self.first_failure.set(Some(number));
        } else if self.pending.get() > 0 {
            return;
        }
        self.is_due.set(true);
    }

    /// What counts as a failure.
    fn failures(&self) -> Flag {
        match self.wake_at {
            WakeAt::FirstFailure => Flag::FAILED | Flag::PANICKED | Flag::CANCELLED,
            WakeAt::FirstException => Flag::FAILED | Flag::PANICKED,
            WakeAt::Each | WakeAt::All => Flag::NONE,
        }
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
        self.members.borrow().is_empty()
    }

    pub(crate) fn is_due(&self) -> bool {
        self.is_due.get()
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending.get()
    }

    pub(crate) fn first_failure(&self) -> Option<usize> {
        self.first_failure.get()
    }

    pub(crate) fn cancel_requested(&self) -> bool {
        self.cancel_requested.get()
    }

    /// The waiter is woken when there is something to see.
    pub(crate) fn wait(&self, cx: &Context<'_>) {
        let mut waiter = self.waiter.borrow_mut();
        if waiter.as_ref().is_some_and(|waiter| waiter.will_wake(cx.waker())) {
            return;
        }
        drop(waiter);
        let waker = TaskId::keep(cx.waker());
        waiter = self.waiter.borrow_mut();
        let old = waiter.replace(waker);
        drop(waiter);
        drop(old); // after the borrow: it may run anything
    }

    /// Those that are not over, to whom a cancel of the waiter is passed on.
    pub(crate) fn takers(&self) -> Vec<RecordRef> {
        let members = self.members.borrow();
        let alive = members.iter().filter_map(|member| member.record.as_ref());
        let alive: Vec<_> = alive.filter(|record| !record.has(Flag::DONE)).cloned().collect();
        if !alive.is_empty() {
            self.cancel_requested.set(true);
        }
        alive
    }

    /// Nobody waits any more.
    pub(crate) fn leave(&self) {
        let (members, seat) = (self.members.take(), self.seat.take());
        for (number, Member { record, key, .. }) in members.iter().enumerate() {
            if let (Some(record), Some(seat)) = (record, &seat) {
                seat.leave(record, number, *key);
            }
        }
        drop(self.waiter.take());
    }
}

impl Watcher for Crowd {
    fn ended(self: Rc<Self>, number: usize, record: &RecordRef) {
        let was_due = self.is_due.get();
        let (can_fail, member) = match self.members.borrow_mut().get_mut(number) {
            Some(member) => (member.can_fail, member.record.take()),
            None => (false, None),
        };
        drop(member); // it is not the last reference: whoever tells of the end has one
        self.count(number, record, can_fail);
        if self.is_due.get() && !was_due {
            let waiter = self.waiter.borrow().as_ref().map(TaskId::keep);
            if let Some(waiter) = waiter {
                waiter.wake();
            }
        }
    }
}
