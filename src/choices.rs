//! **Choices**: the decisions of a loop that something else may take.
//!
//! A loop takes each decision itself: the task that was woken first is polled first, the timer that was set first fires first. To find
//! out what a program does in another order, another executor could be written, with other queues; but then it is that one which is
//! tested. Here the loop asks. While it has a *chooser*, a bit of `Unusual` leads each turn to its watched polls, and at each decision
//! with more than one option the chooser says which one is taken. Option zero is what the loop does by itself, so a chooser that
//! always returns zero changes nothing.
//!
//! A loop without a chooser runs none of this, and tests nothing for it: the byte with the bit is tested anyway. All that asks is
//! compiled only with the feature `explore`.
//!
//! What it does not do: it takes no decision (`explore/` does), and it does not know what an option means. `explored` asks before each
//! poll and before a jump of the clock, `time` when several timers fire at once, and the program by `explore::choose`.
//!
//! It stands on `base` and the kernel.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use crate::base::id::TaskId;
use crate::base::unusual::Unusual;
use crate::engine::Engine;
use crate::kernel::record::RecordRef;

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Which of the ready tasks is polled next. The candidates are in the order of their wake-ups.
    Ready,
    /// Whether a task is cancelled now: option zero is none, and the others are the candidates.
    Cancel,
    /// The same while nothing is ready, before virtual time jumps.
    IdleCancel,
    /// Whether virtual time passes to the next deadline, although tasks are ready: 0 is no.
    EarlyTimer,
    /// Which of the timers that are due is next.
    Timers,
    /// The program's own.
    User,
}

/// A task, or a callback, that a decision is about.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) id: TaskId,
    pub(crate) serial: u32,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) spawned_at: &'static Location<'static>,
}

impl Candidate {
    pub(crate) fn of(record: &RecordRef) -> Candidate {
        let name = record.cold_if_any().and_then(|cold| cold.name.borrow().clone());
        let (id, serial, spawned_at) = (record.id, record.serial, record.spawned_at());
        Candidate { id, serial, name, spawned_at }
    }

    /// Whether this is the same task in another run of the same program.
    pub(crate) fn is_like(&self, other: &Candidate) -> bool {
        self.serial == other.serial && self.spawned_at == other.spawned_at
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "'{name}'"),
            None if self.serial > 0 => write!(f, "Task-{}", self.serial),
            None => write!(f, "the callback of {}", self.spawned_at),
        }
    }
}

/// Takes the decisions of one loop. It is no foreign code: it does not panic, and does not use the loop.
pub(crate) trait Chooser {
    /// Which of this many options is taken; there are two or more. `candidates` says what they are, if they are tasks.
    fn choose(&self, kind: Kind, options: usize, candidates: &[Candidate]) -> usize;
    /// What followed from the last poll is done, and the next one is about to be chosen.
    fn step_is_over(&self);
    /// Each turn makes one poll, so that it does not matter how many tasks were ready when it began.
    fn wants_short_turns(&self) -> bool;
    /// A poll begins; or a task ends without one (`is_poll` is false), because it was cancelled before it began.
    fn steps(&self, candidate: &Candidate, is_poll: bool);
    /// Whether it wants to be asked for a cancel of this task.
    fn may_cancel(&self, candidate: &Candidate) -> bool;
    /// Whether it wants to be asked for any cancel.
    fn may_cancel_any(&self) -> bool;
    /// Whether it wants to be asked for an early timer.
    fn may_pass_time(&self) -> bool;
}

/// The part of a loop that belongs to this ring.
#[derive(Default)]
pub(crate) struct Choices {
    chooser: RefCell<Option<Rc<dyn Chooser>>>,
    /// Nothing is ready, and it was asked already whether a task is cancelled now: none is.
    pub(crate) no_cancel_while_idle: Cell<bool>,
    /// How many timers jumps of the clock have fired.
    pub(crate) fired: Cell<usize>,
}

impl Engine {
    #[inline]
    pub(crate) fn is_explored(&self) -> bool {
        self.unusual.has(Unusual::IS_EXPLORED)
    }

    /// From now on this chooser takes the decisions.
    pub(crate) fn set_chooser(&self, chooser: Rc<dyn Chooser>) {
        self.choices.chooser.replace(Some(chooser));
        self.unusual.set(Unusual::IS_EXPLORED, true);
    }

    pub(crate) fn chooser(&self) -> Option<Rc<dyn Chooser>> {
        self.choices.chooser.borrow().clone()
    }
}
