//! **Subscribers**: a wait set or a group, which waits for the ends of many tasks at once.
//!
//! One boxed joiner for each task would do, at the cost of a hundred thousand allocations to gather a hundred thousand tasks. So a
//! subscriber is entered once into a table of the loop. Each of its tasks stores in its header the key of that entry, and its own
//! index among the subscriber's tasks. If the task has a joiner already, belongs to another loop, or has a number too large for the
//! header's word, the subscriber goes into the list in the task's cold part.

use std::rc::Rc;

use super::joiners::{FirstJoiner, Joiner};
use crate::base::id::{MAX_LOOPS, MAX_SLOTS};
use crate::base::slab::Slab;
use crate::engine::Engine;
use crate::kept_waker::KeptWaker;
use crate::kernel::record::RecordRef;
use crate::wait_list::WaitKey;

/// A waiter for the ends of several tasks.
pub(crate) trait Subscriber {
    /// A task has ended. This only counts it, inside a borrow of the table, and runs nothing. Whether `task_ended` is to be called.
    fn counts_end(&self, _record: &RecordRef) -> bool {
        true
    }

    /// A task has ended, and was counted. It is called in the middle of that task's end, so it must be quick.
    fn task_ended(self: Rc<Self>, index: usize, record: &RecordRef);

    /// For a dump: the waker of the task that waits for the ends, if one does.
    fn waiter(&self) -> Option<KeptWaker> {
        None
    }
}

/// The subscribers of one loop.
pub(crate) type Subscribers = Slab<Rc<dyn Subscriber>>;

/// A subscriber's entry in the table. The table keeps the subscriber alive, so the subscriber must drop this when it stops waiting.
pub(crate) struct Subscription {
    owner: Rc<Engine>,
    key: u32,
    /// How many indices fit a header's word beside the key.
    indices: u32,
}

impl Subscription {
    pub(crate) fn new(owner: &Rc<Engine>, subscriber: Rc<dyn Subscriber>) -> Subscription {
        let key = owner.subscribers.borrow_mut().insert(subscriber);
        let indices = if key as usize + 1 < MAX_LOOPS { MAX_SLOTS as u32 } else { 0 };
        Subscription { owner: owner.clone(), key, indices }
    }

    /// Subscribes to the end of a task that has not ended, under this index. Returns a key if the cold part's list is used.
    #[inline]
    pub(crate) fn subscribe(
        &self,
        record: &RecordRef,
        index: usize,
        subscriber: impl FnOnce() -> Rc<dyn Subscriber>,
    ) -> Option<WaitKey> {
        let fits = index < self.indices as usize;
        if fits && Rc::ptr_eq(&self.owner, &record.owner) && record.has_no_joiner() {
            record.set_first_joiner(self.joiner(index));
            return None;
        }
        let subscriber = Joiner::Subscriber(subscriber(), index);
        Some(record.cold().joiners.borrow_mut().join(subscriber))
    }

    pub(crate) fn unsubscribe(&self, record: &RecordRef, index: usize, key: Option<WaitKey>) {
        if let Some(key) = key {
            let left = record.cold().joiners.borrow_mut().leave(key);
            drop(left); // after the borrow: it may be the last reference
        } else if record.first_joiner() == self.joiner(index) {
            record.set_first_joiner(FirstJoiner::None);
        }
    }

    fn joiner(&self, index: usize) -> FirstJoiner {
        FirstJoiner::Subscriber { key: self.key, index }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let subscriber = self.owner.subscribers.borrow_mut().remove(self.key);
        drop(subscriber); // after the borrow
    }
}
