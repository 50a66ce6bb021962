//! Records each wait of a program in a list while it is pending. When nothing is ready, and only the passing of time could make
//! anything happen, no wait in the list may already be satisfied. If one is, its wake-up was lost.

use std::cell::{Cell, RefCell};

use loopwheel::{Instant, TaskRef, try_current_task};

use crate::program::Until;
use crate::world::World;

pub(crate) enum What {
    Join(TaskRef),
    Some(Vec<TaskRef>, Until),
    Time(Instant),
    Event(usize),
    Promise(usize),
    Lock(usize),
    Semaphore(usize),
    Bounded(usize),
    Get(usize),
    Put(usize),
}

/// A wait, and the task that waits. A cancelled task has been interrupted there, and may wait for clean-up beside it.
type Wait = (What, Option<TaskRef>);

#[derive(Default)]
pub(crate) struct Waits {
    list: RefCell<Vec<Option<Wait>>>,
    free: RefCell<Vec<usize>>,
    /// Something is polled with a waker that may not wake it, so what it was called for may stay unused.
    pub(crate) lines_may_stand: Cell<bool>,
}

/// A pending wait; dropped when it is over or given up.
pub(crate) struct Waiting {
    place: Option<usize>,
}

impl Waits {
    pub(crate) fn begin(&self, what: What) -> Waiting {
        let free = self.free.borrow_mut().pop();
        let mut list = self.list.borrow_mut();
        let place = free.unwrap_or_else(|| {
            list.push(None);
            list.len() - 1
        });
        list[place] = Some((what, try_current_task().ok()));
        Waiting { place: Some(place) }
    }

    /// Returns a wait that is not watched, because its waker may not work.
    pub(crate) fn unwatched() -> Waiting {
        Waiting { place: None }
    }

    pub(crate) fn clear(&self) {
        let list = self.list.take();
        self.free.take();
        drop(list);
    }

    /// Finds the first wait that is satisfied but still pending.
    pub(crate) fn find_lost(&self, world: &World, now: Instant) -> Option<String> {
        let lines_stand = self.lines_may_stand.get();
        self.list.borrow().iter().flatten().find_map(|(what, by)| {
            if by.as_ref().is_some_and(|by| by.cancelling() > 0) {
                return None;
            }
            let done = TaskRef::is_done;
            match what {
                What::Join(task) => {
                    task.is_done().then(|| format!("the end of task {}", task.name()))
                }
                What::Some(tasks, until) => {
                    let is_due = match until {
                        Until::FirstCompleted => tasks.iter().any(done),
                        Until::FirstException => {
                            tasks.iter().all(done) || tasks.iter().any(TaskRef::is_failed)
                        }
                        Until::AllCompleted => tasks.iter().all(done),
                    };
                    is_due.then(|| format!("{until:?} of {} tasks", tasks.len()))
                }
                What::Time(when) => (*when < now).then(|| format!("the time {when}")),
                What::Event(n) => world.events[*n].is_set().then(|| format!("event {n}")),
                What::Promise(n) => world.promise(*n).is_set().then(|| format!("promise {n}")),
                _ if lines_stand => None,
                What::Lock(n) => (!world.locks[*n].is_locked()).then(|| format!("lock {n}")),
                What::Semaphore(n) => {
                    (world.semaphores[*n].available() > 0).then(|| format!("semaphore {n}"))
                }
                What::Bounded(n) => {
                    (world.bounded[*n].available() > 0).then(|| format!("bounded semaphore {n}"))
                }
                What::Get(n) => {
                    let queue = &world.queues[*n];
                    (!queue.is_empty() || queue.is_shut_down())
                        .then(|| format!("an item of queue {n}"))
                }
                What::Put(n) => {
                    let queue = &world.queues[*n];
                    (!queue.is_full() || queue.is_shut_down()).then(|| format!("room in queue {n}"))
                }
            }
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let (Some(place), Some(world)) = (self.place, World::current()) else { return };
        let what = world.waits.list.borrow_mut().get_mut(place).and_then(Option::take);
        if what.is_some() {
            world.waits.free.borrow_mut().push(place);
        }
        drop(what);
    }
}
