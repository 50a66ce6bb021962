//! **Objects**: the locks, semaphores, events and queues that tasks wait for, as a dump of the loop sees them.
//!
//! A dump has to say for each object what it is, which tasks wait for it, and which tasks hold it. The objects belong to the user and
//! are anywhere, so no list of them exists. To enter each object into a list when it is created would cost every program an
//! allocation an object, for a question that most programs never ask. A new object only gets a number.
//!
//! So an object is alone until the first task waits for it. Then it needs memory for its waiters anyway, and gets its [`Line`]:
//! counted memory that a list of the thread refers to weakly. From then on each operation that finds the line in use leaves a note of
//! the object's state there. An operation on an object that no task waits for tests one word (`waiting/waiters.rs`), and leaves no note.
//!
//! Who holds a permit, or a lock that no task waits for, is asked only when something is wrong. An object that is *watched* leaves a
//! note of each operation, and of each holder. Its word is never zero, so all its operations take the path that they take when
//! tasks wait. A new object has that bit too, and asks the loop at its first operation whether to keep it.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | what a line tells: kind, state, holders |
//! | `identity` | an object's number, and the line that created it |
//! | `holders` | the tasks that hold a watched object |
//! | `line` | the shared memory of a line, and the list of all lines of the thread |
//! | `tell` | what an observer is told of an object |
//!
//! What it does not do: it decides nothing. No operation of a primitive depends on a note.
//!
//! It stands on `base`, `wait_list`, the kernel, `trace`, `kept_waker` and `delivery`.

mod holders;
mod identity;
mod line;
mod tell;

use std::cell::Cell;

use crate::base::id::TaskId;
use crate::kernel::current;
use crate::kernel::record::RecordRef;

pub(crate) use holders::Holder;
pub(crate) use identity::Born;
pub(crate) use line::{Line, lines_of_thread};
pub(crate) use tell::because_of;

/// What the waiters of a line wait for, in words: `of` an object of this `kind`.
#[derive(Debug)]
pub(crate) struct What {
    /// Such as `lock`.
    pub(crate) kind: &'static str,
    /// Such as `an item of `: the text before the object. Empty if they wait for the object itself.
    pub(crate) of: &'static str,
}

impl What {
    pub(crate) const fn the(kind: &'static str) -> What {
        What { kind, of: "" }
    }
}

/// The kind of the event on which a scope waits for its children. It has no number: a dump shows the children in its place.
pub(crate) const GROUP: &str = "group";
/// What an observer is told that such a scope waits for.
pub(crate) const WAITS_FOR_A_GROUP: &str = "the tasks of a group";

/// The state of a semaphore, a queue or a channel, as it was noted last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum State {
    #[default]
    Unknown,
    /// A semaphore: so many permits are free, of at most so many.
    Free { free: usize, most: usize },
    /// A queue.
    Items { len: usize, capacity: usize, unfinished: u64 },
    /// A channel from other threads.
    Channel { len: usize, capacity: usize, senders: usize },
}

/// The task that holds a lock: its id and its serial. Two numbers, so that to note it is cheap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HeldBy {
    /// The word of the task's id.
    word: usize,
    serial: u32,
}

impl HeldBy {
    /// It is free.
    pub(crate) const NOTHING: HeldBy = HeldBy { word: 0, serial: 0 };
    /// It is held, but not by a task: no id has this word, because no generation is zero.
    const NO_TASK: HeldBy = HeldBy { word: 1, serial: 0 };

    /// By the task that is running.
    #[inline]
    pub(crate) fn running_task() -> HeldBy {
        current::with_task(HeldBy::task).unwrap_or(HeldBy::NO_TASK)
    }

    #[inline]
    fn task(record: &RecordRef) -> HeldBy {
        HeldBy { word: record.id.word(), serial: record.serial }
    }

    #[inline]
    pub(crate) fn is_nothing(self) -> bool {
        self.word == 0
    }

    /// The task's id and serial.
    pub(crate) fn id(self) -> Option<(TaskId, u32)> {
        let is_task = self.word != HeldBy::NO_TASK.word;
        Some((TaskId::of_word(self.word).filter(|_| is_task)?, self.serial))
    }
}

/// What a loop knows of objects.
pub(crate) struct Objects {
    /// The loop's own number among those of its thread, so that the numbers of two loops are not mistaken for each other.
    serial: u32,
    /// The number of the object that was numbered last.
    last_number: Cell<u32>,
    /// New objects are watched.
    pub(crate) watches: Cell<bool>,
}

impl Default for Objects {
    fn default() -> Objects {
        let serial = identity::next_loop();
        Objects { serial, last_number: Cell::new(0), watches: Cell::new(false) }
    }
}

impl Objects {
    /// From now on new objects are watched, or not.
    pub(crate) fn watch(&self, watches: bool) {
        self.watches.set(watches);
    }

    #[inline]
    fn next_number(&self) -> u32 {
        let number = self.last_number.get().wrapping_add(1);
        self.last_number.set(number);
        number
    }
}
