//! **Marking**: the first of the two polls of a delivery to several.
//!
//! Each checkpoint that is polled notes the number of this delivery, and does nothing else. A set of futures polls only what was
//! woken, and perhaps not all of that in one poll. So all foreign wakers that the task's checkpoints keep are woken first, and the
//! poll is repeated while it marks more checkpoints. Before the second poll, the wakers of those that were marked are woken.

use std::task::Poll;

use super::{Inside, Scope, Seen, foreign_wakers};
use crate::deaf::{deaf, listening};
use crate::delivery::Signal;
use crate::engine::Engine;
use crate::kept_waker::KeptWaker;
use crate::kernel::record::RecordRef;

/// After so many polls in vain, a scope expects no more of a set. Each polls at least one more of its futures, and more
/// than one if they do not wake themselves.
pub(crate) const POLLS_IN_VAIN: usize = 64;

impl Scope {
    /// The first poll of a delivery to several. The caller makes the second.
    pub(super) fn mark<R>(
        &self,
        engine: &Engine,
        task: Option<&RecordRef>,
        is_task: bool,
        body: &mut dyn FnMut() -> Poll<R>,
    ) -> Seen<R> {
        let d = &engine.deliveries;
        // A task that delivers polls every set in both steps, and need not hear that they wake it. If a frame delivers, the task
        // hears of it: the wakers may be of sets beside the frame, which are polled in the next turn.
        let deaf_task = task.filter(|_| is_task);
        let all = foreign_wakers(task);
        let in_sets = all.len();
        d.signal.set(Signal::Mark);
        deaf(deaf_task, || all.into_iter().for_each(KeptWaker::wake));
        let most_in_vain = POLLS_IN_VAIN + in_sets;
        let (mut known, mut in_vain, mut polls_left) = (0, 0, 2 * in_sets + most_in_vain);
        let marked = loop {
            let is_again = known > 0 || in_vain > 0;
            let (marked, was_woken) = listening(task, is_task || is_again, || {
                self.poll_once(engine, task, is_task, body)
            });
            let by_now = d.marked_wakers.borrow().len();
            in_vain = if by_now > known { 0 } else { in_vain + 1 };
            known = by_now;
            // A set around a frame may have used up the waker by which a set in the frame would wake the task.
            let is_cut_short = was_woken || !is_task && in_vain < 2;
            if !((in_sets > 0 || was_woken) && is_cut_short)
                || matches!(marked, Seen::Ready(_))
                || in_vain == most_in_vain
                || polls_left == 0
            {
                break marked;
            }
            polls_left -= 1;
        };
        d.signal.set(Signal::Deliver);
        let wakers = d.take_marked_wakers();
        deaf(deaf_task, || wakers.iter().cloned().for_each(KeptWaker::wake));
        self.keeps(wakers);
        marked
    }

    /// Keeps the foreign wakers of checkpoints that keep none themselves. The next delivery wakes them.
    pub(crate) fn keeps(&self, wakers: Vec<KeptWaker>) {
        if !wakers.is_empty() || self.memory.get().is_some() {
            let before = self.memory().interrupted.replace(wakers);
            drop(before); // after the borrow: it may run anything
        }
    }

    /// So many polls of the sets in it reach each of their futures, even if some wake themselves in each poll.
    pub(super) fn polls_of_sets(&self) -> usize {
        let Some(memory) = self.memory.get() else { return POLLS_IN_VAIN };
        memory.kept_inside.borrow().len() + memory.interrupted.borrow().len() + POLLS_IN_VAIN
    }

    /// After a poll that marks: notes what it has found in the scope.
    pub(crate) fn judge_marks<R>(&self, engine: &Engine, met_before: u32) -> Seen<R> {
        let d = &engine.deliveries;
        self.is_marked.set(true);
        if !d.marked_wakers.borrow().is_empty() {
            self.has_sets.set(true);
        }
        if d.met.get() != met_before {
            self.inside.set(Inside::Checkpoints);
        } else if self.inside.get() == Inside::Unknown {
            self.inside.set(Inside::OnlyForeign);
        }
        if self.inside.get() == Inside::OnlyForeign {
            d.met.update(|met| met.wrapping_add(1));
        }
        Seen::Pending
    }
}
