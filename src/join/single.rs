//! **Join**: the wait for the end of one task. It is the checkpoint under every handle.
//!
//! A handle that is polled registers a waker with its task once, replaces it if it is polled with another one, and removes it when
//! it is dropped. To find its entry among the joiners by a search would cost O(n) each time. So a join keeps the position of its
//! entry.
//!
//! When a cancel is delivered to a join, the join does not stop waiting. It forwards the cancel to its task and *holds* its branch
//! until that task has finished its clean-up. If the task ends as cancelled, the cancel then comes out of the join. If the task
//! swallows the cancel, the join is simply ready. To take the outcome is up to the handle.

use std::cell::Cell;
use std::mem;
use std::task::{Context, Poll};

use super::joiners::{FirstJoiner, Joiner};
use crate::base::id::TaskId;
use crate::delivery::{Told, Visit, checkpoint};
use crate::kept_waker::KeptWaker;
use crate::kernel::current;
use crate::kernel::record::{Flag, RecordRef};
use crate::wait_list::WaitKey;

/// One handle's wait for the end of its task.
pub(crate) struct Join {
    position: Cell<Position>,
    told: Told,
}

/// Where the handle is among the joiners of its task: not at all, in the task's header, or in the list in the cold part.
///
/// It is packed into one number, so that a handle fits into two words and is passed in registers. The two largest numbers mean the
/// first two cases. Any other number is the key of an entry in the list; keys never get that large.
#[derive(Clone, Copy, PartialEq)]
struct Position(u32);

impl Position {
    const NONE: Position = Position(u32::MAX);
    const HEADER: Position = Position(u32::MAX - 1);

    fn listed(key: WaitKey) -> Position {
        let number = u32::try_from(key.number()).ok().filter(|number| *number < Position::HEADER.0);
        Position(number.expect("more than two billion waiters"))
    }

    /// Only if it is in the list.
    fn key(self) -> WaitKey {
        WaitKey::of_number(self.0 as usize)
    }
}

impl Join {
    pub(crate) fn new() -> Join {
        Join { position: Cell::new(Position::NONE), told: Told::default() }
    }

    /// Ready when the task has ended.
    #[inline]
    pub(crate) fn poll(&self, record: &RecordRef, cx: &mut Context<'_>) -> Poll<()> {
        if !checkpoint::is_plain() {
            return self.poll_slow_path(record, cx);
        }
        self.poll_on(record, cx)
    }

    #[inline]
    fn poll_on(&self, record: &RecordRef, cx: &mut Context<'_>) -> Poll<()> {
        if record.has(Flag::DONE) {
            self.position.set(Position::NONE); // the end of the task has emptied its list of joiners
            current::with_task(|current| current.stops_awaiting(record));
            return Poll::Ready(());
        }
        wait_for_end(record, &self.position, cx);
        if record.has(Flag::DONE) {
            cx.waker().wake_by_ref(); // the task ended while a foreign waker was cloned
        }
        checkpoint::waits();
        Poll::Pending
    }

    #[cold]
    #[inline(never)]
    fn poll_and_tell(&self, record: &RecordRef, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.poll_on(record, cx);
        if polled.is_pending() {
            checkpoint::tell_wait_for(record);
        }
        polled
    }

    /// While a cancel is being delivered, or an observer is told.
    #[cold]
    #[inline(never)]
    fn poll_slow_path(&self, record: &RecordRef, cx: &mut Context<'_>) -> Poll<()> {
        // Is the cancel for this join? And has it been forwarded to the task already, at once along the chain or by this join?
        let is_forwarded = match checkpoint::visit(&self.told, cx) {
            Visit::Go => return self.poll_and_tell(record, cx),
            Visit::Wait => {
                checkpoint::is_asked(record);
                return Poll::Pending;
            }
            Visit::Interrupted(is_forwarded) => is_forwarded || self.told.holds(),
        };
        let engine = current::running();
        let engine = engine.as_ref().expect("a cancel is delivered by a loop");
        // The task swallowed it: the await goes on with the task's outcome.
        if is_forwarded && record.has(Flag::DONE) && !record.has(Flag::CANCELLED) {
            engine.was_swallowed(&self.told);
            return self.poll_and_tell(record, cx);
        }
        // Otherwise forward it, unless that is done. A task that has ended, or awaits this one in a circle, does not take it.
        let is_told =
            is_forwarded || current::task().is_some_and(|current| record.cancel_through(&current));
        // Hold the branch until the task has finished its clean-up.
        if is_told && !record.has(Flag::DONE) {
            if !self.told.holds() && TaskId::of(cx.waker()).is_none() {
                self.leave(record); // so that the foreign waker is kept anew: its scope sees by that that the branch is alive
            }
            engine.holds(&self.told);
            return self.poll_and_tell(record, cx);
        }
        // No more to wait for: the cancel comes out here, with the reason of the awaited task if that was cancelled.
        if record.has(Flag::CANCELLED) {
            checkpoint::set_reason(record.reason());
        }
        checkpoint::comes_out(cx);
        Poll::Pending
    }

    #[inline]
    pub(crate) fn leave(&self, record: &RecordRef) {
        if self.position.get() != Position::NONE {
            stop_waiting(record, self.position.replace(Position::NONE));
        }
    }
}

/// Notes that the current task awaits this one, and registers the waker of `cx` with it unless it is registered already.
#[inline(never)]
fn wait_for_end(record: &RecordRef, position: &Cell<Position>, cx: &Context<'_>) {
    current::with_task(|current| {
        if current == record {
            awaits_itself(record);
        }
        current.starts_awaiting(record);
    });
    let waker = cx.waker();
    let ours = TaskId::of(waker);
    // An entry from an earlier poll: keep it, or replace its waker.
    match position.get() {
        Position::NONE => {}
        Position::HEADER if ours.map(FirstJoiner::Task) == Some(record.first_joiner()) => return,
        Position::HEADER => record.set_first_joiner(FirstJoiner::None),
        listed => {
            let key = listed.key();
            let joiners = &record.cold().joiners;
            let is_registered = match joiners.borrow_mut().get_mut(key) {
                Some(Joiner::Waker(kept)) => kept.will_wake(waker),
                _ => true,
            };
            if !is_registered {
                let waker = Joiner::Waker(KeptWaker::of(waker)); // outside a borrow: it may run anything
                let mut joiners = joiners.borrow_mut();
                let old = joiners.get_mut(key).map(|kept| mem::replace(kept, waker));
                drop(joiners);
                drop(old); // after the borrow, for the same reason
            }
            return;
        }
    }
    // A new entry. The header is only for the very first joiner, so that joiners are served in the order in which they came.
    match ours {
        Some(id) if record.has_no_joiner() => {
            record.set_first_joiner(FirstJoiner::Task(id));
            position.set(Position::HEADER);
        }
        _ => {
            let waker = Joiner::Waker(KeptWaker::of(waker)); // before the borrow: it may run anything
            let key = record.cold().joiners.borrow_mut().join(waker);
            position.set(Position::listed(key));
        }
    }
}

#[cold]
fn awaits_itself(record: &RecordRef) -> ! {
    panic!(
        "task '{}' (spawned at {}): a task cannot await itself: it would wait forever; return, or await another task",
        record.name(),
        record.spawned_at()
    )
}

fn stop_waiting(record: &RecordRef, position: Position) {
    current::with_task(|current| current.stops_awaiting(record));
    if record.has(Flag::DONE) {
        return; // the end of the task has emptied its list of joiners
    }
    match position {
        Position::NONE => {}
        Position::HEADER => record.set_first_joiner(FirstJoiner::None),
        listed => {
            let left = record.cold().joiners.borrow_mut().leave(listed.key());
            drop(left); // after the borrow: it may run anything
        }
    }
}
