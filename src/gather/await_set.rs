//! **The await of a set of tasks**: the checkpoint under `gather` and `race`.
//!
//! A join awaits one task, forwards a cancel to it, and holds its branch until the task has ended. This does the same for the
//! members of a wait set. What is awaited differs: all of them, the first failure, the first value. So the caller says in each poll
//! whether the set is due for it.
//!
//! It stands on the kernel, `awaited`, `delivery` and `join`.

use std::rc::Rc;
use std::task::{Context, Poll};

use crate::awaited::CancelTargets;
use crate::delivery::{Told, Visit, checkpoint};
use crate::join::{Members, WaitSet, WakeAt};
use crate::kernel::current;
use crate::kernel::record::Flag;

/// Awaits a wait set.
pub(crate) struct AwaitSet<M: Members> {
    set: Rc<WaitSet<M>>,
    polled: bool,
    /// The set was due: its members are awaited no more.
    ended: bool,
    told: Told,
}

impl<M: Members> AwaitSet<M> {
    pub(crate) fn new(wake_at: WakeAt, members: M) -> AwaitSet<M> {
        AwaitSet::marking(wake_at, members, Flag::NONE)
    }

    /// The same, and gives each member the flags `marks`.
    pub(crate) fn marking(wake_at: WakeAt, members: M, marks: Flag) -> AwaitSet<M> {
        let set = WaitSet::new(wake_at, members, marks);
        AwaitSet { set, polled: false, ended: false, told: Told::default() }
    }

    /// The same as `new` for members that were awaited before: this await need not wait for a turn.
    pub(crate) fn go_on(wake_at: WakeAt, members: M) -> AwaitSet<M> {
        AwaitSet { polled: true, ..AwaitSet::new(wake_at, members) }
    }

    pub(crate) fn set(&self) -> &WaitSet<M> {
        &self.set
    }

    /// Whether the set was due.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Waits from now on for other ends of the members.
    pub(crate) fn wake_at(&mut self, wake_at: WakeAt) {
        if let Some(members) = self.set.leave() {
            self.set = WaitSet::new(wake_at, members, Flag::NONE);
        }
    }

    /// Stops waiting. Returns the members, if they are still there.
    pub(crate) fn leave(&mut self) -> Option<M> {
        if self.polled && !self.ended {
            current::with_task(|current| current.stops_awaiting_set(&self.set));
        }
        self.set.leave()
    }

    /// Ready when `is_due` says so of the set. It is asked once the set has been waited for, and whenever it is polled after that.
    #[inline]
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        is_due: impl FnMut(&WaitSet<M>) -> bool,
    ) -> Poll<()> {
        if checkpoint::is_plain() {
            self.poll_on(cx, is_due)
        } else {
            self.poll_slow_path(cx, is_due)
        }
    }

    #[inline]
    fn poll_on(
        &mut self,
        cx: &mut Context<'_>,
        is_due: impl FnMut(&WaitSet<M>) -> bool,
    ) -> Poll<()> {
        if self.is_due(is_due) {
            current::with_task(|current| current.stops_awaiting_set(&self.set));
            self.ended = true;
            return Poll::Ready(());
        }
        if self.set.is_due() {
            cx.waker().wake_by_ref(); // as in asyncio, it waits for a turn even if all had ended before
        }
        self.polled = true;
        self.set.wait(cx);
        current::with_task(|current| current.starts_awaiting_set(self.set.clone()));
        checkpoint::waits();
        Poll::Pending
    }

    fn is_due(&self, mut is_due: impl FnMut(&WaitSet<M>) -> bool) -> bool {
        self.polled && is_due(&self.set) || self.set.is_empty()
    }

    fn poll_and_tell(
        &mut self,
        cx: &mut Context<'_>,
        is_due: impl FnMut(&WaitSet<M>) -> bool,
    ) -> Poll<()> {
        let polled = self.poll_on(cx, is_due);
        self.set.told(polled)
    }

    /// While a cancel is being delivered, or an observer is told.
    #[cold]
    fn poll_slow_path(
        &mut self,
        cx: &mut Context<'_>,
        mut is_due: impl FnMut(&WaitSet<M>) -> bool,
    ) -> Poll<()> {
        // Is the cancel for this await? And has it been forwarded to the members already?
        let is_forwarded = match checkpoint::visit(&self.told, cx) {
            Visit::Go => return self.poll_and_tell(cx, is_due),
            Visit::Wait => return Poll::Pending,
            Visit::Interrupted(is_forwarded) => is_forwarded || self.told.holds(),
        };
        if self.ended {
            checkpoint::comes_out(cx); // again: the members that are left are awaited no more
            return Poll::Pending;
        }
        let engine = current::running().expect("a cancel is delivered by a loop");
        if is_forwarded && self.is_due(&mut is_due) {
            engine.was_swallowed(&self.told); // if a member was cancelled after all, the owner lets the cancel out again
            return self.poll_and_tell(cx, is_due);
        }
        // Otherwise forward it to all that are pending; hold the branch until the set is due.
        let is_told = is_forwarded
            || current::task().is_some_and(|current| {
                let targets = self.set.targets();
                self.set.note_forwarded();
                let told = targets.iter().map(|member| member.cancel_through(&current));
                told.fold(false, |any, is_told| any | is_told)
            });
        if is_told {
            if !self.told.holds() {
                self.set.forget_waiter(); // a foreign waker is kept anew: its scope sees by that that the branch is alive
            }
            engine.holds(&self.told);
            return self.poll_and_tell(cx, is_due);
        }
        checkpoint::comes_out(cx); // no member took it
        Poll::Pending
    }
}
