//! The tasks of a set, and the order in which they end.
//!
//! Tasks end while the set is not being polled, so the state is shared: the loop's table of subscribers keeps it, from the first
//! task until none runs.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::delivery::checkpoint;
use crate::error::TaskError;
use crate::foreign;
use crate::join::{Subscriber, Subscription};
use crate::kept_waker::KeptWaker;
use crate::kernel::record::{Flag, RecordRef};
use crate::reason::Reason;
use crate::task::Task;
use crate::trace::Wait;
use crate::wait_list::{Left, WaitKey, WaitList};

/// If more tasks than this are in a set, an observer is not told of each whenever the set is awaited: that would be O(n²).
const MOST_LISTED: usize = 64;

/// A task, and what its result belongs to.
pub(super) struct Member<K, T, E> {
    key: K,
    task: Task<T, E>,
}

impl<K, T, E> Member<K, T, E> {
    pub(super) fn new(key: K, task: Task<T, E>) -> Member<K, T, E> {
        Member { key, task }
    }

    /// The task has ended.
    pub(super) fn into_result(self) -> (K, Result<T, TaskError<E>>) {
        let result = self.task.take().expect("a task of a set is over, and taken once");
        (self.key, result)
    }

    /// Drops both. No panic of their destructors comes out: one of an outcome is reported by its task.
    pub(super) fn discard(self) {
        drop(self.task);
        foreign::drop_reported(self.key);
    }
}

pub(super) struct State<K, T, E> {
    /// The tasks that were not taken, in the order of their creation, and how many they are.
    members: RefCell<WaitList<Member<K, T, E>>>,
    len: Cell<usize>,
    /// The keys of those that have ended, in the order of their ends.
    ended: RefCell<VecDeque<WaitKey>>,
    /// How many have not ended.
    running: Cell<usize>,
    /// Delivers the ends; from the first task until none runs.
    subscription: RefCell<Option<Subscription>>,
    waiter: RefCell<Option<KeptWaker>>,
}

impl<K, T, E> Default for State<K, T, E> {
    fn default() -> State<K, T, E> {
        State {
            members: RefCell::default(),
            len: Cell::new(0),
            ended: RefCell::default(),
            running: Cell::new(0),
            subscription: RefCell::default(),
            waiter: RefCell::default(),
        }
    }
}

impl<K: 'static, T: 'static, E: 'static> State<K, T, E> {
    /// Adds a task that was just created.
    pub(super) fn add(self: &Rc<Self>, member: Member<K, T, E>) {
        let record = member.task.record().clone();
        let key = self.members.borrow_mut().join(member);
        self.len.set(self.len.get() + 1);
        self.running.set(self.running.get() + 1);
        if record.has(Flag::DONE) {
            return self.clone().task_ended(key.number(), &record); // in its first poll, when it was spawned
        }
        let mut subscription = self.subscription.borrow_mut();
        let subscription =
            subscription.get_or_insert_with(|| Subscription::new(&record.owner, self.clone()));
        subscription.subscribe(&record, key.number(), || self.clone());
    }

    pub(super) fn len(&self) -> usize {
        self.len.get()
    }

    pub(super) fn running(&self) -> usize {
        self.running.get()
    }

    /// Takes the member out that ended first.
    pub(super) fn take_ended(&self) -> Option<Member<K, T, E>> {
        let key = self.ended.borrow_mut().pop_front()?;
        let left = self.members.borrow_mut().leave(key);
        self.len.set(self.len.get() - 1);
        match left {
            Some(Left::InLine(member)) => Some(member),
            _ => unreachable!("a member stays until it is taken"),
        }
    }

    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Option<Member<K, T, E>>> {
        if let Some(member) = self.take_ended() {
            return Poll::Ready(Some(member));
        }
        if self.len.get() == 0 {
            return Poll::Ready(None);
        }
        if KeptWaker::replace_in(&self.waiter, cx.waker()) && !self.ended.borrow().is_empty() {
            cx.waker().wake_by_ref(); // a task ended while a foreign waker was cloned
        }
        checkpoint::waits();
        Poll::Pending
    }

    pub(super) fn forget_waiter(&self) {
        let waiter = self.waiter.take();
        drop(waiter); // after the borrow: it may run anything
    }

    /// An observer is told that the current task waits for the members.
    #[cold]
    pub(super) fn tell_wait(&self) {
        if self.running.get() > MOST_LISTED {
            return checkpoint::tell_wait(Wait::Other { what: "the tasks of a set" });
        }
        checkpoint::tell_wait_for_tasks("the first", |note| {
            self.members.borrow().iter().for_each(|member| note(member.task.record()));
        });
    }

    /// Cancels those that run whose keys are wanted; says how many. Their records are copied first, because a cancel may end one.
    /// `is_wanted` may run any code: the caller lends the set, so no member comes or goes meanwhile.
    pub(super) fn cancel_where(&self, is_wanted: impl Fn(&K) -> bool, reason: &Reason) -> usize {
        let records: Vec<RecordRef> = {
            let members = self.members.borrow();
            let running = members.iter().filter(|member| !member.task.record().has(Flag::DONE));
            let wanted = running.filter(|member| is_wanted(&member.key));
            wanted.map(|member| member.task.record().clone()).collect()
        };
        records.iter().filter(|record| record.cancel(reason)).count()
    }

    /// Takes all members out, in the order of their creation. From now on no key is asked for.
    pub(super) fn close(&self) -> Vec<Member<K, T, E>> {
        self.forget_waiter();
        let mut members = self.members.take();
        std::iter::from_fn(move || members.pop()).collect()
    }
}

impl<K: 'static, T: 'static, E: 'static> Subscriber for State<K, T, E> {
    fn task_ended(self: Rc<Self>, key: usize, _record: &RecordRef) {
        self.running.set(self.running.get() - 1);
        if self.running.get() == 0 {
            let subscription = self.subscription.take();
            drop(subscription);
        }
        self.ended.borrow_mut().push_back(WaitKey::of_number(key));
        let waiter = self.waiter.take();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    fn waiter(&self) -> Option<KeptWaker> {
        self.waiter.borrow().clone()
    }
}
