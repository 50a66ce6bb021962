//! Which tasks wait for which work. A dump asks that.

use std::panic::Location;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Slot;
use crate::engine::Engine;
use crate::kept_waker::GuardedWaker;

/// A slot of any type.
pub(super) trait HasWaiter {
    /// The waker of the task that waits. `None` if there is none, or the work is ending just now.
    fn waiter(&self) -> Option<Arc<GuardedWaker>>;
}

impl<T> HasWaiter for Mutex<Slot<T>> {
    fn waiter(&self) -> Option<Arc<GuardedWaker>> {
        self.try_lock()?.waiter.clone() // a lock that was held at a fork would block for ever
    }
}

impl Engine {
    /// The wakers of the tasks that wait for work on other threads, each with where that was begun.
    pub(crate) fn waiters_for_work(&self) -> Vec<(Arc<GuardedWaker>, &'static Location<'static>)> {
        let jobs = self.blocking.outstanding.jobs.borrow();
        jobs.values().filter_map(|job| Some((job.slot.waiter()?, job.began_at))).collect()
    }

    /// How many closures are at work on other threads, or wait for one.
    pub(crate) fn work_out(&self) -> usize {
        self.blocking.outstanding.jobs.borrow().len()
    }
}
