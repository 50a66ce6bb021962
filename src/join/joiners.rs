//! **Joiners**: the wakers, callbacks and subscribers that wait for the end of one task.
//!
//! A list of wakers in each record would do, at the cost of an allocation for nearly every task. Most tasks have one joiner, so the
//! first one is packed into a word of the header: a task id, or a subscriber (`subscribers.rs`). A callback, a foreign waker and
//! every later joiner go into a list in the cold part. Joiners are served in the order in which they came.

use std::rc::Rc;

use super::subscribers::Subscriber;
use crate::base::id::{TaskId, pack, unpack};
use crate::cold::Cold;
use crate::kept_waker::KeptWaker;
use crate::kernel::record::{Header, RecordRef};
use crate::kernel::waker::wake;
use crate::task_local::Locals;
use crate::wait_list::WaitList;

/// All joiners of a task except the one in the header.
pub(crate) type Joiners = WaitList<Joiner>;

/// One entry of that list.
pub(crate) enum Joiner {
    Waker(KeptWaker),
    /// Called in a later turn, with the task-locals of the task that added it.
    Callback(Box<dyn FnOnce(RecordRef)>, Option<Locals>),
    /// Notified at once, with the index of the task among those that it subscribed to.
    Subscriber(Rc<dyn Subscriber>, usize),
}

/// The joiner in the header.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum FirstJoiner {
    None,
    Task(TaskId),
    /// A subscriber on the task's own loop: its key in the loop's table, and the index of the task among its tasks.
    Subscriber {
        key: u32,
        index: usize,
    },
}

impl FirstJoiner {
    /// Packs the joiner. The generation in a task id is never zero, so a word whose generation is zero can mean a subscriber. The
    /// key is stored plus one, so that the word zero means no joiner.
    fn in_word(self) -> usize {
        match self {
            FirstJoiner::None => 0,
            FirstJoiner::Task(id) => id.word(),
            FirstJoiner::Subscriber { key, index } => pack(key as usize + 1, index, 0),
        }
    }

    fn of_word(word: usize) -> FirstJoiner {
        let (key, index, generation) = unpack(word);
        match TaskId::of_word(word) {
            None => FirstJoiner::None,
            Some(id) if generation != 0 => FirstJoiner::Task(id),
            Some(_) => FirstJoiner::Subscriber { key: key as u32 - 1, index },
        }
    }
}

impl Header {
    #[inline]
    pub(crate) fn first_joiner(&self) -> FirstJoiner {
        FirstJoiner::of_word(self.first_joiner.get())
    }

    #[inline]
    pub(crate) fn set_first_joiner(&self, joiner: FirstJoiner) {
        self.first_joiner.set(joiner.in_word());
    }

    /// Whether the next joiner will be the first.
    #[inline]
    pub(crate) fn has_no_joiner(&self) -> bool {
        self.first_joiner.get() == 0
            && self.cold_if_any().is_none_or(|cold| cold.joiners.borrow().is_empty())
    }
}

impl RecordRef {
    /// The task has ended: wakes or notifies the joiner in the header.
    #[allow(clippy::inline_always)] // into `Engine::end`: nearly each task has a joiner there
    #[inline(always)]
    pub(crate) fn wake_first_joiner(&self) {
        let first = self.first_joiner();
        self.set_first_joiner(FirstJoiner::None);
        match first {
            FirstJoiner::None => {}
            FirstJoiner::Task(id) => wake(id),
            FirstJoiner::Subscriber { key, index } => {
                let subscribers = self.owner.subscribers.borrow();
                let subscriber = subscribers.get(key);
                let subscriber = subscriber.expect("a subscriber stays until its tasks have ended");
                if subscriber.counts_end(self) {
                    let subscriber = subscriber.clone();
                    drop(subscribers); // first: a subscriber may run any code
                    subscriber.task_ended(index, self);
                }
            }
        }
    }

    /// Serves the list in the cold part. It is borrowed for one `pop` at a time, because a joiner may run anything.
    #[inline(never)]
    pub(crate) fn wake_other_joiners(&self, cold: &Cold) {
        loop {
            let joiner = cold.joiners.borrow_mut().pop();
            let Some(joiner) = joiner else { return };
            match joiner {
                Joiner::Waker(waker) => waker.wake(),
                Joiner::Subscriber(subscriber, index) => {
                    if subscriber.counts_end(self) {
                        subscriber.task_ended(index, self);
                    }
                }
                Joiner::Callback(callback, locals) => {
                    let task = self.clone();
                    let callback = async move { callback(task) };
                    self.owner.spawn_done_callback(locals, callback, self.spawned_at());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{MAX_LOOPS, MAX_SLOTS};

    #[test]
    fn a_word_gives_back_the_joiner_that_was_packed() {
        let task = FirstJoiner::Task(TaskId::new(MAX_LOOPS - 1, 5, 1));
        let subscribers = [(0, 0), (7, 1), (MAX_LOOPS as u32 - 2, MAX_SLOTS - 1)]
            .map(|(key, index)| FirstJoiner::Subscriber { key, index });
        for joiner in subscribers.into_iter().chain([FirstJoiner::None, task]) {
            assert_eq!(FirstJoiner::of_word(joiner.in_word()), joiner);
        }
    }
}
