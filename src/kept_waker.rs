//! **Kept wakers**: what a future stores of the waker that it was polled with.
//!
//! The usual future stores a clone. That is a waste where the waker is the crate's own: such a waker is an id, which can be copied
//! at no cost, and a clone of it would count as one that foreign code holds (`kernel/waker.rs`). And it is dangerous where the
//! waker is foreign (of a set of futures, of another executor): it may run any code when it is cloned, woken or dropped.
//!
//! So a kept waker is an id or a counted foreign waker. A panic of a foreign one, woken or dropped, is reported.
//!
//! There is a third problem. A checkpoint inside a set such as `FuturesUnordered` is polled only if the set's own waker is woken. A
//! cancel of the task would not reach it. So each task has a list of the foreign wakers that its checkpoints keep, and a cancel
//! wakes them all: the sets then poll what is in them.
//!
//! It stands on `base`, the kernel and `foreign`.

use std::cell::RefCell;
use std::sync::{Arc, Weak};
use std::task::Waker;

use crate::base::id::TaskId;
use crate::foreign::{call, drop_reported};
use crate::kernel::current;
use crate::kernel::waker::wake;

/// A waker that a future keeps until it is woken.
#[derive(Clone)]
pub(crate) enum KeptWaker {
    Ours(TaskId),
    Foreign(Arc<GuardedWaker>),
}

impl KeptWaker {
    /// A waker that wakes what `waker` wakes. One of ours is copied, a foreign one is cloned.
    ///
    /// A foreign `clone` may run any code: the caller holds no borrow and no lock, and its state is whole. A panic goes to the
    /// caller.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> KeptWaker {
        TaskId::of(waker).map_or_else(|| KeptWaker::of_foreign(waker), KeptWaker::Ours)
    }

    /// A counted clone, even of one of ours. The same conditions hold as for [`of`](KeptWaker::of).
    #[cold]
    pub(crate) fn of_foreign(waker: &Waker) -> KeptWaker {
        KeptWaker::Foreign(GuardedWaker::of(waker))
    }

    /// The same as [`of`](KeptWaker::of) for one of ours, and `None` for a foreign one: no foreign code runs.
    #[inline]
    pub(crate) fn of_ours(waker: &Waker) -> Option<KeptWaker> {
        TaskId::of(waker).map(KeptWaker::Ours)
    }

    /// A waker that wakes nothing, stored until the real one is set.
    pub(crate) fn of_nothing() -> KeptWaker {
        KeptWaker::Foreign(Arc::new(GuardedWaker(None)))
    }

    #[inline]
    pub(crate) fn will_wake(&self, waker: &Waker) -> bool {
        match self {
            KeptWaker::Ours(id) => TaskId::of(waker) == Some(*id),
            KeptWaker::Foreign(kept) => kept.will_wake(waker),
        }
    }

    /// Wakes it. A foreign waker may run any code: the caller holds no borrow and no lock.
    #[allow(clippy::inline_always)] // it is one comparison before the usual wake-up
    #[inline(always)]
    pub(crate) fn wake(self) {
        match self {
            KeptWaker::Ours(id) => wake(id),
            KeptWaker::Foreign(kept) => GuardedWaker::wake(kept),
        }
    }

    /// The id of the task, if it is one of ours.
    pub(crate) fn id(&self) -> Option<TaskId> {
        match self {
            KeptWaker::Ours(id) => Some(*id),
            KeptWaker::Foreign(_) => None,
        }
    }
}

/// The foreign wakers that the checkpoints of one task keep. A cancel wakes them all.
///
/// The references are weak: a waker leaves the list by being dropped where it is kept.
#[derive(Default)]
pub(crate) struct ForeignWakers {
    /// In the order in which they were added, each with how many were added before it.
    wakers: Vec<(u64, Weak<GuardedWaker>)>,
    added: u64,
    /// At this length the list is swept: dropped wakers are removed. Twice what was alive at the last sweep, so a sweep costs
    /// each waker O(1).
    sweep_at: usize,
}

impl ForeignWakers {
    fn add(&mut self, waker: &Arc<GuardedWaker>) {
        if self.wakers.len() >= self.sweep_at {
            self.wakers.retain(|(_, waker)| is_kept(waker));
            self.sweep_at = 2 * self.wakers.len() + 8;
        }
        self.wakers.push((self.added, Arc::downgrade(waker)));
        self.added += 1;
    }

    /// The wakers that are still kept.
    pub(crate) fn alive(&self) -> Vec<KeptWaker> {
        let alive = self.wakers.iter().filter_map(|(_, waker)| waker.upgrade());
        alive.map(KeptWaker::Foreign).collect()
    }

    /// Whether any is still kept.
    pub(crate) fn keeps_any(&self) -> bool {
        self.wakers.iter().any(|(_, waker)| is_kept(waker))
    }

    /// How many wakers were ever added.
    pub(crate) fn added(&self) -> u64 {
        self.added
    }

    /// The wakers that were added since [`added`](ForeignWakers::added) had this value, last to first.
    pub(crate) fn since(&self, added: u64) -> impl Iterator<Item = Weak<GuardedWaker>> {
        let later = self.wakers.iter().rev().take_while(move |(before, _)| *before >= added);
        later.map(|(_, waker)| waker.clone())
    }
}

fn is_kept(waker: &Weak<GuardedWaker>) -> bool {
    waker.strong_count() > 0
}

/// A waker whose panics are reported, when it is woken and when it is dropped, on any thread. `None` wakes nothing.
pub(crate) struct GuardedWaker(Option<Waker>);

impl GuardedWaker {
    /// A real clone, even of one of ours: for a waker that is kept where other threads can wake it. A foreign one is added to
    /// the list of the current task.
    ///
    /// A foreign `clone` may run any code: the caller holds no borrow and no lock. A panic goes to the caller.
    pub(crate) fn of(waker: &Waker) -> Arc<GuardedWaker> {
        let kept = Arc::new(GuardedWaker(Some(waker.clone())));
        if TaskId::of(waker).is_none() {
            current::with_current_loop(|engine| {
                engine.current.with_hidden(|task| {
                    task.cold().foreign_wakers.borrow_mut().add(&kept);
                });
            });
        }
        kept
    }

    /// The same, but one of ours is not cloned, so the loop does not take its task for one that can be woken from outside. The
    /// caller counts in another way what the task waits for.
    pub(crate) fn of_counted(waker: &Waker) -> Arc<GuardedWaker> {
        match TaskId::of(waker) {
            Some(id) => Arc::new(GuardedWaker(Some(id.waker()))),
            None => GuardedWaker::of(waker),
        }
    }

    pub(crate) fn will_wake(&self, waker: &Waker) -> bool {
        self.0.as_ref().is_some_and(|kept| kept.will_wake(waker))
    }

    /// The waker itself, to be cloned.
    pub(crate) fn waker(&self) -> &Waker {
        self.0.as_ref().unwrap_or_else(|| Waker::noop())
    }

    /// Wakes it. A foreign waker may run any code: the caller holds no borrow and no lock.
    pub(crate) fn wake(this: Arc<GuardedWaker>) {
        match Arc::try_unwrap(this) {
            Ok(mut last) => {
                if let Some(waker) = last.0.take() {
                    call("a waker", || waker.wake());
                }
            }
            Err(shared) => {
                if let Some(waker) = &shared.0 {
                    call("a waker", || waker.wake_by_ref());
                }
            }
        }
    }
}

impl Drop for GuardedWaker {
    fn drop(&mut self) {
        if let Some(waker) = self.0.take() {
            drop_reported(waker);
        }
    }
}

impl KeptWaker {
    /// Stores `waker` in `slot`. False if the waker that is there wakes the same task or future: then nothing changes.
    ///
    /// The clone and the drop of a foreign waker may run any code, and that code may use `slot`. So neither happens inside a
    /// borrow. A panic of the clone goes to the caller, and `slot` is unchanged then.
    pub(crate) fn replace_in(slot: &RefCell<Option<KeptWaker>>, waker: &Waker) -> bool {
        if slot.borrow().as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            return false;
        }
        let kept = KeptWaker::of(waker);
        let old = slot.replace(Some(kept));
        drop(old);
        true
    }
    /// The same for a slot that keeps foreign wakers only: one of this crate's empties it. Returns whether the slot has changed.
    pub(crate) fn replace_foreign_in(slot: &RefCell<Option<KeptWaker>>, waker: &Waker) -> bool {
        if TaskId::of(waker).is_none() {
            return KeptWaker::replace_in(slot, waker);
        }
        let old = slot.take();
        old.is_some() // it is dropped here, after the borrow
    }
}
